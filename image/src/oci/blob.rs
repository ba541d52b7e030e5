//! Contents by their digest.

use std::io::Write as _;

use anyhow::Result;
use flate2::{Compression as Level, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A content with its kind and its digest.
#[derive(Clone, Debug)]
pub struct Blob {
    media_type: &'static str,
    digest: String,
    bytes: Vec<u8>,
}

/// The form in which a layer is kept and transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is: for images that are loaded on the same machine.
    None,
    /// Readable by every engine there is. Without a name and a time in its header, and by the one version of the compressor
    /// that `Cargo.lock` has, so that the same layer has the same digest on every machine.
    Gzip,
}

impl Blob {
    pub(super) fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, digest: digest(&bytes), bytes }
    }

    /// A layer's archive in this form.
    pub(super) fn layer(tar: &[u8], compression: Compression) -> Result<Self> {
        match compression {
            Compression::None => Ok(Self::new("application/vnd.oci.image.layer.v1.tar", tar.to_vec())),
            Compression::Gzip => {
                // 255: no system is named either (RFC 1952).
                let mut gzip = GzBuilder::new().operating_system(255).write(Vec::new(), Level::new(6));
                gzip.write_all(tar)?;
                Ok(Self::new("application/vnd.oci.image.layer.v1.tar+gzip", gzip.finish()?))
            }
        }
    }

    /// `sha256:` and 64 hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The reference by which other documents name it.
    pub(super) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }

    /// Its place in a layout.
    pub(super) fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
