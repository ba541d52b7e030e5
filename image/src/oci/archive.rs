//! Archives of an image under its names.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Map, Value, json};
use tar::Builder;

use super::blob::{Blob, Compression, digest};
use super::layer::{Layer, header};
use crate::platform::Platform;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image to be packed.
pub struct Image {
    /// The machine that it runs on.
    pub platform: Platform,
    /// The lowest first.
    pub layers: Vec<Layer>,
    /// Settings of its containers: `Entrypoint`, `Env`, `User`, … (image-spec, config.md, properties of `config`).
    pub config: Map<String, Value>,
    /// When its source was made (RFC 3339), if that is to be told.
    pub created: Option<String>,
    /// Facts about it, in the manifest and as labels.
    pub labels: BTreeMap<String, String>,
}

/// An image in its final form.
pub struct Packed {
    platform: Platform,
    manifest: Blob,
    config: Blob,
    layers: Vec<Blob>,
}

impl Image {
    /// Packs it: the same image gives the same digests.
    ///
    /// # Errors
    /// A path of a layer is too long for an archive.
    pub fn pack(&self, compression: Compression) -> Result<Packed> {
        let (mut diff_ids, mut layers) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            let tar = layer.tar()?;
            diff_ids.push(digest(&tar));
            layers.push(Blob::layer(&tar, compression)?);
        }
        let mut started = self.config.clone();
        if !self.labels.is_empty() {
            started.insert("Labels".to_owned(), json!(self.labels));
        }
        let mut config = json!({
            "architecture": self.platform.architecture(), "os": "linux", "config": started,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        if let Some(created) = &self.created {
            config["created"] = json!(created);
        }
        let config = Blob::new(CONFIG, config.to_string().into_bytes());
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        if !self.labels.is_empty() {
            manifest["annotations"] = json!(self.labels);
        }
        let manifest = Blob::new(MANIFEST, manifest.to_string().into_bytes());
        Ok(Packed { platform: self.platform, manifest, config, layers })
    }
}

impl Packed {
    /// The digest that a registry and `image: NAME@DIGEST` know it by: that of its manifest.
    pub fn digest(&self) -> &str {
        self.manifest.digest()
    }

    /// Its layers, the lowest first.
    pub fn layers(&self) -> &[Blob] {
        &self.layers
    }

    /// An archive with the image under each of these names.
    ///
    /// # Errors
    /// None that memory does not give.
    pub fn archive(&self, names: &[&str]) -> Result<Vec<u8>> {
        let index = json!({
            "schemaVersion": 2, "mediaType": INDEX,
            "manifests": names.iter().map(|name| self.named(name)).collect::<Vec<_>>(),
        });
        let mut tar = Builder::new(Vec::new());
        let mut file = |name: &str, content: &[u8]| {
            tar.append_data(&mut header(content.len() as u64, 0o644), name, content)
        };
        file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        file("index.json", index.to_string().as_bytes())?;
        let blobs = self.layers.iter().chain([&self.config, &self.manifest]);
        for (path, blob) in blobs.map(|blob| (blob.path(), blob)).collect::<BTreeMap<_, _>>() {
            file(&path, blob.bytes())?;
        }
        Ok(tar.into_inner()?)
    }

    /// The manifest under one name; containerd reads the first of the two annotations.
    fn named(&self, name: &str) -> Value {
        let mut descriptor = self.manifest.descriptor();
        descriptor["platform"] = json!({ "architecture": self.platform.architecture(), "os": "linux" });
        descriptor["annotations"] =
            json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
        descriptor
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

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

    fn image() -> Image {
        let mut layer = Layer::default();
        layer.program("hello", "an ELF file").unwrap();
        Image {
            platform: Platform::Arm64,
            layers: vec![layer],
            config: Map::from_iter([("Entrypoint".to_owned(), json!(["/hello"]))]),
            created: Some("2026-11-28T00:00:00Z".to_owned()),
            labels: BTreeMap::from([("org.opencontainers.image.title".to_owned(), "hello".to_owned())]),
        }
    }

    /// The config and the layers' archives that an archive's second name leads to, every digest and size held.
    fn second(archive: &[u8]) -> (Value, Value, Vec<Vec<u8>>) {
        let files = unpack(archive);
        let blob = |descriptor: &Value| {
            let blob = &files[&format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))];
            assert_eq!(descriptor["size"].as_u64().unwrap(), blob.len() as u64);
            assert_eq!(descriptor["digest"], digest(blob));
            blob.clone()
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let names = index["manifests"].as_array().unwrap();
        assert_eq!(names.len(), 2);
        assert_eq!(names[1]["annotations"]["io.containerd.image.name"], "example.test/hello:v2");
        assert_eq!(names[1]["platform"]["architecture"], "arm64");
        let manifest: Value = serde_json::from_slice(&blob(&names[1])).unwrap();
        let config = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter().map(blob).collect();
        (manifest, config, layers)
    }

    #[test]
    fn every_digest_leads_to_its_blob_down_to_the_program() {
        let names = ["example.test/hello:v1", "example.test/hello:v2"];
        for compression in [Compression::None, Compression::Gzip] {
            let packed = image().pack(compression).unwrap();
            let archive = packed.archive(&names).unwrap();
            assert_eq!(
                archive,
                image().pack(compression).unwrap().archive(&names).unwrap(),
                "the same again"
            );
            let (manifest, config, layers) = second(&archive);
            assert_eq!(config["config"]["Entrypoint"], json!(["/hello"]));
            assert_eq!(config["config"]["Labels"], manifest["annotations"]);
            assert_eq!(manifest["annotations"]["org.opencontainers.image.title"], "hello");
            assert_eq!(config["created"], "2026-11-28T00:00:00Z");
            let mut tar = layers[0].clone();
            if compression == Compression::Gzip {
                tar.clear();
                flate2::read::GzDecoder::new(layers[0].as_slice()).read_to_end(&mut tar).unwrap();
                assert_eq!(layers[0][4..10], [0, 0, 0, 0, 0, 255], "neither a time nor a system");
            }
            assert_eq!(config["rootfs"]["diff_ids"][0], digest(&tar));
            assert_eq!(unpack(&tar)["hello"], b"an ELF file");
        }
    }
}
