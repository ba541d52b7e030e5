//! Which releases a cluster and a suite are made of.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum as _;

use super::stand_in;
use crate::go::{self, Program};

/// A release of the Gateway API's conformance suite, with its CRDs and images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// The reference: all that it needs is in its own module.
    #[value(name = "v1.6.3")]
    V1_6_3,
    /// Its echo server's module cannot be had; a stand-in is made of the release before.
    #[value(name = "v1.7.0")]
    V1_7_0,
}

const GATEWAY_API: &str = "sigs.k8s.io/gateway-api";
const CRDS: &str = "config/crd/experimental";

impl Suite {
    /// The one that decides.
    pub const REFERENCE: Self = Self::V1_6_3;

    /// The module with its test program.
    ///
    /// # Errors
    /// Go is missing, or the older suite's packages cannot be fetched.
    pub fn module(self) -> Result<PathBuf> {
        let module = go::module(&format!("suite-{self}"));
        match self {
            Self::V1_6_3 => Ok(module),
            Self::V1_7_0 => stand_in::complete(&module, &Self::V1_6_3.module()?),
        }
    }

    /// The sentence that a report must have beside its results.
    pub fn disclosure(self) -> Option<&'static str> {
        match self {
            Self::V1_6_3 => None,
            Self::V1_7_0 => Some(
                "The suite's module sigs.k8s.io/gateway-api-conformance-images could not be had from the module proxy: \
                 the echo server and its gRPC, TCP and UDP helpers are those of suite v1.6.3.",
            ),
        }
    }

    /// The suite as a test program.
    ///
    /// # Errors
    /// The build fails, or Go is missing.
    pub fn tests(self) -> Result<PathBuf> {
        let (module, name) = (self.module()?, format!("suite-{self}"));
        Program { module: &module, package: ".", name: &name, tests: true, ldflags: "-s -w" }.build()
    }

    /// Its echo server.
    pub(super) fn echo(self) -> Result<PathBuf> {
        let package = match self {
            Self::V1_6_3 => "sigs.k8s.io/gateway-api/conformance/echo-basic",
            Self::V1_7_0 => "sigs.k8s.io/gateway-api-conformance-images/echo-basic",
        };
        Program { module: &self.module()?, package, name: "echo-basic", tests: false, ldflags: "-s -w" }
            .build()
    }

    /// The names by which its manifests ask for the echo server.
    pub(super) fn echo_images(self) -> &'static [&'static str] {
        match self {
            Self::V1_6_3 => &[
                "registry.k8s.io/gateway-api/echo-basic:v1.5.1",
                "registry.k8s.io/gateway-api/echo-basic:v1.6.0-dev.2",
                "registry.k8s.io/gateway-api/echo-basic:v1.6.0-dev.3",
            ],
            Self::V1_7_0 => &[
                "registry.k8s.io/gateway-api/conformance/echo-basic:v0.1.0",
                "registry.k8s.io/gateway-api/conformance/echo-basic:v0.2.0",
            ],
        }
    }

    /// The name by which its manifests ask for CoreDNS, if they do.
    pub(super) fn coredns_image(self) -> Option<&'static str> {
        match self {
            Self::V1_6_3 => Some("registry.k8s.io/coredns/coredns:v1.12.2"),
            Self::V1_7_0 => None,
        }
    }

    /// The files of the experimental channel; the folder's other files are for tools that put
    /// resources together.
    pub(super) fn crds(self) -> Result<Vec<PathBuf>> {
        let dir = go::unpacked(&self.module()?, GATEWAY_API)?.join(CRDS);
        let mut files = Vec::new();
        for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"gateway.")) {
                files.push(path);
            }
        }
        ensure!(!files.is_empty(), "{} has no CRD", dir.display());
        files.sort();
        Ok(files)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// Flags by which Kubernetes' programs know their version; without them they call themselves v0.0.0.
pub(super) fn ldflags(version: &str) -> Result<String> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        anyhow::bail!("{version} is no version of Kubernetes");
    };
    let mut flags = "-s -w".to_owned();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in
            [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")]
        {
            flags.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_their_version() {
        let flags = ldflags("v1.37.2").unwrap();
        assert!(flags.contains(" -X k8s.io/component-base/version.gitMinor=37 "), "{flags}");
        assert!(flags.contains(" -X k8s.io/client-go/pkg/version.gitVersion=v1.37.2 "), "{flags}");
        assert!(ldflags("devel").is_err());
    }

    #[test]
    fn a_suite_is_named_as_its_release() {
        assert_eq!(Suite::V1_6_3.to_string(), "v1.6.3");
        assert_eq!(Suite::V1_7_0.to_string(), "v1.7.0");
    }

    #[test]
    fn only_what_has_a_stand_in_discloses_one() {
        for suite in [Suite::V1_6_3, Suite::V1_7_0] {
            let files = fs::read_to_string(go::module(&format!("suite-{suite}")).join("go.mod")).unwrap();
            assert_eq!(files.contains("\nreplace "), suite.disclosure().is_some(), "{suite}");
        }
    }
}
