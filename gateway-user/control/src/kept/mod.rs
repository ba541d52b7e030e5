//! Files that outlive the process in its state directory, and the private keys in them.
//!
//! A file is plain, with keys or without, or sealed as a whole with a key of its own file ([`sealed`]).

mod key;
mod sealed;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

pub(crate) use key::KeyWatch;
pub use key::SealingKey;
use sealed::{SealedReader, SealedWriter};

/// Bytes that are read or written at once.
const BUFFER: usize = 1 << 16;

/// Private keys in what is kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeptKeys {
    /// They are written as they are.
    #[default]
    Plain,
    /// They are not written: a process that begins with the file has no certificates until it is told of them.
    LeftOut,
    /// They are written, and all of the file is sealed with the key in this one.
    Sealed(PathBuf),
}

impl KeptKeys {
    /// True if no private key is written.
    pub(crate) fn are_left_out(&self) -> bool {
        *self == Self::LeftOut
    }

    /// The watch of the key's file, if there is one.
    pub(crate) fn watch(&self) -> Option<KeyWatch> {
        match self {
            Self::Plain | Self::LeftOut => None,
            Self::Sealed(path) => Some(KeyWatch::new(path.clone())),
        }
    }

    /// Opens a file that was kept, sealed or not as it is to be now: a plain one in the place of a sealed one may have been
    /// put there by anybody.
    ///
    /// # Errors
    /// `NotFound` if there is none; `InvalidData` if it is sealed and should not be or the other way round. What is sealed
    /// with another key, or changed, is an error of reading.
    pub(crate) fn open(&self, path: &Path) -> io::Result<KeptReader> {
        let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
        let is_sealed = sealed::is_sealed(file.fill_buf()?);
        match (self, is_sealed) {
            (Self::Sealed(key), true) => {
                Ok(KeptReader::Sealed(SealedReader::begin(file, &SealingKey::read(key)?)?))
            }
            (Self::Sealed(_), false) => {
                Err(invalid("it is not sealed, and --last-good=sealed reads no other"))
            }
            (_, true) => {
                Err(invalid("it is sealed: it takes --last-good=sealed and --last-good-key to read it"))
            }
            (_, false) => Ok(KeptReader::Plain(file)),
        }
    }

    /// Makes a file that its owner alone can read, where there is none.
    ///
    /// # Errors
    /// There is one, or the key cannot be read.
    pub(crate) fn create(&self, path: &Path) -> io::Result<KeptWriter> {
        // A key that is not there leaves no empty file.
        let key = match self {
            Self::Plain | Self::LeftOut => None,
            Self::Sealed(key) => Some(SealingKey::read(key)?),
        };
        let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(match key {
            None => KeptWriter::Plain(file),
            Some(key) => KeptWriter::Sealed(SealedWriter::begin(file, &key)?),
        })
    }
}

/// A file that was kept.
#[derive(Debug)]
pub(crate) enum KeptReader {
    Plain(BufReader<File>),
    Sealed(SealedReader<BufReader<File>>),
}

impl Read for KeptReader {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(room),
            Self::Sealed(file) => file.read(room),
        }
    }
}

/// A file that is written to be kept.
#[derive(Debug)]
pub(crate) enum KeptWriter {
    Plain(BufWriter<File>),
    Sealed(SealedWriter<BufWriter<File>>),
}

impl KeptWriter {
    /// Ends the file, and waits until the disk has it.
    pub(crate) fn finish(self) -> io::Result<()> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Sealed(file) => file.finish()?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

impl Write for KeptWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Sealed(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            // What is not a whole segment waits for the end.
            Self::Sealed(_) => Ok(()),
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn kept(keys: &KeptKeys, path: &Path, bytes: &[u8]) {
        let _ = fs::remove_file(path);
        let mut file = keys.create(path).unwrap();
        file.write_all(bytes).unwrap();
        file.finish().unwrap();
    }

    fn read(keys: &KeptKeys, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        keys.open(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn files_come_back_and_a_sealed_one_in_a_plain_ones_place_is_refused() {
        let dir = Scratch::new("kept").unwrap();
        let path = dir.join("file");
        let key = dir.write("key", &"k".repeat(32)).map(|()| dir.join("key")).unwrap();
        let sealed = KeptKeys::Sealed(key.clone());
        for keys in [KeptKeys::Plain, KeptKeys::LeftOut, sealed.clone()] {
            assert_eq!(read(&keys, &path).unwrap_err().kind(), io::ErrorKind::NotFound);
            kept(&keys, &path, b"text");
            assert_eq!(read(&keys, &path).unwrap(), b"text");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(keys.create(&path).is_err(), "there is one");
            let other = if keys == sealed { KeptKeys::Plain } else { sealed.clone() };
            let error = read(&other, &path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("--last-good=sealed"), "{error}");
            fs::remove_file(&path).unwrap();
        }
        fs::remove_file(&key).unwrap();
        assert!(sealed.create(&path).is_err() && !path.exists(), "without its key there is no file");
    }
}
