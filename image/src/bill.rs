//! The bill of materials of an image (CycloneDX 1.5, JSON): the binary's, as the project's tool writes it, and Debian's
//! packages beside.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sluice_tooling::bill;
use sluice_tooling::cargo::workspace;

use crate::debian::{Content, Package, Packages, license};
use crate::gateway::VERSION;
use crate::platform::Platform;
use crate::source::Source;

/// The bill of materials of the image with this digest.
///
/// # Errors
/// The tool cannot be had or fails, or a package's license is not known.
pub fn of_image(packages: &Packages, platform: Platform, source: &Source, digest: &str) -> Result<Value> {
    let of_binary = bill::of_binary(Some(platform.target()))?;
    let place = format!("{}/", workspace().display());
    complete(without(of_binary, &place), packages, source, digest)
}

/// Makes the binary's bill one of the image.
fn complete(mut bill: Value, packages: &Packages, source: &Source, digest: &str) -> Result<Value> {
    let binary = bill["metadata"]["component"].take();
    // The number is random and the time that of the tool's call: one bill for one image.
    bill["metadata"]["timestamp"] = json!(source.created);
    bill["metadata"]["component"] = json!({
        "type": "container", "bom-ref": "image", "name": "sluice", "version": VERSION,
        "hashes": [{ "alg": "SHA-256", "content": digest.trim_start_matches("sha256:") }],
        "licenses": [{ "expression": "Apache-2.0" }],
        "properties": [{ "name": "revision", "value": source.revision }],
    });
    if let Some(bill) = bill.as_object_mut() {
        bill.remove("serialNumber");
    }
    let mut parts = vec![binary];
    for (package, _) in packages.all.values() {
        parts.push(component(package, packages)?);
    }
    let names: Vec<_> = parts.iter().map(|part| part["bom-ref"].clone()).collect();
    if let Some(dependencies) = bill["dependencies"].as_array_mut() {
        dependencies.push(json!({ "ref": "image", "dependsOn": names }));
    }
    let components = bill["components"].as_array_mut();
    components.context("the binary's bill of materials lists no crate")?.extend(parts);
    Ok(bill)
}

/// A package with its terms in full, which may be another package's file.
fn component(package: &Package, packages: &Packages) -> Result<Value> {
    let Package { name, version, architecture, sha256, .. } = package;
    let license =
        license(name).with_context(|| format!("name the license of {name} in debian/license.rs"))?;
    let content = |name: &str| packages.all.get(name).map(|(_, content): &(Package, Content)| content);
    let own = content(name).context("a package without a content")?;
    let holder = own.terms_in.as_deref().and_then(content).unwrap_or(own);
    let (_, terms) = holder.terms.as_ref().with_context(|| format!("{name} has no terms of use"))?;
    let purl = format!(
        "pkg:deb/debian/{name}@{}?arch={architecture}&distro={}",
        version.replace('+', "%2B").replace(':', "%3A"),
        packages.suite
    );
    Ok(json!({
        "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
        "hashes": [{ "alg": "SHA-256", "content": sha256 }],
        "licenses": [{ "license": {
            "name": license,
            "text": { "contentType": "text/plain", "content": String::from_utf8_lossy(terms) },
        } }],
    }))
}

/// The same value with this part left out of every text: places on this machine are nobody's business.
fn without(value: Value, part: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(part, "")),
        Value::Array(values) => values.into_iter().map(|value| without(value, part)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, without(value, part))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            sha256: "00ff".to_owned(),
            file: PathBuf::new(),
        }
    }

    #[test]
    fn packages_stand_beside_crates_with_their_terms() {
        let base =
            Content { terms: Some(("copyright".to_owned(), b"GCC's terms".to_vec())), ..Content::default() };
        let library = Content { terms_in: Some("gcc-14-base".to_owned()), ..Content::default() };
        let packages = Packages {
            suite: "trixie".to_owned(),
            all: BTreeMap::from([
                ("gcc-14-base".to_owned(), (package("gcc-14-base", "14.2.0-19"), base)),
                ("libgcc-s1".to_owned(), (package("libgcc-s1", "1:14.2.0-19+b1"), library)),
            ]),
        };
        let source = Source { revision: "0123abc".to_owned(), created: "2026-11-28T00:00:00Z".to_owned() };
        let binary = json!({
            "serialNumber": "urn:uuid:1", "metadata": { "timestamp": "now", "component": { "name": "sluice", "bom-ref": "s" } },
            "components": [{ "name": "memchr" }], "dependencies": [{ "ref": "s" }],
        });
        let bill = complete(binary, &packages, &source, "sha256:0a").unwrap();
        assert_eq!(bill["serialNumber"], Value::Null);
        assert_eq!(bill["metadata"]["timestamp"], "2026-11-28T00:00:00Z");
        assert_eq!(bill["metadata"]["component"]["hashes"][0]["content"], "0a");
        let names: Vec<_> =
            bill["components"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["memchr", "sluice", "gcc-14-base", "libgcc-s1"]);
        assert_eq!(bill["dependencies"][1]["ref"], "image");
        assert_eq!(bill["dependencies"][1]["dependsOn"][0], "s");
        let library = &bill["components"][3];
        assert_eq!(library["purl"], "pkg:deb/debian/libgcc-s1@1%3A14.2.0-19%2Bb1?arch=amd64&distro=trixie");
        assert_eq!(library["licenses"][0]["license"]["text"]["content"], "GCC's terms");
    }

    #[test]
    fn no_place_on_this_machine_is_told() {
        let value = json!({ "a": ["path+file:///home/me/sluice/gateway-user#1"], "b": 1 });
        assert_eq!(
            without(value, "/home/me/sluice/"),
            json!({ "a": ["path+file://gateway-user#1"], "b": 1 })
        );
    }
}
