//! Fresh network and mount namespaces, owned by one thread.
//!
//! Namespaces are a property of a thread (unshare(2)), and children inherit the one of the thread that starts
//! them. So a test body runs on a thread of its own that has left the machine's namespaces; when it and its
//! children are gone, the kernel takes the namespace, its links and programs, and the bpffs with every pin in
//! it. There is nothing to clean up by hand, whatever way the test ended.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{fs, io, panic, thread};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

use crate::scratch::Scratch;

/// The namespaces as the body of a test sees them.
#[derive(Debug)]
pub struct Inside {
    scratch: Scratch,
    bpffs: PathBuf,
    disks: Mutex<Vec<PathBuf>>,
}

/// Access to a disk of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone.
    Read,
    /// Writing until it is full.
    Write,
}

impl Inside {
    /// A bpffs of its own, mounted in the private mount namespace.
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// A directory of the scratch directory on a disk of its own, a tmpfs of so many KiB.
    ///
    /// # Errors
    /// It cannot be made or mounted.
    pub fn disk(&self, name: &str, kib: u32, access: Access) -> io::Result<PathBuf> {
        let dir = self.scratch.join(name);
        fs::create_dir(&dir)?;
        // Open to anybody for writing, like the scratch directory.
        let (flags, mode) = match access {
            Access::Read => (MsFlags::MS_RDONLY, 755),
            Access::Write => (MsFlags::empty(), 777),
        };
        mount(Some("tmpfs"), &dir, Some("tmpfs"), flags, Some(format!("size={kib}k,mode={mode}").as_str()))?;
        self.disks.lock().unwrap_or_else(PoisonError::into_inner).push(dir.clone());
        Ok(dir)
    }

    /// Shows a directory at a second place, without what is mounted in it, for this namespace alone.
    ///
    /// # Errors
    /// There is no such directory, or the second place cannot be made or mounted on.
    pub fn show(&self, dir: &Path, at: &Path) -> io::Result<()> {
        fs::create_dir_all(at)?;
        mount(Some(dir), at, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok(())
    }

    /// A scratch directory. Anybody may write to it: processes under test give root up.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

/// Runs `body` in a fresh network namespace with `lo` up, and a private mount namespace with a bpffs.
///
/// Only threads and children that `body` itself starts share the namespace.
///
/// # Panics
/// Where `body` does; and without root, which the namespaces need.
pub fn run<T: Send + 'static>(label: &str, body: impl FnOnce(&Inside) -> T + Send + 'static) -> T {
    assert!(
        geteuid().is_root(),
        "this test makes a network namespace and loads kernel programs: run it as root"
    );
    let label = label.to_owned();
    let thread = thread::Builder::new().name(format!("netns-{label}"));
    let inside = thread.spawn(move || {
        let inside = enter(&label).unwrap_or_else(|e| panic!("entering a fresh network namespace: {e}"));
        body(&inside)
    });
    match inside.expect("a thread can be started").join() {
        Ok(value) => value,
        Err(cause) => panic::resume_unwind(cause),
    }
}

fn enter(label: &str) -> io::Result<Inside> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    // Without this, mounts made here would show up outside.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if !up.success() {
        return Err(io::Error::other("`ip link set lo up` failed"));
    }
    let scratch = Scratch::new(label)?;
    // Without the sticky bit, which would keep users from files of each other (fs.protected_regular).
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o777))?;
    let bpffs = scratch.join("bpffs");
    fs::create_dir_all(&bpffs)?;
    mount(Some("bpffs"), &bpffs, Some("bpf"), MsFlags::empty(), None::<&str>)?;
    Ok(Inside { scratch, bpffs, disks: Mutex::default() })
}

impl Drop for Inside {
    fn drop(&mut self) {
        // The scratch directory can only be removed once nothing is mounted in it.
        let disks = self.disks.get_mut().unwrap_or_else(PoisonError::into_inner);
        for mounted in disks.iter().chain([&self.bpffs]) {
            let _ = nix::mount::umount2(mounted, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn two_namespaces_hold_the_same_port_at_once() {
        let outer = run("outer", |_| {
            let first = TcpListener::bind("127.0.0.1:80").unwrap();
            let second = run("inner", |_| TcpListener::bind("127.0.0.1:80").unwrap().local_addr().unwrap());
            (first.local_addr().unwrap(), second)
        });
        assert_eq!(outer.0, outer.1);
    }

    #[test]
    fn a_directory_is_shown_at_a_second_place_to_one_namespace() {
        let root = Scratch::new("root").unwrap();
        let at = root.join("tmp/deep");
        let shown = at.clone();
        run("show", move |inside| {
            fs::write(inside.scratch().join("file"), "text").unwrap();
            inside.show(inside.scratch().path(), &shown).unwrap();
            assert_eq!(fs::read_to_string(shown.join("file")).unwrap(), "text");
        });
        assert_eq!(fs::read_dir(at).unwrap().count(), 0);
    }

    #[test]
    fn nothing_stays_behind() {
        let (dir, pin_dir) = run("gone", |inside| {
            let pins = inside.bpffs().join("sluice");
            fs::create_dir(&pins).unwrap();
            let full = inside.disk("full", 64, Access::Write).unwrap();
            assert!(fs::write(full.join("file"), vec![0; 128 << 10]).is_err(), "a disk of 64 KiB");
            let fixed = inside.disk("fixed", 64, Access::Read).unwrap();
            assert!(fs::write(fixed.join("file"), "").is_err(), "a disk that is only read");
            (inside.scratch().path().to_owned(), pins)
        });
        assert!(!pin_dir.exists() && !dir.exists());
    }
}
