//! A Unix socket in a directory, which one process replaces by its own with rename(2).

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Longest path of a Unix socket in bytes: `sun_path` holds 108, the last of which is NUL (unix(7)).
pub const MAX_PATH: usize = 107;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// A socket that listens at a path. Dropping it removes the path, unless another process has the path by
/// then.
#[derive(Debug)]
pub struct UnixSocket {
    path: PathBuf,
    /// Device and inode of the file at the path.
    file: (u64, u64),
    replaced: bool,
}

impl UnixSocket {
    /// Listens at `directory/name.sock` for root and this process's own user: mode 0660, group 0 where that
    /// may be set.
    ///
    /// The socket is bound beside that path and then renamed over it, so that at every moment the path leads
    /// to a socket that listens: to another process's until then, to this one's from then on. Only one
    /// process may do so at a time in one directory.
    ///
    /// # Errors
    /// The path is too long, or the directory cannot be written.
    pub fn bind(directory: &Path, name: &str) -> io::Result<(Self, UnixListener)> {
        let path = directory.join(format!("{name}.sock"));
        check_length(&path)?;
        let beside = directory.join(format!("{name}.new"));
        // Leftover of a process that ended between binding and renaming.
        remove(&beside)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(&beside)?)?;
        let renamed = (|| {
            // Before listen(2): nobody can have connected meanwhile.
            std::fs::set_permissions(&beside, PermissionsExt::from_mode(0o660))?;
            // Root reaches it in any case; a process that is not root may not give files away.
            let _ = std::os::unix::fs::chown(&beside, None, Some(0));
            rustix::net::listen(&socket, BACKLOG)?;
            let metadata = std::fs::metadata(&beside)?;
            std::fs::rename(&beside, &path)?;
            Ok((metadata.dev(), metadata.ino()))
        })();
        let file = renamed.inspect_err(|_: &io::Error| drop(remove(&beside)))?;
        Ok((Self { path, file, replaced: false }, UnixListener::from(socket)))
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the path to another process, which is about to rename its own socket over it.
    pub fn leave(&mut self) {
        self.replaced = true;
    }

    /// Removes the path, so that it leads nowhere from now on.
    pub fn remove(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.file);
        if ours && !self.replaced {
            let _ = remove(&self.path);
        }
        self.replaced = true;
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A path that fits into an address.
///
/// # Errors
/// It is too long; says by how much.
pub fn check_length(path: &Path) -> io::Result<()> {
    let length = path.as_os_str().len();
    if length <= MAX_PATH {
        return Ok(());
    }
    let why = format!("{}: {length} bytes, and a Unix socket's path has at most {MAX_PATH}", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use gateway_testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn the_next_process_replaces_the_path_and_the_last_one_removes_it() {
        let dir = Scratch::new("admin-socket").unwrap();
        let (old, first) = UnixSocket::bind(dir.path(), "admin").unwrap();
        let mode = std::fs::metadata(old.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let _to_first = UnixStream::connect(old.path()).unwrap();
        let (new, second) = UnixSocket::bind(dir.path(), "admin").unwrap();
        let _to_second = UnixStream::connect(new.path()).unwrap();
        assert!(first.accept().is_ok() && second.accept().is_ok(), "each got its own");
        drop(old);
        assert!(new.path().exists(), "the path is the new one's");
        assert!(UnixStream::connect(new.path()).is_ok());
        let path = new.path().to_owned();
        drop(new);
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_path_that_is_left_stays() {
        let dir = Scratch::new("admin-socket").unwrap();
        let (mut old, _listener) = UnixSocket::bind(dir.path(), "admin").unwrap();
        old.leave();
        let path = old.path().to_owned();
        drop(old);
        assert!(path.exists());
    }

    #[test]
    fn a_long_path_is_told_with_its_length() {
        let dir = Scratch::new("admin-socket").unwrap();
        let room = MAX_PATH - dir.path().as_os_str().len() - "/".len() - "/admin.sock".len();
        let fits = dir.join(&"d".repeat(room));
        let long = dir.join(&"d".repeat(room + 1));
        std::fs::create_dir(&fits).unwrap();
        std::fs::create_dir(&long).unwrap();
        assert!(UnixSocket::bind(&fits, "admin").is_ok(), "107 bytes");
        let error = UnixSocket::bind(&long, "admin").unwrap_err().to_string();
        assert!(error.contains("108 bytes") && error.contains("at most 107"), "{error}");
    }
}
