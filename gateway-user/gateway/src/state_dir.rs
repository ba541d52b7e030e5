//! The state directory as a place: whom it may belong to, and how its files are opened and given away.
//!
//! Sockets and private keys are in it, and root opens files in it by name. So nobody else may be able to put
//! something there.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{Uid, fchown, fchownat, getegid, geteuid};

use crate::flags::StateDir;
use crate::identity::{AUTO, Identity};

/// The file that says whose the directory is; locked by that process.
pub(crate) const LOCK: &str = "lock";

/// Beginning of the names of Sluice's own files. `lost+found` is at the top of a disk.
const OURS: [&str; 8] = [
    LOCK,
    "takeover.sock",
    "admin",
    "nodes.sock",
    "last-good",
    "addresses",
    "interface-addresses",
    "lost+found",
];

/// The place of the machine's one Sluice.
pub(crate) const OF_SYSTEM: &str = "/run/sluice";

/// The facts that the usual place depends on.
struct Environment {
    euid: u32,
    of_system: PathBuf,
    /// `$XDG_RUNTIME_DIR`.
    runtime: Option<PathBuf>,
    temporary: PathBuf,
}

/// The directory that the setting means. It need not be there.
///
/// # Errors
/// The usual place of an ordinary user is taken by somebody else.
pub(crate) fn resolve(setting: &StateDir) -> anyhow::Result<PathBuf> {
    if let StateDir::Path(path) = setting {
        return Ok(path.clone());
    }
    let euid = geteuid();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let temporary = std::env::temp_dir();
    let place = Environment { euid: euid.as_raw(), of_system: OF_SYSTEM.into(), runtime, temporary }.place();
    // Root finds its owner when it opens it.
    if !euid.is_root() && place.symlink_metadata().is_ok() {
        vet(&place, &Identity::default())?;
    }
    Ok(place)
}

impl Environment {
    fn place(&self) -> PathBuf {
        let is_ours =
            |dir: &Path| dir.metadata().is_ok_and(|found| found.is_dir() && found.uid() == self.euid);
        if self.euid == 0 || is_ours(&self.of_system) {
            return self.of_system.clone();
        }
        // As the XDG Base Directory Specification asks for; what is otherwise belongs to another session, as
        // after `su`.
        let is_private = |dir: &Path| dir.metadata().is_ok_and(|found| found.mode() & 0o077 == 0);
        let runtime =
            self.runtime.as_deref().filter(|dir| dir.is_absolute() && is_ours(dir) && is_private(dir));
        match runtime {
            Some(runtime) => runtime.join("sluice"),
            None => self.temporary.join(format!("sluice-{}", self.euid)),
        }
    }
}

/// Makes the directory unless it is there, and says whether it did; its parents are open to all, it itself to
/// its owner and, where root makes it and may give it away, to its group, to pass.
///
/// # Errors
/// It cannot be made; or others could change what is in it, which the message says with what to do.
pub(crate) fn make(dir: &Path, identity: &Identity) -> anyhow::Result<bool> {
    let made = !dir.exists();
    let failed = || format!("--state-dir {}: cannot be made; choose a writable one", dir.display());
    if let Some(parent) = dir.parent().filter(|parent| !parent.exists()) {
        fs::create_dir_all(parent).with_context(failed)?;
    }
    let mode = if geteuid().is_root() { 0o750 } else { 0o700 };
    fs::DirBuilder::new().recursive(true).mode(mode).create(dir).with_context(failed)?;
    vet(dir, identity)?;
    Ok(made)
}

/// Refuses a directory that belongs to a stranger or that others may write to: what is opened there by name
/// could be theirs.
fn vet(dir: &Path, identity: &Identity) -> anyhow::Result<()> {
    let found = fs::metadata(dir).with_context(|| format!("--state-dir {}", dir.display()))?;
    let euid = geteuid();
    // That of `--user=auto` may have been given it by the process before this one.
    let is_stranger = |uid: u32| match uid {
        AUTO if euid.is_root() => false,
        uid => ![0, euid.as_raw(), identity.uid()].contains(&uid),
    };
    let entry = fs::symlink_metadata(dir).with_context(|| format!("--state-dir {}", dir.display()))?;
    let owner = if is_stranger(entry.uid()) { entry.uid() } else { found.uid() };
    if is_stranger(owner) {
        bail!(
            "--state-dir {}: it belongs to uid {owner}, who could put files there for this process (uid {euid}) to open; \
             choose another directory, or as root give --user={owner}",
            dir.display()
        );
    }
    let mode = found.mode() & 0o7777;
    // A group of root's or of our own is no stranger: many systems give each user a group and a umask of 002.
    let of_group = mode & 0o020 != 0 && ![0, getegid().as_raw(), identity.uid()].contains(&found.gid());
    if mode & 0o002 != 0 || of_group {
        bail!(
            "--state-dir {}: others may write to it (mode {mode:04o}, group {}); chmod go-w it, or choose another directory",
            dir.display(),
            found.gid()
        );
    }
    Ok(())
}

/// Opens the lock file, never through a link, for its owner alone.
///
/// # Errors
/// As open(2); `NotFound` if it is not there and not to be made.
pub(crate) fn open_lock(dir: &Path, make: bool) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(make).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let lock = options.open(dir.join(LOCK))?;
    // Processes before 0.2 made it readable by all. Where it is another user's it stays as it is.
    if make && lock.metadata()?.mode() & 0o177 != 0 {
        let _ = lock.set_permissions(Permissions::from_mode(0o600));
    }
    Ok(lock)
}

/// An entry of the directory that no Sluice made, if there is one: then the directory has other uses.
pub(crate) fn strange_entry(dir: &Path) -> Option<OsString> {
    let names = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.file_name());
    names
        .into_iter()
        .find(|name| !OURS.iter().any(|ours| name.as_encoded_bytes().starts_with(ours.as_bytes())))
}

/// The user whose directory it is, if it is there.
pub(crate) fn owner(dir: &Path) -> Option<u32> {
    fs::metadata(dir).ok().filter(fs::Metadata::is_dir).map(|found| found.uid())
}

/// Makes the directory if need be, and it and the files in it `uid`'s, for a process of that user.
///
/// # Errors
/// It has files of others in it, and is not given away with them; or the system refuses.
pub(crate) fn make_for(dir: &Path, uid: u32) -> io::Result<()> {
    if let Some(parent) = dir.parent().filter(|parent| !parent.exists()) {
        fs::create_dir_all(parent)?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    if let Some(name) = strange_entry(dir) {
        let reason = format!("{} has {} in it, which is no file of Sluice's", dir.display(), name.display());
        return Err(io::Error::other(reason));
    }
    give(dir, uid)
}

/// Makes the directory and the files in it `uid`'s. The group stays, which is root's where root made it. A file
/// that has a name elsewhere as well stays whose it is: the directory's owner may have made that link.
///
/// # Errors
/// This thread lacks CAP_CHOWN.
pub(crate) fn give(dir: &Path, uid: u32) -> io::Result<()> {
    let open = File::options().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(dir)?;
    let uid = Some(Uid::from_raw(uid));
    for entry in fs::read_dir(dir)?.flatten() {
        // The very file that is looked at is given away, whatever has its name by then.
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = match openat(&open, entry.file_name().as_os_str(), flags, Mode::empty()) {
            Err(Errno::ENOENT) => continue,
            file => file?,
        };
        let found = fstat(&file)?;
        let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
        if kind != SFlag::S_IFDIR && kind != SFlag::S_IFLNK && found.st_nlink == 1 {
            fchownat(&file, "", uid, None, AtFlags::AT_EMPTY_PATH)?;
        }
    }
    // New files take the directory's group: what is open to the group is open to root without any capability.
    let mode = open.metadata()?.mode() & 0o7777;
    if mode & 0o2000 == 0 {
        open.set_permissions(Permissions::from_mode(mode | 0o2000))?;
    }
    fchown(&open, uid, None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use gateway_testkit::scratch::Scratch;
    use nix::libc;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let dir = Scratch::new("state-dir").unwrap();
        let refused = |mode| {
            set_mode(dir.path(), mode);
            make(dir.path(), &Identity::default()).err().map(|error| error.to_string())
        };
        for mode in [0o700, 0o755, 0o750] {
            assert_eq!(refused(mode), None, "{mode:o}");
        }
        for mode in [0o777, 0o1777, 0o702] {
            let error = refused(mode).unwrap_or_else(|| panic!("{mode:o} is fine"));
            assert!(error.contains("others may write") && error.contains("--state-dir"), "{error}");
        }
        if geteuid().is_root() {
            chown(dir.path(), Some(0), Some(54_321)).unwrap();
            assert!(refused(0o770).unwrap().contains("group 54321"));
            assert_eq!(refused(0o750), None);
        }
    }

    #[test]
    fn a_strangers_directory_is_refused_and_that_of_our_user_is_not() {
        if !geteuid().is_root() {
            return;
        }
        let dir = Scratch::new("state-dir").unwrap();
        chown(dir.path(), Some(54_321), Some(54_321)).unwrap();
        let error = make(dir.path(), &Identity::default()).unwrap_err().to_string();
        assert!(error.contains("uid 54321") && error.contains("--user=54321"), "{error}");
        let theirs = Identity::decide(crate::flags::User::Uid(54_321), dir.path(), None).unwrap();
        assert!(make(dir.path(), &theirs).is_ok());
    }

    #[test]
    fn the_usual_place_is_that_of_the_user() {
        let dir = Scratch::new("state-dir").unwrap();
        let (system, runtime) = (dir.join("run"), dir.join("user"));
        let euid = geteuid().as_raw();
        let place = |euid, runtime: Option<&Path>| {
            let of_system = dir.join("run");
            let runtime = runtime.map(Path::to_owned);
            Environment { euid, of_system, runtime, temporary: "/tmp".into() }.place()
        };
        let stranger = 54_321;
        // Root has the system's, be it there or not.
        assert_eq!(place(0, Some(&runtime)), system);
        // An ordinary user has that of the session, if there is one and it is private.
        fs::create_dir(&runtime).unwrap();
        set_mode(&runtime, 0o700);
        let private = PathBuf::from(format!("/tmp/sluice-{stranger}"));
        assert_eq!(place(stranger, Some(&runtime)), private, "after `su` it is another's");
        assert_eq!(place(stranger, None), private);
        assert_eq!(place(stranger, Some(Path::new("relative"))), private);
        assert_eq!(place(stranger, Some(Path::new("/nowhere/at/all"))), private);
        if !geteuid().is_root() {
            return;
        }
        assert_eq!(euid, 0);
        chown(&runtime, Some(stranger), None).unwrap();
        assert_eq!(place(stranger, Some(&runtime)), runtime.join("sluice"));
        set_mode(&runtime, 0o755);
        assert_eq!(place(stranger, Some(&runtime)), private, "others may look into it");
        // A service manager has made the system's for it.
        fs::create_dir(&system).unwrap();
        assert_eq!(place(stranger, None), private);
        chown(&system, Some(stranger), None).unwrap();
        assert_eq!(place(stranger, Some(&runtime)), system);
    }

    #[test]
    fn a_strangers_link_is_not_followed() {
        if !geteuid().is_root() {
            return;
        }
        let dir = Scratch::new("state-dir").unwrap();
        let (link, target) = (dir.join("link"), dir.join("target"));
        fs::create_dir(&target).unwrap();
        symlink(&target, &link).unwrap();
        assert!(make(&link, &Identity::default()).is_ok(), "our own is");
        std::os::unix::fs::lchown(&link, Some(54_321), None).unwrap();
        let error = make(&link, &Identity::default()).unwrap_err().to_string();
        assert!(error.contains("uid 54321"), "{error}");
    }

    #[test]
    fn parents_are_open_and_the_directory_is_not() {
        let dir = Scratch::new("state-dir").unwrap();
        let below = dir.join("a/b");
        assert!(make(&below, &Identity::default()).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&below), mode(&dir.join("a")) & 0o500), (0o750, 0o500));
        assert!(!make(&below, &Identity::default()).unwrap());
    }

    #[test]
    fn the_lock_is_its_owners_alone_and_never_a_link() {
        let dir = Scratch::new("state-dir").unwrap();
        let victim = dir.join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, dir.join(LOCK)).unwrap();
        for make in [true, false] {
            let error = open_lock(dir.path(), make).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ELOOP), "{error}");
        }
        fs::remove_file(dir.join(LOCK)).unwrap();
        fs::write(dir.join(LOCK), "1\n").unwrap();
        set_mode(&dir.join(LOCK), 0o644);
        let lock = open_lock(dir.path(), true).unwrap();
        assert_eq!(lock.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn files_of_others_are_seen_and_never_given_away() {
        let dir = Scratch::new("state-dir").unwrap();
        for name in ["lock", "last-good-cluster", "takeover.sock"] {
            dir.write(name, "").unwrap();
        }
        assert_eq!(strange_entry(dir.path()), None);
        if geteuid().is_root() {
            let elsewhere = Scratch::new("state-dir").unwrap();
            let precious = elsewhere.join("precious");
            fs::write(&precious, "").unwrap();
            fs::hard_link(&precious, dir.join("admin-1")).unwrap();
            symlink(&precious, dir.join("admin-2")).unwrap();
            give(dir.path(), 54_321).unwrap();
            assert_eq!(fs::metadata(dir.join("lock")).unwrap().uid(), 54_321);
            assert_eq!(fs::metadata(&precious).unwrap().uid(), 0, "it has a name elsewhere");
            assert_eq!(
                (dir.path().metadata().unwrap().uid(), dir.path().metadata().unwrap().gid()),
                (54_321, 0)
            );
        }
        dir.write("passwd", "").unwrap();
        assert_eq!(strange_entry(dir.path()), Some("passwd".into()));
        assert_eq!(strange_entry(Path::new("/nowhere/at/all")), None);
    }
}
