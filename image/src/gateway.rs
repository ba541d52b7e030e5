//! The gateway's image: Debian's libraries below, the program above.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, json};
use sluice_tooling::needs;

use crate::base::{Base, PACKAGES};
use crate::binary;
use crate::debian::{Apt, Packages};
use crate::oci::{Compression, Image, Layer};
use crate::platform::Platform;
use crate::source::Source;

/// The path of the program; its folder is `PATH`.
pub const PROGRAM: &str = "/sluice";
/// The user and group that it runs as unless a pod names others.
pub const USER: &str = "65532:65532";
/// The one variable of its environment.
const SEARCH_PATH: &str = "PATH=/";
/// Sluice's version, which is its tag.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The image of a program that is stripped already.
///
/// # Errors
/// The base lacks a library that the program needs.
pub fn image(base: &Base, platform: Platform, program: Vec<u8>, source: &Source) -> Result<Image> {
    base.judge(&program)?;
    let mut layer = Layer::default();
    layer.program(PROGRAM.trim_start_matches('/'), program)?;
    let config = Map::from_iter([
        ("User".to_owned(), json!(USER)),
        ("Env".to_owned(), json!([SEARCH_PATH])),
        ("Entrypoint".to_owned(), json!([PROGRAM])),
        ("WorkingDir".to_owned(), json!("/")),
    ]);
    Ok(Image {
        platform,
        layers: vec![base.layer.clone(), layer],
        config,
        created: Some(source.created.clone()),
        labels: labels(&base.packages, source),
    })
}

/// The keys of image-spec's annotations.md. No other image lies below, which tools call `scratch`; the packages that do are
/// named beside.
fn labels(packages: &Packages, source: &Source) -> BTreeMap<String, String> {
    let standard = [
        ("title", "sluice"),
        ("description", "An edge gateway for Kubernetes"),
        ("version", VERSION),
        ("revision", &source.revision),
        ("created", &source.created),
        ("licenses", "Apache-2.0"),
        ("base.name", "scratch"),
    ];
    let standard = standard.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()));
    let ours = [("suite", packages.suite.clone()), ("packages", packages.line())]
        .map(|(key, value)| (format!("sluice.dev/debian-{key}"), value));
    standard.into_iter().chain(ours).collect()
}

/// The archive of an image of a program as it was just built, for a cluster on this machine: the same image, with
/// layers as they are and the packages that are at hand, and more variables for its containers, each `NAME=VALUE`. `dir` is
/// for what is made on the way.
///
/// # Errors
/// Debian's packages cannot be fetched, or the program cannot be read.
pub fn for_this_machine(
    program: &Path,
    names: &[&str],
    environment: &[String],
    dir: &Path,
) -> Result<Vec<u8>> {
    let platform = Platform::of_this_machine().context("images are made for x86_64 and aarch64")?;
    needs::ensure(&[needs::STRIP])?;
    let apt = Apt::for_lab(platform)?;
    let base = Base::make(Packages::fetch(&apt, platform, &PACKAGES)?)?;
    let stripped = dir.join("sluice-stripped");
    binary::strip(program, &stripped, platform)?;
    let program = fs::read(&stripped)?;
    fs::remove_file(&stripped)?;
    // An archive of the sources is good enough for a lab.
    let source = Source::of_checkout().unwrap_or_else(|_| Source::unknown());
    let mut image = image(&base, platform, program, &source)?;
    let all = std::iter::once(SEARCH_PATH).chain(environment.iter().map(String::as_str));
    image.config.insert("Env".to_owned(), all.collect());
    image.pack(Compression::None)?.archive(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::SUITE;

    fn labels_of(revision: &str) -> BTreeMap<String, String> {
        let source = Source { revision: revision.to_owned(), created: "2026-11-28T00:00:00Z".to_owned() };
        labels(&Packages { suite: SUITE.to_owned(), all: BTreeMap::new() }, &source)
    }

    #[test]
    fn labels_say_what_it_is_and_of_what() {
        let labels = labels_of("0123abc");
        for (key, value) in [
            ("org.opencontainers.image.title", "sluice"),
            ("org.opencontainers.image.version", VERSION),
            ("org.opencontainers.image.revision", "0123abc"),
            ("org.opencontainers.image.licenses", "Apache-2.0"),
            ("org.opencontainers.image.base.name", "scratch"),
            ("sluice.dev/debian-suite", SUITE),
        ] {
            assert_eq!(labels[key], value, "{key}");
        }
        // This project is found by its name, not by an address.
        assert!(!labels.keys().any(|key| key.ends_with(".source") || key.ends_with(".url")), "{labels:?}");
    }

    #[test]
    fn the_user_is_a_number_so_that_kubelets_can_see_that_it_is_not_root() {
        let (user, group) = USER.split_once(':').unwrap();
        assert!([user, group].iter().all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)));
    }
}
