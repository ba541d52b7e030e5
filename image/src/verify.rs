//! The second of two builds, at another place and without anything of the first one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sluice_tooling::cargo::target_dir;

use crate::binary::{Build, copy_checkout};
use crate::oci::Packed;

/// A copy of the checkout, with room for what is built of it; both go when this does.
pub struct Second {
    folder: PathBuf,
}

impl Drop for Second {
    fn drop(&mut self) {
        // Left behind, it takes a gigabyte; the error that ends the command counts more.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Second {
    /// Copies the checkout as it is now: before the first build, so that edits meanwhile are in neither or in that one alone,
    /// which the comparison then tells.
    ///
    /// # Errors
    /// A file cannot be copied.
    pub fn copy() -> Result<Self> {
        let second = Self { folder: target_dir()?.join(format!("image-second-{}", std::process::id())) };
        let to = second.source();
        copy_checkout(&to).with_context(|| format!("copying the checkout to {}", to.display()))?;
        Ok(second)
    }

    fn source(&self) -> PathBuf {
        self.folder.join("a-copy-of-the-checkout")
    }

    /// Builds as `first` was built, into an empty target folder, and packs the program.
    ///
    /// # Errors
    /// Those of the build and of `pack`.
    pub fn build(&self, first: &Build, pack: impl FnOnce(&Path) -> Result<Packed>) -> Result<Packed> {
        let build = Build {
            source: self.source(),
            target: self.folder.join("built"),
            profile: first.profile.clone(),
            platform: first.platform,
            revision: first.revision.clone(),
        };
        pack(&build.run()?)
    }
}

/// Compares two images.
///
/// # Errors
/// They differ; the message says in which layer.
pub fn compare(one: &Packed, other: &Packed) -> Result<()> {
    for ((one, other), content) in one.layers().iter().zip(other.layers()).zip(["base", "sluice"]) {
        let (a, b) = (one.digest(), other.digest());
        ensure!(a == b, "the layer {content} is {a} once and {b} the second time");
    }
    let (a, b) = (one.digest(), other.digest());
    ensure!(a == b, "the image is {a} once and {b} the second time");
    println!("built twice, at two places: {a} both times");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::oci::{Compression, Image, Layer};
    use crate::platform::Platform;

    fn packed(program: &str, created: &str) -> Packed {
        let mut layer = Layer::default();
        layer.program("sluice", program).unwrap();
        let image = Image {
            platform: Platform::Amd64,
            layers: vec![Layer::default(), layer],
            config: Map::new(),
            created: Some(created.to_owned()),
            labels: Default::default(),
        };
        image.pack(Compression::Gzip).unwrap()
    }

    #[test]
    fn a_difference_is_told_with_its_layer() {
        let one = packed("a", "2026-11-28T00:00:00Z");
        compare(&one, &packed("a", "2026-11-28T00:00:00Z")).unwrap();
        let error = |other| compare(&one, &other).unwrap_err().to_string();
        assert!(error(packed("b", "2026-11-28T00:00:00Z")).starts_with("the layer sluice is"));
        assert!(error(packed("a", "2026-11-29T00:00:00Z")).starts_with("the image is"));
    }
}
