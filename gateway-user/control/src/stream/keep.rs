//! A node's copy on disk, for a start without its controller.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use gateway_sync::item::Desired;
use gateway_sync::replica::Replica;
use gateway_sync::stored::{self, StoredError};
use tokio::sync::watch;
use tracing::warn;

/// Time after a change for others to gather: a file of thousands of routes is not written for each.
const GATHER: Duration = Duration::from_secs(1);
/// Share of the time that writing may take.
const SHARE: u32 = 50;
/// A copy is read if it is no larger: that of the largest configuration has a tenth of it.
const MAX_FILE: u64 = 1 << 30;

/// The copy on disk.
#[derive(Clone, Debug)]
pub struct KeepOptions {
    /// The file.
    pub path: PathBuf,
    /// True if private keys are in it.
    pub with_keys: bool,
}

/// Writes the copy from a thread of its own; the thread ends with the copy_writer.
#[derive(Debug)]
pub(super) struct CopyWriter(Sender<Desired>);

impl CopyWriter {
    /// Starts the thread. It writes nothing before `keeps` says true: until then another process has the file.
    pub(super) fn start(options: KeepOptions, keeps: watch::Receiver<bool>) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let write = move || write_all(&options, &receiver, &keeps);
        std::thread::Builder::new().name("sluice-keep".to_owned()).spawn(write)?;
        Ok(Self(sender))
    }

    /// Has this written in time.
    pub(super) fn follow(&self, desired: &Desired) {
        // The thread has ended only with the process.
        let _ = self.0.send(desired.clone());
    }
}

/// Fills an empty replica from the copy; false if there is none.
///
/// # Errors
/// It cannot be read.
pub(super) fn load(path: &Path, replica: &mut Replica) -> Result<bool, LoadError> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if length > MAX_FILE {
        return Err(LoadError::TooLong(length));
    }
    stored::read(&fs::read(path)?, replica)?;
    Ok(true)
}

/// The error of a copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error("{0} bytes are more than any copy has")]
    TooLong(u64),
}

fn write_all(options: &KeepOptions, changes: &Receiver<Desired>, keeps: &watch::Receiver<bool>) {
    let mut failed: Option<String> = None;
    while let Ok(mut newest) = changes.recv() {
        std::thread::sleep(GATHER);
        loop {
            newest = changes.try_iter().last().unwrap_or(newest);
            if *keeps.borrow() {
                break;
            }
            if keeps.has_changed().is_err() {
                return;
            }
            std::thread::sleep(GATHER);
        }
        let begun = Instant::now();
        let error = write(options, &newest).err().map(|error| format!("{}: {error}", options.path.display()));
        if let Some(error) = error.as_ref().filter(|error| failed.as_ref() != Some(error)) {
            warn!("{error}; a start without the controller would serve what the file had before");
        }
        failed = error;
        drop(newest);
        std::thread::sleep(begun.elapsed() * SHARE);
    }
}

/// Writes beside the file, then in its place: a process that dies meanwhile leaves the old one.
fn write(options: &KeepOptions, desired: &Desired) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let beside = options.path.with_extension("new");
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    let mut out = BufWriter::new(file);
    for piece in stored::write(desired, options.with_keys) {
        out.write_all(&piece)?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&beside, &options.path)
}
