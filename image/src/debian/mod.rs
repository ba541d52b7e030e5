//! Packages of Debian: fetched by apt, which checks who signed them, and read without installing them.

mod apt;
mod content;
mod license;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::platform::Platform;
pub use apt::{Apt, Lists, Package, SUITE};
pub use content::Content;
pub use license::license;

/// Packages with their contents, by name.
pub struct Packages {
    /// The release that they are of.
    pub suite: String,
    /// Each with what an image takes of it.
    pub all: BTreeMap<String, (Package, Content)>,
}

impl Packages {
    /// Fetches these, and the packages that have their terms of use where those lie in another one.
    ///
    /// # Errors
    /// apt cannot be run, knows no such package, or cannot fetch it.
    pub fn fetch(apt: &Apt, platform: Platform, names: &[&str]) -> Result<Self> {
        let mut all = BTreeMap::new();
        let mut open: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        while !open.is_empty() {
            for package in apt.packages(&open)? {
                let content = Content::read(&package, platform)
                    .with_context(|| format!("reading {}", package.file.display()))?;
                all.insert(package.name.clone(), (package, content));
            }
            let elsewhere = all.values().filter_map(|(_, content)| content.terms_in.clone());
            open = elsewhere.filter(|name| !all.contains_key(name)).collect();
            open.dedup();
        }
        Ok(Self { suite: apt.suite().to_owned(), all })
    }

    /// `NAME=VERSION` of each, in one line.
    pub fn line(&self) -> String {
        let each = self.all.values().map(|(package, _)| format!("{}={}", package.name, package.version));
        each.collect::<Vec<_>>().join(" ")
    }
}
