//! Shared libraries that a program names, and the versions of symbols that it needs of each.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _};

/// Versions of symbols by the library that they are needed of; a library may be needed without any.
pub(crate) type Needs = BTreeMap<String, BTreeSet<String>>;

type Header = FileHeader64<Endianness>;

/// The needs of a program or library (`DT_NEEDED` and `.gnu.version_r`), by the name that the loader looks for.
///
/// # Errors
/// It is no 64-bit ELF file.
pub(crate) fn needs(elf: &[u8]) -> Result<Needs> {
    let header = Header::parse(elf).context("no ELF file")?;
    let endian = header.endian()?;
    let sections = header.sections(endian, elf)?;
    let mut needs = Needs::new();
    if let Some((entries, link)) = sections.dynamic(endian, elf)? {
        let strings = sections.strings(endian, elf, link)?;
        for entry in entries.iter().filter(|entry| entry.d_tag(endian) == DT_NEEDED) {
            needs.entry(text(entry.string(endian, strings)?)).or_default();
        }
    }
    if let Some((mut libraries, link)) = sections.gnu_verneed(endian, elf)? {
        let strings = sections.strings(endian, elf, link)?;
        while let Some((library, mut versions)) = libraries.next()? {
            let versions_of = needs.entry(text(library.file(endian, strings)?)).or_default();
            while let Some(version) = versions.next()? {
                versions_of.insert(text(version.name(endian, strings)?));
            }
        }
    }
    Ok(needs)
}

/// The versions of symbols that a library has (`.gnu.version_d`).
///
/// # Errors
/// It is no 64-bit ELF file.
pub(crate) fn versions(elf: &[u8]) -> Result<BTreeSet<String>> {
    let header = Header::parse(elf).context("no ELF file")?;
    let endian = header.endian()?;
    let sections = header.sections(endian, elf)?;
    let mut all = BTreeSet::new();
    if let Some((mut definitions, link)) = sections.gnu_verdef(endian, elf)? {
        let strings = sections.strings(endian, elf, link)?;
        while let Some((_, mut names)) = definitions.next()? {
            if let Some(name) = names.next()? {
                all.insert(text(name.name(endian, strings)?));
            }
        }
    }
    Ok(all)
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn this_program_needs_a_libc_that_has_its_versions() {
        let needs = needs(&fs::read("/proc/self/exe").unwrap()).unwrap();
        let (name, wanted) = needs.iter().find(|(name, _)| name.starts_with("libc.so")).unwrap();
        assert!(wanted.iter().any(|version| version.starts_with("GLIBC_2.")), "{wanted:?}");
        let folders = ["x86_64", "aarch64"].map(|machine| format!("/lib/{machine}-linux-gnu/{name}"));
        let Some(library) = folders.iter().find(|path| Path::new(path).exists()) else {
            panic!("no {name} among {folders:?}");
        };
        let has = versions(&fs::read(library).unwrap()).unwrap();
        assert!(wanted.is_subset(&has), "{wanted:?} of {has:?}");
    }

    #[test]
    fn a_script_is_refused() {
        assert!(needs(b"#!/bin/sh\n").unwrap_err().to_string().contains("no ELF file"));
    }
}
