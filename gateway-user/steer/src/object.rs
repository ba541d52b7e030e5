//! The kernel programs as an ELF object: the committed one, or, in debug builds, the one that a
//! test run names.

use std::borrow::Cow;
use std::env;
use std::ffi::OsString;
use std::fs;

/// Names a file to load instead of the embedded object; how CI tests the object it has just built. Release
/// builds do not read it: whoever sets a service's environment could otherwise have root load programs of
/// their own.
const OVERRIDE: &str = "SLUICE_EBPF_OBJECT";

/// Built by `cargo xtask build-ebpf`; aligned, because it is parsed in place.
static EMBEDDED: &[u8] = aya::include_bytes_aligned!("../ebpf/gateway-ebpf.o");

/// The object's bytes, or why the file named in the environment cannot be read.
pub(crate) fn object() -> Result<Cow<'static, [u8]>, String> {
    chosen(cfg!(debug_assertions), env::var_os(OVERRIDE))
}

fn chosen(debug_build: bool, named: Option<OsString>) -> Result<Cow<'static, [u8]>, String> {
    match named.filter(|_| debug_build) {
        Some(file) => {
            fs::read(&file).map(Cow::Owned).map_err(|e| format!("{OVERRIDE}={}: {e}", file.display()))
        }
        None => Ok(Cow::Borrowed(EMBEDDED)),
    }
}

#[cfg(test)]
#[path = "../ebpf/sources.rs"]
mod sources;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_debug_build_loads_another_object() {
        let missing = || Some(OsString::from("/nowhere/at/all"));
        let error = chosen(true, missing()).unwrap_err();
        assert!(error.contains("SLUICE_EBPF_OBJECT=/nowhere/at/all"), "{error}");
        assert!(chosen(false, missing()).unwrap() == EMBEDDED);
    }

    #[test]
    fn the_committed_object_was_built_from_these_sources() {
        let workspace = std::path::Path::new("../..");
        let workspace = workspace.canonicalize().unwrap();
        let embedded = fs::read(workspace.join(sources::OBJECT)).unwrap();
        assert!(embedded == EMBEDDED, "this test was compiled with another object");
        let said = fs::read_to_string(workspace.join(sources::HASHES)).unwrap();
        let is = sources::hashes(&workspace, &embedded).unwrap();
        assert_eq!(said, is, "stale: run `cargo xtask build-ebpf` and commit {}", sources::OBJECT);
    }
}
