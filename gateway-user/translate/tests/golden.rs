//! Golden cases: `golden/<topic>/<case>.yaml` holds resources and, below a marker, everything that translate
//! makes of them. `UPDATE_GOLDEN=1 cargo test -p gateway-translate --test golden` writes what is below the
//! marker; read the difference before committing it.
//!
//! The objects of `golden/_defaults.yaml` and of `_defaults.yaml` in the topic's folder come first; a case
//! replaces one by naming it again, and drops one with a line `# without: Kind namespace/name`. A line
//! `# with: host-ownership=oldest-namespace`, `# with: address-ownership=shared`, `# with: gateway-addresses=NETWORKS` or `# with: system-authorities` sets an
//! option, and one like `# with: clientIdleTimeout=20000` the flag behind a setting, in milliseconds. With `# absent: Kind` the
//! objects are of a cluster whose API server does not serve that kind.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_api_types::{BUNDLE_VERSION, Definition, InstalledApi, Kind, ObjectKey, ResourceSet};
use gateway_ir::Setting;
use gateway_translate::{AddressOwnership, HostOwnership, SystemAuthorities, TranslateOptions, translate};

/// The bundle of the system.
const AUTHORITY: &str = include_str!("common/authority.pem");
const MARKER: &str = "--- # expected\n";

#[test]
fn every_case_translates_as_written() {
    let root = Path::new("tests/golden").to_owned();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let (mut cases, mut failures) = (0, Vec::new());
    for topic in entries(&root).into_iter().filter(|path| path.is_dir()) {
        for case in entries(&topic).into_iter().filter(|path| !is_defaults(path)) {
            cases += 1;
            if let Err(failure) = run(&root, &case, update) {
                failures.push(format!("== {}\n{failure}", case.display()));
            }
        }
    }
    assert!(cases > 60, "only {cases} cases were found under {}", root.display());
    assert!(failures.is_empty(), "{} of {cases} cases:\n{}", failures.len(), failures.join("\n"));
}

fn run(root: &Path, case: &Path, update: bool) -> Result<(), String> {
    let text = read(case)?;
    let (input, expected) = text.split_once(MARKER).unwrap_or((&text, ""));
    let resources = resources(root, case, input)?;
    let got = common::show(&translate(&resources, &options(input)?));
    if update {
        return fs::write(case, format!("{}\n{MARKER}{got}", input.trim_end())).map_err(|e| e.to_string());
    }
    if got == expected { Ok(()) } else { Err(difference(expected, &got)) }
}

fn options(input: &str) -> Result<TranslateOptions, String> {
    let mut options = TranslateOptions::default();
    for line in input.lines().filter_map(|line| line.strip_prefix("# with: ")) {
        match line {
            "host-ownership=oldest-namespace" => options.host_ownership = HostOwnership::OldestNamespace,
            "address-ownership=shared" => options.address_ownership = AddressOwnership::Shared,
            "system-authorities" => {
                options.system_authorities = SystemAuthorities::read(AUTHORITY.as_bytes())
            }
            flag => {
                let (name, value) = flag.split_once('=').ok_or_else(|| format!("no option {flag}"))?;
                if name == "gateway-addresses" {
                    let networks: Result<Vec<_>, _> = value.split(',').map(str::parse).collect();
                    options.named_networks = Some(networks.map_err(|_| format!("no networks {value}"))?);
                    continue;
                }
                let setting = Setting::named(name).ok_or_else(|| format!("no option {name}"))?;
                options.settings.set(setting, Some(value.parse().map_err(|_| format!("no number {value}"))?));
            }
        }
    }
    Ok(options)
}

fn resources(root: &Path, case: &Path, input: &str) -> Result<ResourceSet, String> {
    let topic = case.parent().expect("a case is in a topic");
    let mut set = ResourceSet::default();
    for defaults in [root, topic].map(|folder| folder.join("_defaults.yaml")).iter().filter(|p| p.exists()) {
        add(&mut set, &read(defaults)?, "_defaults.yaml")?;
    }
    for line in input.lines().filter_map(|line| line.strip_prefix("# without: ")) {
        let (kind, name) = line.split_once(' ').ok_or("write `# without: Kind namespace/name`")?;
        let kind = self::kind(kind)?;
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        set.remove(kind, &ObjectKey::new(namespace, name)).ok_or(format!("nothing to drop: {line}"))?;
    }
    let absent = input.lines().filter_map(|line| line.strip_prefix("# absent: ")).map(kind);
    let absent = absent.collect::<Result<BTreeSet<_>, _>>()?;
    if !absent.is_empty() {
        let bundle_version = Some(BUNDLE_VERSION.to_owned());
        let definition = Definition { bundle_version, ..Definition::default() };
        let definitions = [("gateways.gateway.networking.k8s.io".to_owned(), definition)].into();
        set.installed = Some(Arc::new(InstalledApi { definitions, absent }));
    }
    let file = case.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    add(&mut set, input, file)?;
    Ok(set)
}

fn kind(name: &str) -> Result<Kind, String> {
    let found = Kind::ALL.iter().copied().find(|kind| kind.as_str() == name);
    found.ok_or_else(|| format!("no kind {name}"))
}

fn add(set: &mut ResourceSet, text: &str, file: &str) -> Result<(), String> {
    for (object, origin) in common::load(text, file)? {
        set.insert(object, origin);
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the golden folder is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder entry").path()).collect();
    paths.sort();
    paths
}

fn is_defaults(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "_defaults.yaml")
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The lines that differ, with what was expected first.
fn difference(expected: &str, got: &str) -> String {
    let missing = expected.lines().filter(|line| !got.lines().any(|other| other == *line));
    let new = got.lines().filter(|line| !expected.lines().any(|other| other == *line));
    let lines: Vec<_> = missing.map(|l| format!("- {l}")).chain(new.map(|l| format!("+ {l}"))).collect();
    if lines.is_empty() { "the lines are the same in another order".to_owned() } else { lines.join("\n") }
}
