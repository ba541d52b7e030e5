//! Pages refer to each other: links lead to a file and a heading, and each decision is in the index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::{fs, str};

fn top() -> &'static Path {
    Path::new("..")
}

/// Every tracked page with its text, by its path below the top.
fn pages() -> BTreeMap<PathBuf, String> {
    let output = Command::new("git").current_dir(top()).args(["ls-files", "-z", "*.md"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = str::from_utf8(&output.stdout).unwrap().split_terminator('\0').map(PathBuf::from);
    names.filter_map(|name| fs::read_to_string(top().join(&name)).ok().map(|text| (name, text))).collect()
}

/// Lines that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The names under which headings are linked to, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let name = |heading: &str| {
        let kept = heading.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "_- ".contains(*c));
        kept.collect::<String>().to_ascii_lowercase().replace(' ', "-")
    };
    prose(text).filter(|line| line.starts_with('#')).map(|line| name(line.trim_start_matches('#'))).collect()
}

/// Targets of `](…)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next())
}

/// `a/b/../c` without the dots.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leaves the checkout", path.display()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let pages = pages();
    let mut broken = Vec::new();
    for (page, text) in &pages {
        for link in links(text).filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, name)| (file, Some(name)));
            let target = match file {
                "" => page.clone(),
                file => plain(&page.with_file_name("").join(file)),
            };
            let known = pages.get(&target).map(|text| anchors(text));
            let is_there = top().join(&target).exists()
                && anchor.is_none_or(|anchor| known.is_none_or(|known| known.contains(anchor)));
            if !is_there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_decision_is_in_the_index_under_its_title() {
    let decisions = Path::new("gateway-user/decisions");
    let pages = pages();
    let index = &pages[&decisions.join("README.md")];
    for (page, text) in pages.iter().filter(|(page, _)| page.starts_with(decisions)) {
        let file = page.file_name().unwrap().to_str().unwrap();
        let title = text.lines().next().unwrap().trim_start_matches("# ");
        assert!(
            file == "README.md" || index.contains(&format!("- [{title}]({file})")),
            "{file} is not in gateway-user/decisions/README.md as [{title}]"
        );
    }
}

/// Readers follow a request by that table alone.
#[test]
fn every_file_on_the_path_of_a_request_exists() {
    let pages = pages();
    let page = &pages[Path::new("gateway-user/ARCHITECTURE.md")];
    let rest = page.split("## The path of a request").nth(1).unwrap();
    let section = rest.split("### Reserved places").next().unwrap();
    let quoted = section.split('`').skip(1).step_by(2);
    let files: Vec<&str> = quoted.filter(|text| text.contains('/') && text.ends_with(".rs")).collect();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let is_there = top().join(file).exists() || top().join("gateway-user").join(file).exists();
        assert!(is_there, "ARCHITECTURE.md names {file}, which does not exist");
    }
}
