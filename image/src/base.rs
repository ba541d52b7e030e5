//! The lower layer: Debian's libraries, the certificates of authorities, and users by name.

use anyhow::{Context as _, Result, ensure};

use crate::debian::Packages;
use crate::elf::{self, Needs};
use crate::oci::{Entry, Layer};

/// The packages that it is made of.
pub const PACKAGES: [&str; 3] = ["libc6", "libgcc-s1", "ca-certificates"];

/// Users by name, for programs that look themselves up.
const PASSWD: &str = "root:x:0:0:root:/:/\nnobody:x:65532:65532:nobody:/:/\n";
const GROUP: &str = "root:x:0:\nnobody:x:65532:\n";
/// Without it libc asks DNS before the file of hosts.
const NSSWITCH: &str = "hosts: files dns\n";
/// Where programs of every distribution look for authorities.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// The layer with the packages it is made of. It depends on nothing else, so that an upgrade transfers the layer of the
/// program alone.
pub struct Base {
    /// Its entries.
    pub layer: Layer,
    /// Its packages.
    pub packages: Packages,
}

impl Base {
    /// Makes it of packages.
    ///
    /// # Errors
    /// Two packages have one path, or none has certificates.
    pub fn make(packages: Packages) -> Result<Self> {
        let mut layer = Layer::default();
        let mut certificates = Vec::new();
        for (_, content) in packages.all.values() {
            for (path, entry) in &content.libraries {
                layer.add(path, entry.clone())?;
            }
            if let Some((path, text)) = &content.terms {
                layer.file(path, text.clone())?;
            }
            certificates.extend(content.certificates.iter());
        }
        ensure!(!certificates.is_empty(), "no package has certificates of authorities");
        certificates.sort();
        let mut bundle = Vec::new();
        for (path, pem) in certificates {
            bundle.extend_from_slice(pem);
            ensure!(bundle.ends_with(b"-----END CERTIFICATE-----\n"), "{path} is no certificate in PEM");
        }
        layer.file(AUTHORITIES, bundle)?;
        layer.file("etc/passwd", PASSWD)?;
        layer.file("etc/group", GROUP)?;
        layer.file("etc/nsswitch.conf", NSSWITCH)?;
        layer.folder("tmp", 0o1777)?;
        for folder in ["lib", "lib64"] {
            let target = format!("usr/{folder}");
            if layer.entries().keys().any(|path| path.starts_with(&format!("{target}/"))) {
                layer.link(folder, &target)?;
            }
        }
        Ok(Self { layer, packages })
    }

    /// Checks that a program finds every library, each with the versions of symbols that it was linked to.
    ///
    /// # Errors
    /// It does not; the message says which, and what to do.
    pub fn judge(&self, program: &[u8]) -> Result<()> {
        let mut open = vec![("the program".to_owned(), elf::needs(program).context("the program")?)];
        let mut seen = Vec::new();
        while let Some((who, needs)) = open.pop() {
            self.judge_needs(&who, &needs)?;
            for name in needs.into_keys() {
                if !seen.contains(&name) {
                    let needs = elf::needs(self.library(&name)?).with_context(|| name.clone())?;
                    open.push((name.clone(), needs));
                    seen.push(name);
                }
            }
        }
        Ok(())
    }

    fn judge_needs(&self, who: &str, needs: &Needs) -> Result<()> {
        for (name, wanted) in needs {
            let library = self
                .library(name)
                .with_context(|| format!("{who} needs {name}: name its package in base.rs"))?;
            let has = elf::versions(library).with_context(|| name.clone())?;
            let missing: Vec<_> = wanted.difference(&has).map(String::as_str).collect();
            ensure!(
                missing.is_empty(),
                "{who} needs {} of {name}, which Debian {} has not: build it on a system that is no newer, or name a \
                 newer release with --suite",
                missing.join(", "),
                self.packages.suite
            );
        }
        Ok(())
    }

    /// The library of this name, links followed.
    fn library(&self, name: &str) -> Result<&[u8]> {
        let mut found = self.layer.entries().iter().filter(|(path, _)| {
            path.starts_with("usr/lib") && path.rsplit_once('/').is_some_and(|(_, file)| file == name)
        });
        let links = found.clone().filter_map(|(_, entry)| match entry {
            Entry::Link { target } => target.rsplit('/').next(),
            _ => None,
        });
        let file = found.find_map(|(_, entry)| match entry {
            Entry::File { content, .. } => Some(content.as_slice()),
            _ => None,
        });
        match (file, links.into_iter().find(|target| *target != name)) {
            (Some(file), _) => Ok(file),
            (None, Some(target)) => self.library(target),
            (None, None) => {
                anyhow::bail!("none of {} has a library {name}", self.packages.line())
            }
        }
    }
}
