//! Files that are opened again while the process runs, opened once as the user of later.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::bail;
use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, access};

use crate::flags::{AccessLog, Settings};
use crate::identity::Identity;
use crate::source::Source;

/// The way in which something is opened again.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reopened {
    /// Read: resources, certificates, tokens.
    Read(PathBuf),
    /// Appended to, and made if missing: the access log after SIGHUP.
    Append(PathBuf),
    /// A directory in which files are made, replaced and removed: that of the state.
    Fill(PathBuf),
}

/// Tries what resources and log need, before anything else begins. Nothing if the process stays who it is.
///
/// # Errors
/// Something will not open later; names it and what to do.
pub(crate) fn try_source_and_log(
    identity: &Identity,
    settings: &Settings,
    source: &Source,
) -> anyhow::Result<()> {
    if identity.other().is_none() {
        return Ok(());
    }
    let mut all: Vec<_> = source.files()?.into_iter().map(Reopened::Read).collect();
    all.extend(settings.last_good_key.0.clone().map(Reopened::Read));
    if let AccessLog::Path(path) = &settings.access_log {
        all.push(Reopened::Append(path.clone()));
    }
    try_all(identity, &all)
}

/// Tries what the state directory needs, once it belongs to the user.
///
/// # Errors
/// As [`try_source_and_log`].
pub(crate) fn try_state(identity: &Identity, dir: &Path) -> anyhow::Result<()> {
    if identity.other().is_none() {
        return Ok(());
    }
    try_all(identity, &[Reopened::Fill(dir.to_owned())])
}

fn try_all(identity: &Identity, all: &[Reopened]) -> anyhow::Result<()> {
    let failed = identity.try_out(|| all.iter().find_map(|one| Some((one, one.open().err()?))))?;
    let Some((one, error)) = failed else { return Ok(()) };
    let (path, what) = match one {
        Reopened::Read(path) => (path, "read"),
        Reopened::Append(path) => (path, "append to"),
        Reopened::Fill(path) => (path, "make files in"),
    };
    bail!(
        "{}: uid {}, as which this process goes on, cannot {what} it ({error}); let that user, or stay root by --user=keep",
        path.display(),
        identity.uid()
    )
}

impl Reopened {
    fn open(&self) -> io::Result<()> {
        match self {
            Self::Read(path) if path.is_dir() => fs::read_dir(path).map(drop),
            Self::Read(path) => File::open(path).map(drop),
            Self::Append(path) if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) => {
                // Open for both it does not wait for a reader (fifo(7)).
                let flags = OFlag::O_NONBLOCK.bits();
                OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).map(drop)
            }
            Self::Append(path) => OpenOptions::new().create(true).append(true).open(path).map(drop),
            Self::Fill(path) => {
                fs::read_dir(path)?;
                Ok(access(path.as_path(), AccessFlags::W_OK | AccessFlags::X_OK)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use gateway_testkit::scratch::Scratch;

    use super::*;
    use crate::flags::User;
    use crate::flags::tests::settings;

    #[test]
    fn what_the_user_cannot_open_is_named_with_the_flag_that_stays_root() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = Scratch::new("reopen").unwrap();
        let identity = Identity::decide(User::Auto, &dir.join("state"), None).unwrap();
        dir.write("config/a.yaml", "").unwrap();
        dir.write("config/sub/b.yaml", "").unwrap();
        let log = dir.join("access.log");
        let config = dir.join("config").display().to_string();
        let settings = settings(&[("config-dir", &config), ("access-log", &log.display().to_string())]);
        let source = Source::of(&settings).unwrap();
        let tried = || try_source_and_log(&identity, &settings, &source).map_err(|error| error.to_string());
        let named = |path: &Path| {
            let error = tried().unwrap_err();
            assert!(error.starts_with(&path.display().to_string()), "{error}");
            assert!(error.contains("uid 65532") && error.contains("--user=keep"), "{error}");
        };
        named(&log);
        assert!(!log.exists(), "root made nothing");
        chown(dir.path(), Some(identity.uid()), None).unwrap();
        tried().unwrap();
        assert!(log.exists());
        let secret = dir.join("config/sub/b.yaml");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        named(&secret);
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        let closed = dir.join("config/sub");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        named(&closed);
        try_source_and_log(&Identity::default(), &settings, &source).unwrap();
    }
}
