//! Descriptors that a server keeps for itself, for when connections of the data plane have taken all others.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::dup2;

/// Unused descriptors: closing one makes the next accept(2) succeed, and a connection that ends leaves its
/// own in its place.
///
/// Another thread may be quicker to take the descriptor that was freed; then the next spare is tried, and
/// workers that found none pause for 100 ms before they try again.
#[derive(Debug)]
pub(crate) struct Spares {
    kept: Mutex<Vec<OwnedFd>>,
    wanted: usize,
    /// The file that spare descriptors refer to.
    nothing: OwnedFd,
}

impl Spares {
    /// Takes so many; fewer if there are not as many.
    ///
    /// # Errors
    /// There is not one.
    pub(crate) fn new(wanted: usize) -> io::Result<Self> {
        let nothing = eventfd(0, EventfdFlags::CLOEXEC)?;
        let spares = Self { kept: Mutex::new(Vec::with_capacity(wanted)), wanted, nothing };
        spares.refill();
        Ok(spares)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        // A list of descriptors is whole at any time.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees a descriptor; false if none is kept.
    pub(crate) fn free_one(&self) -> bool {
        self.kept().pop().is_some()
    }

    /// Takes back what was freed, as far as there is room.
    pub(crate) fn refill(&self) {
        let mut kept = self.kept();
        while kept.len() < self.wanted {
            match self.nothing.try_clone() {
                Ok(spare) => kept.push(spare),
                Err(_) => return,
            }
        }
    }

    /// Closes what the descriptor refers to. The descriptor itself becomes a spare if one is missing: between
    /// closing it and asking for another, somebody else would take it.
    pub(crate) fn recycle(&self, mut descriptor: OwnedFd) {
        let mut kept = self.kept();
        if kept.len() < self.wanted && dup2(&self.nothing, &mut descriptor).is_ok() {
            kept.push(descriptor);
        }
    }

    pub(crate) fn are_complete(&self) -> bool {
        self.kept().len() == self.wanted
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_connection_leaves_its_descriptor_where_a_spare_is_missing() {
        let spares = Spares::new(1).unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        assert!(spares.free_one() && !spares.are_complete() && !spares.free_one());
        spares.recycle(near.into());
        assert!(spares.are_complete(), "without asking for a descriptor");
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "the connection has ended");
        let (near, mut far) = UnixStream::pair().unwrap();
        spares.recycle(near.into());
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        assert_eq!(spares.kept().len(), 1);
    }
}
