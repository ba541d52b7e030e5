//! Digests of items in buckets: what two sides have in common is told by 16 KiB, whatever they hold.
//!
//! A node that comes back sends a digest for each bucket, and is sent those buckets that differ. Digests are SHA-256, cut
//! to 16 bytes: tenants write what is digested, and must not be able to make two items that look alike.

use bytes::{BufMut as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use crate::key::Key;

/// Number of buckets. With 40,000 items one that differs costs 40.
pub const BUCKETS: u32 = 1024;
/// Bytes of a digest.
pub const DIGEST: usize = 16;

/// A digest of an item or of a bucket.
pub type Digest = [u8; DIGEST];

/// The bucket of a key.
pub fn of(key: &Key) -> u32 {
    let digest = sha256(&[&key.kind.to_be_bytes(), key.name.as_bytes()]);
    let mut first = [0; 4];
    first.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    u32::from_be_bytes(first) % BUCKETS
}

/// The digest of an item's frame.
pub fn digest(frame: &[u8]) -> Digest {
    sha256(&[frame])
}

/// Digests of all buckets, for items in the order of their keys.
pub fn digests<'a>(items: impl Iterator<Item = (&'a Key, Digest)>) -> Bytes {
    let mut buckets: Vec<Option<Sha256>> = vec![None; BUCKETS as usize];
    for (key, digest) in items {
        if let Some(bucket) = buckets.get_mut(of(key) as usize) {
            bucket.get_or_insert_default().update(digest);
        }
    }
    let mut all = BytesMut::with_capacity(BUCKETS as usize * DIGEST);
    for bucket in buckets {
        all.put_slice(&bucket.map_or([0; DIGEST], cut));
    }
    all.freeze()
}

/// Numbers of the buckets in which two sides differ; all of them if `theirs` is not what [`digests`] makes.
pub fn differing(own: &[u8], theirs: &[u8]) -> Vec<u32> {
    if theirs.len() != own.len() {
        return (0..BUCKETS).collect();
    }
    let pairs = own.chunks(DIGEST).zip(theirs.chunks(DIGEST));
    (0..).zip(pairs).filter(|(_, (own, theirs))| own != theirs).map(|(bucket, _)| bucket).collect()
}

fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    cut(hash)
}

fn cut(hash: Sha256) -> Digest {
    let mut digest = [0; DIGEST];
    digest.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    digest
}
