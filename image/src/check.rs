//! Checks of a packed image: its entries as the layers have them, and its program as a container runs it.

use std::io::{self, Read as _};

use anyhow::{Result, ensure};
use flate2::read::GzDecoder;
use tar::{Archive, Entry, EntryType};

use crate::gateway::PROGRAM;
use crate::oci::{Blob, Packed};

/// A million bytes.
pub const MB: u64 = 1_000_000;

/// The layer's archive, whatever form it has.
pub(crate) fn archive(layer: &Blob) -> Archive<Box<dyn io::Read + '_>> {
    let bytes = layer.bytes();
    // RFC 1952 begins with these two.
    let reader: Box<dyn io::Read> =
        if bytes.starts_with(&[0x1f, 0x8b]) { Box::new(GzDecoder::new(bytes)) } else { Box::new(bytes) };
    Archive::new(reader)
}

/// Bytes of a layer's files.
///
/// # Errors
/// The layer cannot be read.
pub fn size(layer: &Blob) -> Result<u64> {
    let mut size = 0;
    for entry in archive(layer).entries()? {
        size += entry?.size();
    }
    Ok(size)
}

/// Holds every entry against the rules of images: all are root's, only root may write to them, nothing can be started but
/// the program and what loads it, and all together is no more than `most` bytes.
///
/// # Errors
/// An entry breaks a rule, or there is too much of it.
pub fn judge(packed: &Packed, most: u64) -> Result<()> {
    let mut size = 0;
    for layer in packed.layers() {
        for entry in archive(layer).entries()? {
            let mut entry = entry?;
            judge_entry(&mut entry)?;
            size += entry.size();
        }
    }
    ensure!(
        size <= most,
        "the image's files are {:.1} MB, and at most {:.1} MB are allowed (--max-size)",
        size as f64 / MB as f64,
        most as f64 / MB as f64
    );
    Ok(())
}

fn judge_entry(entry: &mut Entry<'_, impl io::Read>) -> Result<()> {
    let path = format!("/{}", entry.path()?.display());
    let header = entry.header();
    let (mode, kind) = (header.mode()?, header.entry_type());
    ensure!((header.uid()?, header.gid()?) == (0, 0), "{path} is not root's");
    match kind {
        EntryType::Regular => {
            ensure!(mode & 0o7022 == 0, "{path} has the permissions {mode:o}");
            let may_start = path == PROGRAM || path.contains("/ld-linux");
            ensure!(mode & 0o111 == 0 || may_start, "{path} can be started");
            let mut start = [0; 2];
            let read = entry.read(&mut start)?;
            ensure!(&start[..read] != b"#!", "{path} is a script");
        }
        // Everybody may write to the folder for temporary files, and remove only their own there.
        EntryType::Directory if path == "/tmp/" => {
            ensure!(mode == 0o1777, "{path} has the permissions {mode:o}")
        }
        EntryType::Directory => ensure!(mode == 0o755, "{path} has the permissions {mode:o}"),
        EntryType::Symlink => {}
        other => anyhow::bail!("{path} is {other:?}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::oci::{Compression, Entry as OciEntry, Image, Layer};
    use crate::platform::Platform;

    fn judged(layer: Layer, most: u64) -> Result<()> {
        let image = Image {
            platform: Platform::Amd64,
            layers: vec![layer],
            config: Map::new(),
            created: None,
            labels: Default::default(),
        };
        judge(&image.pack(Compression::Gzip)?, most)
    }

    fn with(path: &str, mode: u32, content: &str) -> Layer {
        let mut layer = Layer::default();
        layer.program("sluice", "12345678").unwrap();
        layer.folder("tmp", 0o1777).unwrap();
        layer.add(path, OciEntry::File { mode, content: content.into() }).unwrap();
        layer
    }

    #[test]
    fn an_image_may_have_libraries_and_a_loader() {
        judged(with("usr/lib64/ld-linux-x86-64.so.2", 0o755, "x"), 9).unwrap();
        judged(with("usr/lib/libc.so.6", 0o644, "x"), 9).unwrap();
    }

    #[test]
    fn a_byte_too_many_is_too_many() {
        let error = judged(with("a", 0o644, "xy"), 9).unwrap_err().to_string();
        assert!(error.contains("--max-size"), "{error}");
    }

    #[test]
    fn each_rule_is_held() {
        for (path, mode, content, part) in [
            ("bin/sh", 0o755, "", "/bin/sh can be started"),
            ("etc/passwd", 0o664, "", "/etc/passwd has the permissions 664"),
            ("usr/lib64/ld-linux.so", 0o4755, "", "permissions 4755"),
            ("etc/start", 0o644, "#!/bin/sh", "/etc/start is a script"),
        ] {
            let error = judged(with(path, mode, content), 99).unwrap_err().to_string();
            assert!(error.contains(part), "{path}: {error}");
        }
        let mut layer = with("a", 0o644, "");
        layer.folder("var", 0o777).unwrap();
        assert!(judged(layer, 99).unwrap_err().to_string().contains("/var/ has the permissions 777"));
    }
}
