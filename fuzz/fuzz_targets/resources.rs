//! Files: whatever their text, they are read, translated and compiled without a panic, and serve a request.
#![no_main]

use gateway_api_types::load::{assemble, load};
use gateway_ir::Generation;
use gateway_snapshot::compile;
use gateway_translate::{TranslateOptions, translate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (resources, diagnostics) = assemble([load("fuzz.yaml", text)]);
    for diagnostic in diagnostics {
        let _ = diagnostic.to_string();
    }
    let options = TranslateOptions::default();
    let translation = translate(&resources, &options);
    let first = compile(&translation.ir, Generation(1));
    let again = compile(&translate(&resources, &options).ir, Generation(1));
    assert_eq!(first.clusters(), again.clusters(), "the same text means the same");
});
