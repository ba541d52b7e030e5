//! The files of a package that an image takes.

use std::io::Read as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tar::{Archive, EntryType};

use super::apt::Package;
use crate::oci::Entry;
use crate::platform::Platform;

const CERTIFICATES: &str = "usr/share/ca-certificates/";

/// The part of a package that an image takes: no program and no script is.
#[derive(Debug, Default)]
pub struct Content {
    /// Shared libraries, what loads them, and links between them, by path.
    pub libraries: Vec<(String, Entry)>,
    /// Certificates in PEM by path.
    pub certificates: Vec<(String, Vec<u8>)>,
    /// The terms of use, by path.
    pub terms: Option<(String, Vec<u8>)>,
    /// The package that has them instead.
    pub terms_in: Option<String>,
}

impl Content {
    /// Reads a package.
    ///
    /// # Errors
    /// It is no package, or its terms of use are missing.
    pub fn read(package: &Package, platform: Platform) -> Result<Self> {
        let output =
            Command::new("dpkg-deb").arg("--fsys-tarfile").arg(&package.file).output().context("dpkg-deb")?;
        ensure!(output.status.success(), "dpkg-deb: {}", String::from_utf8_lossy(&output.stderr).trim());
        let content = Self::of(&package.name, platform, &output.stdout)?;
        let has_terms = content.terms.is_some() || content.terms_in.is_some();
        ensure!(has_terms, "the package has no terms of use");
        Ok(content)
    }

    fn of(name: &str, platform: Platform, tar: &[u8]) -> Result<Self> {
        let mut content = Self::default();
        let doc = format!("usr/share/doc/{name}");
        for entry in Archive::new(tar).entries()? {
            let mut entry = entry?;
            let path = place(&entry.path()?.display().to_string());
            let target = entry.link_name()?.map(|target| target.display().to_string());
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            let kind = entry.header().entry_type();
            if path == doc && kind == EntryType::Symlink {
                content.terms_in = target;
            } else if path == format!("{doc}/copyright") && kind.is_file() {
                content.terms = Some((path, bytes));
            } else if path.starts_with(CERTIFICATES) && path.ends_with(".crt") {
                content.certificates.push((path, bytes));
            } else if is_library(&path, platform) {
                let entry = match target {
                    Some(target) if kind == EntryType::Symlink => Entry::Link { target },
                    // The loader alone is started; a library need not be.
                    _ if path.contains("/ld-linux") => Entry::File { mode: 0o755, content: bytes },
                    _ => Entry::File { mode: 0o644, content: bytes },
                };
                content.libraries.push((path, entry));
            }
        }
        Ok(content)
    }
}

/// The path of an entry where `/lib` is a link to `/usr/lib`, as it is in every release of today.
fn place(path: &str) -> String {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    if path.starts_with("lib/") || path.starts_with("lib64/") {
        format!("usr/{path}")
    } else {
        path.to_owned()
    }
}

/// True for a shared library in a folder that the loader looks in by itself. Modules of conversions and of the loader's
/// audits lie in folders of their own.
fn is_library(path: &str, platform: Platform) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    let folders = ["usr/lib", "usr/lib64", &format!("usr/lib/{}", platform.triplet())];
    folders.contains(&folder) && (name.ends_with(".so") || name.contains(".so."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Layer;

    #[test]
    fn programs_and_scripts_stay_behind() {
        let mut package = Layer::default();
        package.program("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "loader").unwrap();
        package.program("usr/lib/x86_64-linux-gnu/libc.so.6", "libc").unwrap();
        package
            .link("usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
            .unwrap();
        package.file("usr/lib/x86_64-linux-gnu/gconv/BIG5.so", "module").unwrap();
        package.program("usr/sbin/ldconfig", "program").unwrap();
        package.file("usr/share/doc/libc6/copyright", "terms").unwrap();
        package.file("usr/share/doc/libc6/changelog.gz", "news").unwrap();
        let content = Content::of("libc6", Platform::Amd64, &package.tar().unwrap()).unwrap();
        let libraries: Vec<_> = content.libraries.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            libraries,
            [
                "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                "usr/lib/x86_64-linux-gnu/libc.so.6",
                "usr/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert!(matches!(content.libraries[1].1, Entry::File { mode: 0o644, .. }));
        assert_eq!(content.terms, Some(("usr/share/doc/libc6/copyright".to_owned(), b"terms".to_vec())));
        assert!(content.certificates.is_empty());
    }

    #[test]
    fn terms_may_lie_in_another_package() {
        let mut package = Layer::default();
        package.link("usr/share/doc/libgcc-s1", "gcc-14-base").unwrap();
        let content = Content::of("libgcc-s1", Platform::Amd64, &package.tar().unwrap()).unwrap();
        assert_eq!(content.terms_in.as_deref(), Some("gcc-14-base"));
    }
}
