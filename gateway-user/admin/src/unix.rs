//! A Unix socket in a directory, which one process replaces by its own with rename(2).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
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
        Self::bind_at(&directory.join(format!("{name}.sock")), 0o660)
    }

    /// Listens at `path` for root and this process's own user, with mode 0600, in place of a process that has died.
    /// A file that is there is looked at first; a link is not followed.
    ///
    /// # Errors
    /// `AddrInUse`: a process listens there. `AlreadyExists`: there is something that is no socket. Else as
    /// [`bind`](Self::bind).
    pub fn bind_free(path: &Path) -> io::Result<(Self, UnixListener)> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is something that is no socket",
                ));
            }
            Ok(_) if is_heard(path)? => {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Self::replace(path)
    }

    /// Listens at `path` in place of whatever socket is there, with mode 0600, as [`bind`](Self::bind) does.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn replace(path: &Path) -> io::Result<(Self, UnixListener)> {
        Self::bind_at(path, 0o600)
    }

    fn bind_at(path: &Path, mode: u32) -> io::Result<(Self, UnixListener)> {
        check_length(path)?;
        let beside = path.with_extension("new");
        // Leftover of a process that ended between binding and renaming.
        remove(&beside)?;
        let socket = socket()?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(&beside)?)?;
        let renamed = (|| {
            // Before listen(2): nobody can have connected meanwhile.
            std::fs::set_permissions(&beside, PermissionsExt::from_mode(mode))?;
            // Root reaches it in any case; a process that is not root may not give files away.
            let _ = std::os::unix::fs::chown(&beside, None, Some(0));
            rustix::net::listen(&socket, BACKLOG)?;
            let metadata = std::fs::metadata(&beside)?;
            std::fs::rename(&beside, path)?;
            Ok((metadata.dev(), metadata.ino()))
        })();
        let file = renamed.inspect_err(|_: &io::Error| drop(remove(&beside)))?;
        Ok((Self { path: path.to_owned(), file, replaced: false }, UnixListener::from(socket)))
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

/// Connects to the process that listens at `path`, without waiting for it: it is there once its queue takes a
/// connection.
///
/// # Errors
/// Those of connect(2): `NotFound` and `ConnectionRefused` where nobody listens, `WouldBlock` where the queue is full.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    check_length(path)?;
    let socket = socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// True if a process listens at `path`.
fn is_heard(path: &Path) -> io::Result<bool> {
    match connect(path) {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Ok(true),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Ok(false),
            _ => Err(error),
        },
    }
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
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
    fn the_place_of_a_dead_process_is_free_and_that_of_a_living_one_is_not() {
        let dir = Scratch::new("probe-socket").unwrap();
        let path = dir.join("socket");
        let (first, listener) = UnixSocket::bind_free(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(UnixSocket::bind_free(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // As after a kill: the file stays, and nobody listens.
        drop(listener);
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let (second, _listener) = UnixSocket::bind_free(&path).unwrap();
        drop(first);
        assert!(connect(&path).is_ok(), "the path is the second one's");
        let (_third, _its) = UnixSocket::replace(&path).unwrap();
        drop(second);
        assert!(connect(&path).is_ok(), "the path is the third one's");
        let file = dir.join("file");
        std::fs::write(&file, "precious").unwrap();
        assert_eq!(UnixSocket::bind_free(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
        let link = dir.join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(UnixSocket::bind_free(&link).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(connect(&dir.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
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
