//! Import circles: files of a crate that import each other cannot be understood, tested or moved one by one.
//! Small ones are named here with their reason; no other may come into being.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Most files of a circle that is named.
const MAX_FILES: usize = 6;

/// Folder of the crate's sources, the modules of a circle in it, and its reason.
const NAMED: &[(&str, &[&str], &str)] = &[
    ("gateway-user/api/src", &["load", "load/tree", "schema"], "a schema checks the tree that loading makes"),
    (
        "gateway-user/api/src",
        &["load/hints", "load/json", "load/yaml"],
        "both readers share positions and advice",
    ),
    ("gateway-user/gateway/src", &["identity", "state_dir"], "who owns the directory, and who we are by it"),
    (
        "gateway-user/gateway/src",
        &["capacity", "wire"],
        "limits by memory are settings, and settings have limits",
    ),
    (
        "gateway-user/gateway/src",
        &["flags/file", "flags/resolve", "flags/table"],
        "a table of settings and its readers",
    ),
    ("gateway-user/io/src", &["runtime", "task"], "tasks are the runtime's, which starts the first one"),
    (
        "gateway-user/proxy/src",
        &["h1/disposition", "h1/reply", "h1/server", "h1/wait"],
        "a connection ends by its last request, or tells why",
    ),
    (
        "gateway-user/translate/src",
        &["gateway", "listener", "read"],
        "a reader knows Gateways, whose listeners read",
    ),
    (
        "gateway-user/translate/src",
        &["diagnostics", "reason"],
        "a diagnostic has a reason, and a reason a text",
    ),
    ("gateway-user/translate/src", &["hosts/contest", "hosts/examine"], "a contest is examined by its kind"),
    ("gateway-user/translate/src", &["hosts/message", "hosts/verdict"], "a verdict and the message about it"),
    ("lab/src", &["clients/programs", "clients/python"], "Python is a program and installs programs"),
    (
        "lab/src",
        &[
            "overload_test/case",
            "overload_test/cases",
            "overload_test/expressions",
            "overload_test/metrics_reader",
            "overload_test/testbed",
        ],
        "a case says what its testbed starts, which knows the case",
    ),
    ("lab/src", &["overload_test/rounds", "overload_test/run"], "a run has rounds, which know their run"),
];

#[test]
fn import_circles_are_small_and_named() {
    let mut unknown = Vec::new();
    let mut seen = BTreeSet::new();
    for source in sources() {
        let modules = modules(&source);
        for circle in circles(&imports(&modules)) {
            let name = source.strip_prefix(root()).expect("below the root").display().to_string();
            let named = NAMED.iter().position(|(below, files, _)| *below == name && circle == *files);
            match named {
                Some(at) if circle.len() <= MAX_FILES => drop(seen.insert(at)),
                _ => unknown.push(format!("{name}: {}", circle.join(", "))),
            }
        }
    }
    assert!(unknown.is_empty(), "files that import each other:\n{}", unknown.join("\n"));
    let gone = NAMED.iter().enumerate().filter(|(at, _)| !seen.contains(at));
    let gone: Vec<_> = gone.map(|(_, (below, files, _))| format!("{below}: {}", files.join(", "))).collect();
    assert!(gone.is_empty(), "named, and no circle any more:\n{}", gone.join("\n"));
}

#[test]
fn a_circle_is_found_through_nested_imports() {
    let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let modules = BTreeMap::from([
        text("a", "use crate::{b::{Left, c::Right}, std};"),
        text("b", "pub use super::d::Thing;"),
        text("b/c", "use super::super::a::First;"),
        text("d", "use crate::a;\n#[cfg(test)]\nmod tests { use crate::e; }"),
        text("e", "use crate::a::X;"),
    ]);
    assert_eq!(circles(&imports(&modules)), [["a", "b", "b/c", "d"]]);
}

fn root() -> &'static Path {
    Path::new("..")
}

/// Folders of sources: those with a `lib.rs` or a `main.rs`.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().to_owned()];
    while let Some(dir) = open.pop() {
        if ["lib.rs", "main.rs"].iter().any(|name| dir.join(name).is_file()) && dir.ends_with("src") {
            found.push(dir);
            continue;
        }
        for entry in fs::read_dir(&dir).expect("a folder of the workspace").flatten() {
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if entry.path().is_dir() && !hidden && entry.file_name() != "target" {
                open.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Texts by module, `a/b` for `a::b`; the crate itself, tests and `main.rs` left out.
fn modules(source: &Path) -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    let mut open = vec![source.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a folder of sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(source).expect("below it").with_extension("");
                let name = name.to_str().expect("names are ASCII").to_owned();
                let name = name.strip_suffix("/mod").map_or(name.clone(), str::to_owned);
                if !["lib", "main"].contains(&&*name) && !name.split('/').any(|part| part == "tests") {
                    modules.insert(name, fs::read_to_string(&path).expect("a source file"));
                }
            }
        }
    }
    modules
}

/// The modules that each one's `use` items name; unit tests may import what they like.
fn imports(modules: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let edges = modules.iter().map(|(name, text)| {
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let paths = items(text).flat_map(|item| expand(&item));
        let named = paths.filter_map(|path| target(name, &path, modules)).filter(|other| other != name);
        (name.clone(), named.collect())
    });
    edges.collect()
}

/// The text between `use` and `;` of each item.
fn items(text: &str) -> impl Iterator<Item = String> + '_ {
    let is_item = |line: &str| {
        let line = line.trim_start();
        line.starts_with("use ") || line.starts_with("pub") && line.contains("use ")
    };
    text.split_inclusive(';').filter_map(move |part| {
        let lines: Vec<&str> = part.strip_suffix(';')?.lines().collect();
        let item = lines.get(lines.iter().rposition(|line| is_item(line))?..)?.join(" ");
        item.split_once("use ").map(|(_, item)| item.trim().to_owned())
    })
}

/// One path for each name that an item with braces imports.
fn expand(item: &str) -> Vec<String> {
    let Some((before, inside)) = item.split_once('{') else {
        return vec![item.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let inside = inside.strip_suffix('}').unwrap_or(inside);
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for letter in inside.chars() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().expect("one at least").push(letter),
        }
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(|part| expand(&format!("{}{part}", before.trim()))).collect()
}

/// The module that a path names, or that has what it names.
fn target(from: &str, path: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let mut base: Vec<&str> = from.split('/').collect();
    let mut parts: Vec<&str> = path.split("::").collect();
    match parts.first() {
        Some(&"crate") => {
            base.clear();
            parts.remove(0);
        }
        Some(&"super") => {
            while parts.first() == Some(&"super") {
                base.pop();
                parts.remove(0);
            }
        }
        _ => return None,
    }
    base.extend(parts);
    (1..=base.len()).rev().map(|count| base[..count].join("/")).find(|name| modules.contains_key(name))
}

/// Groups of modules each of which reaches all others of its group, sorted.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            open.extend(imports.get(at).into_iter().flatten().filter(|next| seen.insert((*next).clone())));
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        imports.keys().map(|name| (name, reach(name))).collect();
    let circle = |name: &String| -> Vec<String> {
        let both = |other: &&String| reached[name].contains(*other) && reached[*other].contains(name);
        reached.keys().copied().filter(both).cloned().collect()
    };
    let found: BTreeSet<Vec<String>> = imports.keys().map(circle).filter(|circle| circle.len() > 1).collect();
    found.into_iter().collect()
}
