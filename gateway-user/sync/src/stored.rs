//! The configuration as a file, for a node that starts without its controller.
//!
//! A line that names the format, then frames as a controller sends them, a commit last. What the node served closed is kept
//! closed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gateway_ir::{Certificate, Ir, PrivateKey};
use prost::Message as _;

use crate::SCHEMA;
use crate::codec::{self, MAX_DOWN, ReadError};
use crate::frame::{Commit, Down, DownFrame};
use crate::item::Desired;
use crate::replica::{Replica, ReplicaError};
use crate::table::changes;

/// The error of a file.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Another version wrote it, or something else.
    #[error("it is not of this version's format")]
    Format,
    /// It is cut or broken.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It does not fit together.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// It has no end.
    #[error("it has no end")]
    Cut,
}

fn format() -> String {
    format!("sluice stream {SCHEMA}\n")
}

/// Pieces of the file, in order. Private keys are in it only if `with_keys`, and secrets of session tickets never: they would
/// open what was recorded (RFC 8446 appendix F.1.2, forward secrecy).
pub fn write(desired: &Desired, with_keys: bool) -> impl Iterator<Item = Bytes> {
    let desired = if with_keys { desired.clone() } else { without_keys(desired) };
    let desired = Desired { tickets: Arc::default(), ..desired };
    let items = changes::between(&Desired::default(), &desired).puts;
    let commit = Commit { version: 1, items: items.len() as u64 };
    let end = codec::encode(&Down::from(DownFrame::Commit(commit)));
    std::iter::once(format().into()).chain(items.into_iter().map(|item| item.frame)).chain([end])
}

/// Fills an empty replica from a file's bytes. A controller that it connects to tells it by buckets what differs.
///
/// # Errors
/// [`StoredError`]; then nothing is in it.
pub fn read(bytes: &[u8], replica: &mut Replica) -> Result<(), StoredError> {
    let read = fill(bytes, replica);
    if read.is_err() {
        *replica = Replica::new(replica.capabilities().clone());
    }
    read
}

fn fill(bytes: &[u8], replica: &mut Replica) -> Result<(), StoredError> {
    let rest = bytes.strip_prefix(format().as_bytes()).ok_or(StoredError::Format)?;
    let mut rest = BytesMut::from(rest);
    replica.begin(0);
    while let Some(raw) = codec::take(&mut rest, MAX_DOWN)? {
        let down = Down::decode(raw.clone()).map_err(ReadError::from)?;
        let Some(frame) = down.frame else { continue };
        if replica.take(frame, &raw)?.is_some() {
            return Ok(());
        }
    }
    Err(StoredError::Cut)
}

fn without_keys(desired: &Desired) -> Desired {
    let strip = |certificate: &Arc<Certificate>| {
        Arc::new(Certificate { key: PrivateKey(Vec::new()), ..Certificate::clone(certificate) })
    };
    let mut ir = Ir::clone(&desired.ir);
    for listener in ir.binds.iter_mut().flat_map(|bind| &mut bind.listeners) {
        listener.backend_certificate = listener.backend_certificate.as_ref().map(strip);
        if let Some(tls) = &mut listener.tls {
            tls.certificates = tls.certificates.iter().map(strip).collect();
        }
    }
    Desired { ir: Arc::new(ir), ..desired.clone() }
}
