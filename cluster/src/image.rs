//! Container images of one program each, as archives that containerd imports (OCI image layout 1.0.0).

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::cache::{self, Key};

/// An image to be made.
pub(crate) struct Image<'a> {
    /// The program that it starts.
    pub(crate) program: &'a Path,
    /// Where on this machine the program finds its libraries, and in the image; a static one has none.
    pub(crate) libraries: &'a [PathBuf],
    /// Every name it is known by.
    pub(crate) names: &'a [&'a str],
}

/// Users by name, for programs that look themselves up.
const PASSWD: &[u8] = b"root:x:0:0:root:/:/\nnobody:x:65532:65532:nobody:/:/\n";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

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
    pub(crate) fn archive(&self, program: &[u8]) -> Result<Vec<u8>> {
        let entry = format!("/{}", self.program.file_name().context("a program has a name")?.display());
        let layer = layer(&entry, program, self.libraries)?;
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": { "Entrypoint": [entry], "Env": ["PATH=/"], "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        })
        .to_string()
        .into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        })
        .to_string()
        .into_bytes();
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": self.names.iter().map(|name| named(&manifest, name)).collect::<Vec<_>>(),
        });
        let mut tar = Builder::new(Vec::new());
        file(&mut tar, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        file(&mut tar, "index.json", 0o644, index.to_string().as_bytes())?;
        for blob in [&layer, &config, &manifest] {
            file(&mut tar, &format!("blobs/{}", digest(blob).replace(':', "/")), 0o644, blob)?;
        }
        Ok(tar.into_inner()?)
    }
}

/// The manifest under one name; containerd reads the first of the two annotations.
fn named(manifest: &[u8], name: &str) -> Value {
    let mut descriptor = descriptor(MANIFEST, manifest);
    descriptor["platform"] = json!({ "architecture": architecture(), "os": "linux" });
    descriptor["annotations"] =
        json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
    descriptor
}

fn layer(entry: &str, program: &[u8], libraries: &[PathBuf]) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (name, mode) in [("tmp/", 0o1777), ("etc/", 0o755)] {
        let mut header = header(0, mode);
        header.set_entry_type(EntryType::Directory);
        tar.append_data(&mut header, name, io::empty())?;
    }
    file(&mut tar, "etc/passwd", 0o644, PASSWD)?;
    file(&mut tar, entry.trim_start_matches('/'), 0o755, program)?;
    for library in libraries {
        file(&mut tar, &library.display().to_string()[1..], 0o755, &fs::read(library)?)?;
    }
    tar.into_inner()
}

fn file(tar: &mut Builder<Vec<u8>>, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    tar.append_data(&mut header(content.len() as u64, mode), name, Cursor::new(content))
}

/// No owner but root and no time of day, so that the same content has the same digest.
fn header(size: u64, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(blob), "size": blob.len() })
}

fn digest(blob: &[u8]) -> String {
    let hex: String = Sha256::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// This machine's architecture by Go's name for it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn unpack(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        });
        entries.collect()
    }

    #[test]
    fn every_digest_leads_to_its_blob_down_to_the_program() {
        let dir = Scratch::new("image").unwrap();
        let program = dir.join("hello");
        fs::write(&program, "an ELF file").unwrap();
        let image = Image {
            program: &program,
            libraries: &[],
            names: &["example.test/hello:v1", "example.test/hello:v2"],
        };
        let archive = fs::read(image.write().unwrap()).unwrap();
        assert_eq!(archive, image.archive(b"an ELF file").unwrap(), "the same image is the same file");
        let other = Image { program: &program, libraries: &[], names: &["example.test/hello:v3"] };
        assert_ne!(image.write().unwrap(), other.write().unwrap(), "other names are another archive");
        let files = unpack(&archive);
        let blob = |descriptor: &Value| {
            let blob = &files[&format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))];
            assert_eq!(descriptor["size"].as_u64().unwrap(), blob.len() as u64);
            assert_eq!(descriptor["digest"], digest(blob));
            blob.clone()
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let names: Vec<_> = index["manifests"].as_array().unwrap().iter().collect();
        assert_eq!(names[1]["annotations"]["io.containerd.image.name"], "example.test/hello:v2");
        assert_eq!(names.len(), 2);
        let manifest: Value = serde_json::from_slice(&blob(names[0])).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(config["config"]["Entrypoint"], json!(["/hello"]));
        let layer = blob(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        assert_eq!(unpack(&layer)["hello"], b"an ELF file");
    }
}
