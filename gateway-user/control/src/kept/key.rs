//! The key that files are sealed with, as its own file has it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};

/// Fewest bytes of a key's file: as many as the derived key has.
const MIN_BYTES: usize = 32;
/// Most bytes: more is another file by mistake.
const MAX_BYTES: usize = 64 * 1024;
/// Purpose of the derived key (RFC 5869 section 3.2).
const LABEL: &[u8] = b"sluice last good 1";
/// Interval of looking at the file. Kubelet itself takes a minute to replace a Secret's.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// A key that files are sealed with.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey(Vec<u8>);

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

impl SealingKey {
    /// Reads its file, of which every byte counts.
    ///
    /// # Errors
    /// It cannot be read, or is shorter than 32 bytes; the text names file and flag.
    pub fn read(path: &Path) -> io::Result<Self> {
        let named =
            |kind, why: String| io::Error::new(kind, format!("--last-good-key {}: {why}", path.display()));
        let mut bytes = Vec::new();
        let file = File::open(path).map(|file| file.take(MAX_BYTES as u64 + 1));
        file.and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|error| named(io::ErrorKind::Other, error.to_string()))?;
        match bytes.len() {
            MIN_BYTES..=MAX_BYTES => Ok(Self(bytes)),
            length @ ..MIN_BYTES => Err(named(
                io::ErrorKind::InvalidInput,
                format!("{length} bytes are too few for a key: write {MIN_BYTES} random ones at least"),
            )),
            _ => Err(named(io::ErrorKind::InvalidInput, format!("it has more than {MAX_BYTES} bytes"))),
        }
    }

    /// The key of one file, by the file's salt.
    pub(super) fn of_file(&self, salt: &[u8]) -> io::Result<LessSafeKey> {
        let secret = Salt::new(HKDF_SHA256, salt).extract(&self.0);
        let derived = secret.expand(&[LABEL], &AES_256_GCM).map_err(io::Error::other)?;
        Ok(LessSafeKey::new(UnboundKey::from(derived)))
    }
}

/// The key's file as it changes.
#[derive(Debug)]
pub(crate) struct KeyWatch {
    path: PathBuf,
    /// The key that was seen last.
    seen: Option<SealingKey>,
    next: Instant,
}

impl KeyWatch {
    pub(super) fn new(path: PathBuf) -> Self {
        let seen = SealingKey::read(&path).ok();
        Self { path, seen, next: Instant::now() + LOOK_INTERVAL }
    }

    /// True if there is another key than the last time. Looks every ten seconds at most. A file that is no key now counts as
    /// unchanged: it could seal nothing.
    pub(crate) fn has_changed(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + LOOK_INTERVAL;
        let Ok(key) = SealingKey::read(&self.path) else { return false };
        let changed = self.seen.as_ref().is_some_and(|seen| *seen != key);
        self.seen = Some(key);
        changed
    }

    /// When it is worth another look.
    pub(crate) fn next_look(&self) -> Instant {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn a_file_that_is_no_key_is_refused_by_name() {
        let dir = Scratch::new("key").unwrap();
        let path = dir.join("key");
        for (bytes, part) in [
            (None, "No such file"),
            (Some(0), "0 bytes are too few"),
            (Some(31), "31 bytes are too few"),
            (Some(MAX_BYTES + 1), "more than 65536"),
        ] {
            if let Some(bytes) = bytes {
                dir.write("key", &"k".repeat(bytes)).unwrap();
            }
            let error = SealingKey::read(&path).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--last-good-key {}: ", path.display())), "{error}");
            assert!(error.contains(part), "{error}");
        }
        for bytes in [32, MAX_BYTES] {
            dir.write("key", &"k".repeat(bytes)).unwrap();
            SealingKey::read(&path).unwrap();
        }
    }

    #[test]
    fn another_key_is_seen_once_and_not_at_every_moment() {
        let dir = Scratch::new("key").unwrap();
        dir.write("key", &"a".repeat(32)).unwrap();
        let mut watch = KeyWatch::new(dir.join("key"));
        let mut now = watch.next_look();
        assert!(!watch.has_changed(now));
        dir.write("key", &"b".repeat(32)).unwrap();
        assert!(!watch.has_changed(now), "it is not time");
        now = watch.next_look();
        assert!(watch.has_changed(now));
        dir.write("key", "short").unwrap();
        now = watch.next_look();
        assert!(!watch.has_changed(now), "nothing can be sealed with it");
        dir.write("key", &"b".repeat(32)).unwrap();
        now = watch.next_look();
        assert!(!watch.has_changed(now));
    }
}
