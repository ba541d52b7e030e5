//! A sealed file: 16 bytes that name format and version, a random salt of 32, then segments under AES-256-GCM.
//!
//! Each file has a key of its own, derived from the key's file and the salt by HKDF-SHA256, so that a segment's number can be
//! its nonce. The nonce also says whether it is the last: segments that are exchanged, left out, or cut off at the end do not
//! open. The 48 bytes before the segments are authenticated with each.

use std::io::{self, BufRead, Read, Write};

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use super::SealingKey;

const FORMAT: &[u8; 16] = b"sluice sealed 1\n";
const SALT: usize = 32;
const HEAD: usize = FORMAT.len() + SALT;
/// Bytes of a segment before it is sealed; only the last may have fewer.
const SEGMENT: usize = 64 * 1024;
/// Bytes that sealing adds to a segment.
const TAG: usize = 16;

/// True for the begin of a sealed file, of whatever version.
pub(super) fn is_sealed(begin: &[u8]) -> bool {
    begin.starts_with(FORMAT.split_at(FORMAT.len() - 2).0)
}

fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let (of_number, rest) = bytes.split_at_mut(size_of::<u64>());
    of_number.copy_from_slice(&number.to_be_bytes());
    rest.fill(u8::from(is_last));
    Nonce::assume_unique_for_key(bytes)
}

/// The other side of [`SealedReader`].
pub(crate) struct SealedWriter<W> {
    out: W,
    key: LessSafeKey,
    head: [u8; HEAD],
    number: u64,
    segment: Vec<u8>,
}

impl<W> std::fmt::Debug for SealedWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedWriter").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<W: Write> SealedWriter<W> {
    pub(super) fn begin(mut out: W, key: &SealingKey) -> io::Result<Self> {
        let mut head = [0; HEAD];
        let (format, salt) = head.split_at_mut(FORMAT.len());
        format.copy_from_slice(FORMAT);
        aws_lc_rs::rand::fill(salt).map_err(io::Error::other)?;
        let key = key.of_file(salt)?;
        out.write_all(&head)?;
        Ok(Self { out, key, head, number: 0, segment: Vec::with_capacity(SEGMENT + TAG) })
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        let nonce = nonce(self.number, is_last);
        let sealed = self.key.seal_in_place_append_tag(nonce, Aad::from(&self.head), &mut self.segment);
        sealed.map_err(io::Error::other)?;
        self.out.write_all(&self.segment)?;
        self.segment.clear();
        self.number += 1;
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Only when there is more: the last one is sealed as that.
        if self.segment.len() == SEGMENT && !bytes.is_empty() {
            self.seal(false)?;
        }
        let taken = bytes.len().min(SEGMENT - self.segment.len());
        self.segment.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives what was sealed, and nothing of a segment that does not open.
pub(crate) struct SealedReader<R> {
    from: R,
    key: LessSafeKey,
    head: [u8; HEAD],
    number: u64,
    segment: Vec<u8>,
    /// Bytes of the segment that were given.
    given: usize,
    ended: bool,
}

impl<R> std::fmt::Debug for SealedReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedReader").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<R: BufRead> SealedReader<R> {
    pub(super) fn begin(mut from: R, key: &SealingKey) -> io::Result<Self> {
        let mut head = [0; HEAD];
        from.read_exact(&mut head).map_err(|_| broken())?;
        let (format, salt) = head.split_at(FORMAT.len());
        if format != FORMAT {
            return Err(super::invalid("it is sealed in another version's format"));
        }
        let key = key.of_file(salt)?;
        Ok(Self { from, key, head, number: 0, segment: Vec::new(), given: 0, ended: false })
    }

    fn open(&mut self) -> io::Result<()> {
        self.segment.clear();
        self.given = 0;
        (&mut self.from).take((SEGMENT + TAG) as u64).read_to_end(&mut self.segment)?;
        let is_last = self.from.fill_buf()?.is_empty();
        let nonce = nonce(self.number, is_last);
        let opened = self.key.open_in_place(nonce, Aad::from(&self.head), &mut self.segment);
        let length = opened.map(|opened| opened.len());
        let Ok(length) = length else {
            self.segment.clear();
            return Err(broken());
        };
        self.segment.truncate(length);
        self.number += 1;
        self.ended = is_last;
        Ok(())
    }
}

impl<R: BufRead> Read for SealedReader<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        while self.given == self.segment.len() && !self.ended {
            self.open()?;
        }
        let rest = self.segment.get(self.given..).unwrap_or_default();
        let (taken, room) = (rest.len().min(room.len()), room);
        if let (Some(to), Some(from)) = (room.get_mut(..taken), rest.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.given += taken;
        Ok(taken)
    }
}

fn broken() -> io::Error {
    super::invalid("it was sealed with another key than the one in --last-good-key, or changed since")
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn key(of: &str) -> SealingKey {
        let dir = Scratch::new("sealed").unwrap();
        dir.write("key", &of.repeat(32)).unwrap();
        SealingKey::read(&dir.join("key")).unwrap()
    }

    fn seal(bytes: &[u8]) -> Vec<u8> {
        let mut writer = SealedWriter::begin(Vec::new(), &key("a")).unwrap();
        // In pieces that fit no segment.
        bytes.chunks(1000).for_each(|piece| writer.write_all(piece).unwrap());
        writer.finish().unwrap()
    }

    fn open(bytes: &[u8], key: &SealingKey) -> io::Result<Vec<u8>> {
        let mut opened = Vec::new();
        SealedReader::begin(bytes, key)?.read_to_end(&mut opened)?;
        Ok(opened)
    }

    #[test]
    fn content_of_every_length_comes_back_and_nothing_of_it_is_to_be_seen() {
        for length in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 7] {
            let text: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let sealed = seal(&text);
            assert_eq!(sealed.len(), HEAD + length + TAG * length.div_ceil(SEGMENT).max(1));
            assert!(is_sealed(&sealed));
            assert!(length < 32 || !sealed.windows(32).any(|part| part == &text[..32]));
            assert_eq!(open(&sealed, &key("a")).unwrap(), text);
            assert_ne!(seal(&text), sealed, "two files have two keys");
        }
    }

    #[test]
    fn another_key_a_changed_byte_and_a_cut_end_are_refused() {
        let sealed = seal(&[7; 2 * SEGMENT + 100]);
        let refused = |bytes: &[u8], key: &SealingKey| open(bytes, key).unwrap_err().to_string();
        let told = |error: &str| assert!(error.contains("--last-good-key"), "{error}");
        told(&refused(&sealed, &key("b")));
        let segments = (HEAD, HEAD + SEGMENT + TAG, HEAD + 2 * (SEGMENT + TAG));
        for at in [FORMAT.len(), HEAD - 1, HEAD, segments.1 - 1, segments.1, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            told(&refused(&changed, &key("a")));
        }
        for length in [HEAD - 1, HEAD, HEAD + TAG, segments.1, segments.2, sealed.len() - 1] {
            told(&refused(&sealed[..length], &key("a")));
        }
        let exchanged = [
            &sealed[..segments.0],
            &sealed[segments.1..segments.2],
            &sealed[segments.0..segments.1],
            &sealed[segments.2..],
        ];
        told(&refused(&exchanged.concat(), &key("a")));
        told(&refused(&[&sealed[..], b"x"].concat(), &key("a")));
        let mut newer = sealed;
        newer[FORMAT.len() - 2] = b'2';
        assert!(is_sealed(&newer) && refused(&newer, &key("a")).contains("another version"));
    }

    /// The next version reads what this one has written. The file was made by another implementation of HKDF and AES-GCM.
    #[test]
    fn the_format_stays() {
        let sealed = include_bytes!("../../tests/golden/sealed.bin");
        assert_eq!(open(sealed, &key("a")).unwrap(), b"what was served last\n");
    }
}
