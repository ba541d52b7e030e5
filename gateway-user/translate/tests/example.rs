//! The example that comes with the product is served whole, with nothing to complain about.

mod common;

use std::path::Path;

use gateway_translate::{TranslateOptions, translate};

#[test]
fn the_shared_gateway_has_no_findings() {
    let folder = Path::new("../../examples/shared-gateway").to_owned();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the example is there")
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let loaded = files.iter().map(|path| {
        let text = std::fs::read_to_string(path).expect("a readable file");
        gateway_api_types::load::load(&path.display().to_string(), &text)
    });
    let (resources, diagnostics) = gateway_api_types::load::assemble(loaded);
    assert_eq!(diagnostics, [], "the example passes the schemas");
    let translation = translate(&resources, &TranslateOptions::default());
    assert_eq!(translation.diagnostics, []);
    assert_eq!(translation.ir.binds.len(), 1);
    assert_eq!(translation.ir.binds[0].port, 80);
    let routes: Vec<_> = translation.ir.routes.keys().map(ToString::to_string).collect();
    assert_eq!(routes, ["HTTPRoute team1/httpbin"]);
    let addresses: Vec<_> =
        translation.endpoints.clusters.values().flat_map(|all| all.iter()).map(ToString::to_string).collect();
    assert_eq!(addresses, ["127.0.0.1:8000"]);
}
