//! Container images of one static program each, for the cluster's own needs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, json};
use sluice_image::oci::{Compression, Image as OciImage, Layer};
use sluice_image::platform::Platform;

use crate::cache::{self, Key};

/// An image to be made.
pub(crate) struct Image<'a> {
    /// The program that it starts, which needs no library.
    pub(crate) program: &'a Path,
    /// Every name it is known by.
    pub(crate) names: &'a [&'a str],
}

/// Users by name, for programs that look themselves up.
const PASSWD: &str = "root:x:0:0:root:/:/\nnobody:x:65532:65532:nobody:/:/\n";

impl Image<'_> {
    /// Gives the archive, which lies beside the program; writes it if it is not there yet. The program's
    /// folder is named by what it was built of, and the archive by all else that is in it.
    pub(crate) fn write(&self) -> Result<PathBuf> {
        let mut key = Key::default();
        key.add(&self.archive(&[])?);
        let to = self.program.with_extension(format!("{}.tar", key.name()));
        cache::keep(&to, |partial| {
            let archive =
                fs::read(self.program).map_err(Into::into).and_then(|program| self.archive(&program));
            let archive = archive.with_context(|| format!("packing {}", self.program.display()))?;
            Ok(fs::write(partial, archive)?)
        })?;
        Ok(to)
    }

    /// The archive of the image with these bytes as its program.
    fn archive(&self, program: &[u8]) -> Result<Vec<u8>> {
        let name = self.program.file_name().context("a program has a name")?.display().to_string();
        let mut layer = Layer::default();
        layer.folder("tmp", 0o1777)?;
        layer.file("etc/passwd", PASSWD)?;
        layer.program(&name, program)?;
        let config = Map::from_iter([
            ("Entrypoint".to_owned(), json!([format!("/{name}")])),
            ("Env".to_owned(), json!(["PATH=/"])),
            ("WorkingDir".to_owned(), json!("/")),
        ]);
        let image = OciImage {
            platform: Platform::of_this_machine().context("a node runs on x86_64 or aarch64")?,
            layers: vec![layer],
            config,
            created: None,
            labels: Default::default(),
        };
        image.pack(Compression::None)?.archive(self.names)
    }
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn an_archive_is_named_by_all_that_is_in_it() {
        let dir = Scratch::new("image").unwrap();
        let program = dir.join("hello");
        fs::write(&program, "an ELF file").unwrap();
        let image = Image { program: &program, names: &["example.test/hello:v1"] };
        let archive = fs::read(image.write().unwrap()).unwrap();
        assert_eq!(archive, image.archive(b"an ELF file").unwrap(), "the same image is the same file");
        let other = Image { program: &program, names: &["example.test/hello:v2"] };
        assert_ne!(image.write().unwrap(), other.write().unwrap(), "other names are another archive");
    }
}
