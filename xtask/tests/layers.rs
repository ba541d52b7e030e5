//! The order of crates: each may use only crates above it, and each heavy dependency has one owner.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// Lowest first; `ARCHITECTURE.md` says what each is for.
const ORDER: &[&str] = &[
    "gateway-common",
    "gateway-ebpf",
    "gateway-grammar",
    "gateway-api-types",
    "gateway-ir",
    "gateway-regex",
    "gateway-tls",
    "gateway-translate",
    "gateway-snapshot",
    "gateway-explain",
    "gateway-http",
    "gateway-io",
    "gateway-proxy",
    "gateway-steer",
    "gateway-sync",
    "gateway-helper",
    "gateway-control",
    "gateway-admin",
    "sluice",
];

/// Crates that only developers build, below all of [`ORDER`]; a crate of that list uses only the
/// first, in its tests.
const TOOLS: &[&str] = &[
    "gateway-testkit",
    "sluice-bench",
    "sluice-floor",
    "sluice-tooling",
    "sluice-codegen",
    "sluice-image",
    "sluice-cluster",
    "sluice-lab",
    "xtask",
];

/// Our crates that a crate above them in [`ORDER`] must still not use, and why.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("gateway-snapshot", "gateway-translate", "tables are compiled from the representation alone"),
    ("gateway-snapshot", "gateway-api-types", "tables know no API struct"),
    ("gateway-ir", "gateway-api-types", "the representation knows neither parent"),
    ("gateway-snapshot", "gateway-tls", "tables hold certificates, and no keys that are ready to sign"),
    ("gateway-io", "gateway-tls", "the fence knows layers, not which"),
    ("gateway-sync", "gateway-api-types", "nodes are told what to serve, not of what objects"),
    ("gateway-sync", "gateway-translate", "nodes are told what to serve, not of what objects"),
    ("gateway-sync", "gateway-proxy", "what is told knows no data plane"),
    ("gateway-http", "gateway-io", "codecs never touch sockets"),
    ("gateway-proxy", "gateway-api-types", "the data plane knows no config type"),
    ("gateway-proxy", "gateway-translate", "the data plane knows no config type"),
    ("gateway-admin", "gateway-control", "servers know no configuration"),
    ("gateway-admin", "gateway-proxy", "servers for operators share nothing with the data plane"),
    ("gateway-io", "gateway-http", "the fence carries bytes, not messages"),
];

/// Dependencies that only the named crates may have.
const OWNED: &[(&str, &[&str])] = &[
    // The floor under the bars is the runtime alone.
    ("monoio", &["gateway-io", "sluice-floor"]),
    ("io-uring", &["gateway-io", "sluice-floor"]),
    ("tokio-uring", &["gateway-io"]),
    ("aya", &["gateway-steer"]),
    ("aya-obj", &["gateway-steer"]),
    ("aya-ebpf", &["gateway-ebpf"]),
    ("rustls", &["gateway-tls", "gateway-testkit", "sluice-bench"]),
    ("aws-lc-rs", &["gateway-control", "gateway-tls"]),
    ("notify", &["gateway-control"]),
    ("prost", &["gateway-sync"]),
    ("kube", &["gateway-control"]),
    ("axum", &["gateway-admin", "sluice"]),
    (
        "clap",
        &[
            "sluice",
            "sluice-bench",
            "sluice-floor",
            "sluice-codegen",
            "sluice-image",
            "sluice-cluster",
            "sluice-lab",
            "xtask",
        ],
    ),
    (
        "anyhow",
        &[
            "sluice",
            "sluice-bench",
            "sluice-floor",
            "sluice-tooling",
            "sluice-codegen",
            "sluice-image",
            "sluice-cluster",
            "sluice-lab",
            "xtask",
        ],
    ),
    // The load client reads responses by itself: with the gateway's codec it would share its mistakes.
    ("httparse", &["gateway-http", "sluice-bench", "sluice-floor"]),
    ("regex-automata", &["gateway-regex"]),
    ("regex-syntax", &["gateway-regex"]),
];

/// Crates that may hold unsafe code; of the testkit only what gets system calls to judge.
const FENCES: &[&str] = &["gateway-common", "gateway-ebpf", "gateway-io", "gateway-steer", "gateway-testkit"];

/// Folders of a crate whose files name none of these paths, and the reason. A folder of tests within is left out.
const NEUTRAL: &[(&str, &str, &[&str], &str)] = &[(
    "gateway-user/proxy/src/exchange",
    "script_tests",
    &["gateway_http::h1", "gateway_io", "gateway_tls", "httparse", "crate::h1", "crate::tls"],
    "an exchange knows no codec, no socket and no TLS, so that every protocol can use it",
)];

struct Package {
    dependencies: Vec<(String, bool)>,
    sources: PathBuf,
}

fn packages() -> BTreeMap<String, Package> {
    let top = Path::new("..");
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(top)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut packages = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let dependencies = dependencies
            .map(|d| (d["name"].as_str().unwrap().to_owned(), d["kind"].as_str() == Some("dev")))
            .collect();
        let manifest = Path::new(package["manifest_path"].as_str().unwrap()).to_owned();
        let sources = manifest.parent().unwrap().join("src");
        packages.insert(package["name"].as_str().unwrap().to_owned(), Package { dependencies, sources });
    }
    packages
}

/// The place of a crate in [`ORDER`], with [`TOOLS`] behind it.
fn rank(name: &str) -> Option<usize> {
    ORDER.iter().chain(TOOLS).position(|other| *other == name)
}

#[test]
fn every_crate_has_its_place() {
    for name in packages().keys() {
        assert!(rank(name).is_some(), "{name} has no place in ORDER or TOOLS");
    }
}

#[test]
fn dependencies_point_upwards() {
    for (name, package) in packages() {
        let Some(own) = rank(&name) else { continue };
        for (dependency, dev) in &package.dependencies {
            if let Some(other) = rank(dependency).filter(|_| !dev) {
                assert!(other < own, "{name} uses {dependency}, which stands below it");
            }
            let testing = dependency == "gateway-testkit" && !TOOLS.contains(&name.as_str());
            assert!(!testing || *dev, "{name} uses gateway-testkit outside its tests");
            if let Some((_, _, why)) =
                FORBIDDEN.iter().find(|(a, b, _)| *a == name && b == dependency && !dev)
            {
                panic!("{name} uses {dependency}: {why}");
            }
        }
    }
}

#[test]
fn heavy_dependencies_have_one_owner() {
    for (name, package) in packages() {
        for (dependency, dev) in &package.dependencies {
            if let Some((_, owners)) = OWNED.iter().find(|(d, _)| d == dependency).filter(|_| !dev) {
                assert!(
                    owners.contains(&name.as_str()),
                    "{name} uses {dependency}, which belongs to {owners:?}"
                );
            }
        }
    }
}

#[test]
fn unsafe_code_has_an_address() {
    for (name, package) in packages() {
        let root = ["lib.rs", "main.rs"].map(|f| package.sources.join(f)).into_iter().find(|f| f.exists());
        let text = fs::read_to_string(root.unwrap_or_else(|| panic!("{name} has no root file"))).unwrap();
        let forbids = text.contains("#![forbid(unsafe_code)]");
        assert!(forbids || FENCES.contains(&name.as_str()), "{name} does not forbid unsafe code");
    }
}

#[test]
fn an_exchange_knows_no_protocol() {
    let top = Path::new("..");
    for (folder, tests, forbidden, why) in NEUTRAL {
        let mut read = 0;
        for entry in fs::read_dir(top.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name == *tests) {
                continue;
            }
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            read += 1;
            for (number, line) in text.lines().enumerate() {
                if let Some(found) = forbidden.iter().find(|found| line.contains(*found)) {
                    panic!("{}:{}: {found}: {why}", path.display(), number + 1);
                }
            }
        }
        assert!(read > 5, "{folder}: {read} files");
    }
}
