//! Keys of session tickets on their way to the next process: in memory that only the two of them have, not in a message,
//! which has a limit and a form that is printed.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, memfd_create};

/// Name of the memory in /proc.
const NAME: &str = "sluice-tickets";
/// Bytes that are read at most: keys of some ten thousand Gateways.
const MAX_BYTES: u64 = 64 << 20;

/// Memory with these keys, for a message.
///
/// # Errors
/// The system has no descriptor or no memory left.
pub(crate) fn memory(exported: &[u8]) -> io::Result<OwnedFd> {
    // Kernels before 6.3 do not know the second flag, and some systems refuse memory without it.
    let plain = MemfdFlags::CLOEXEC;
    let made = memfd_create(NAME, plain | MemfdFlags::NOEXEC_SEAL).or_else(|_| memfd_create(NAME, plain));
    let mut file = File::from(made?);
    file.write_all(exported)?;
    file.rewind()?;
    Ok(file.into())
}

/// The keys in what was received.
///
/// # Errors
/// It cannot be read, or is too large.
pub(super) fn read(descriptor: OwnedFd) -> io::Result<Vec<u8>> {
    let file = File::from(descriptor);
    let length = file.metadata()?.len();
    if length > MAX_BYTES {
        return Err(io::Error::other(format!("keys of session tickets of {length} bytes")));
    }
    let mut exported = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut exported)?;
    Ok(exported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        for length in [0, 1, 100_000] {
            let exported = vec![7; length];
            assert_eq!(read(memory(&exported).unwrap()).unwrap(), exported);
        }
    }

    #[test]
    fn more_than_keys_can_have_is_refused() {
        let file = File::from(memory(b"").unwrap());
        file.set_len(MAX_BYTES + 1).unwrap();
        assert!(read(file.into()).unwrap_err().to_string().contains("67108865 bytes"));
    }
}
