//! A node's copy on disk, for a start without its controller.

mod sign;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use gateway_sync::item::Desired;
use gateway_sync::replica::Replica;
use gateway_sync::stored::{self, StoredError};
use tokio::sync::watch;
use tracing::{info, warn};

pub(super) use self::sign::was_served_lately;
use crate::kept::{KeptKeys, KeyWatch};
use crate::priority;

/// Time after a change for others to gather: a file of thousands of routes is not written for each.
const GATHER: Duration = Duration::from_secs(1);
/// Share of the time that writing may take.
const SHARE: u32 = 50;
/// Time after a failure to write, at least.
const RETRY_DELAY: Duration = Duration::from_secs(10);
/// A copy is read if it is no larger: that of the largest configuration has a tenth of it.
const MAX_FILE: u64 = 1 << 30;

/// The copy on disk.
#[derive(Clone, Debug)]
pub struct KeepOptions {
    /// The file.
    pub path: PathBuf,
    /// Private keys in it.
    pub keys: KeptKeys,
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
pub(super) fn load(options: &KeepOptions, replica: &mut Replica) -> Result<bool, LoadError> {
    let length = match fs::metadata(&options.path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if length > MAX_FILE {
        return Err(LoadError::TooLong(length));
    }
    let mut bytes = Vec::new();
    options.keys.open(&options.path)?.read_to_end(&mut bytes)?;
    stored::read(&bytes, replica)?;
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

/// State of the thread that writes.
struct Writing<'a> {
    options: &'a KeepOptions,
    key: Option<KeyWatch>,
    /// The newest, if it is not written.
    pending: Option<Desired>,
    /// The newest if it is written, where another key has it written again.
    written: Option<Desired>,
    not_before: Instant,
    sign: sign::Sign,
    failed: Option<String>,
}

fn write_all(options: &KeepOptions, changes: &Receiver<Desired>, keeps: &watch::Receiver<bool>) {
    priority::make_way();
    let mut writing = Writing::new(options);
    loop {
        match changes.recv_timeout(writing.wait()) {
            Ok(newest) => writing.follow(newest),
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                writing.look_at_key(now);
                if *keeps.borrow() {
                    if now >= writing.not_before {
                        writing.write();
                    }
                    writing.sign.give(&options.path, now);
                } else if keeps.has_changed().is_err() {
                    return;
                } else {
                    writing.not_before = Instant::now() + GATHER;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl<'a> Writing<'a> {
    fn new(options: &'a KeepOptions) -> Self {
        let (key, not_before) = (options.keys.watch(), Instant::now());
        Self {
            options,
            key,
            pending: None,
            written: None,
            not_before,
            sign: sign::Sign::default(),
            failed: None,
        }
    }

    /// Time for which there is no work unless something changes.
    fn wait(&self) -> Duration {
        let next = match (&self.pending, &self.key) {
            (Some(_), _) => Some(self.not_before),
            (None, Some(key)) => Some(key.next_look().max(self.not_before)),
            (None, None) => None,
        };
        let next = [next, self.sign.next()].into_iter().flatten().min();
        // Without any only a change wakes it.
        next.map_or(Duration::MAX, |next| next.saturating_duration_since(Instant::now()))
    }

    fn follow(&mut self, newest: Desired) {
        if self.pending.is_none() {
            self.not_before = self.not_before.max(Instant::now() + GATHER);
        }
        (self.pending, self.written) = (Some(newest), None);
    }

    fn look_at_key(&mut self, now: Instant) {
        if self.key.as_mut().is_some_and(|key| key.has_changed(now)) && self.written.is_some() {
            info!("{}: written again, since there is another key", self.options.path.display());
            self.pending = self.written.take();
        }
    }

    fn write(&mut self) {
        let Some(newest) = self.pending.take() else { return };
        let (begun, path) = (Instant::now(), self.options.path.display());
        let error = write(self.options, &newest).err().map(|error| format!("{path}: {error}"));
        if let Some(error) = error.as_ref().filter(|error| self.failed.as_ref() != Some(error)) {
            warn!("{error}; a start without the controller would serve what the file had before");
        }
        let took = begun.elapsed();
        match &error {
            Some(_) => self.pending = Some(newest),
            None => {
                self.written = self.key.is_some().then_some(newest);
                self.sign.begin(begun);
            }
        }
        let pause = if error.is_some() { RETRY_DELAY } else { Duration::ZERO };
        self.not_before = Instant::now() + pause.max(took * SHARE);
        self.failed = error;
    }
}

/// Writes beside the file, then in its place: a process that dies meanwhile leaves the old one.
fn write(options: &KeepOptions, desired: &Desired) -> io::Result<()> {
    let beside = options.path.with_extension("new");
    if let Err(error) = fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut out = options.keys.create(&beside)?;
    for piece in stored::write(desired, !options.keys.are_left_out()) {
        out.write_all(&piece)?;
    }
    out.finish()?;
    fs::rename(&beside, &options.path)
}

#[cfg(test)]
mod tests {
    use gateway_sync::capability::Capabilities;
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn options(dir: &Scratch, keys: KeptKeys) -> KeepOptions {
        KeepOptions { path: dir.join("copy"), keys }
    }

    fn loads(options: &KeepOptions) -> Result<bool, String> {
        let mut replica = Replica::new(Capabilities::without(&[]));
        load(options, &mut replica).map_err(|error| error.to_string())
    }

    #[test]
    fn another_key_has_the_copy_written_again_at_once() {
        let dir = Scratch::new("keep").unwrap();
        dir.write("key", &"a".repeat(32)).unwrap();
        let options = options(&dir, KeptKeys::Sealed(dir.join("key")));
        let mut writing = Writing::new(&options);
        assert_eq!(loads(&options), Ok(false));
        writing.follow(Desired::default());
        writing.write();
        assert_eq!((loads(&options), &writing.pending), (Ok(true), &None));
        dir.write("key", &"b".repeat(32)).unwrap();
        assert!(loads(&options).unwrap_err().contains("--last-good-key"));
        writing.look_at_key(Instant::now());
        writing.write();
        assert!(loads(&options).is_err(), "it is not time to look");
        let next = writing.key.as_ref().unwrap().next_look();
        writing.look_at_key(next);
        assert!(writing.pending.is_some());
        writing.write();
        assert_eq!(loads(&options), Ok(true));
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let dir = Scratch::new("keep").unwrap();
        let options = options(&dir, KeptKeys::Sealed(dir.join("key")));
        let mut writing = Writing::new(&options);
        writing.follow(Desired::default());
        writing.write();
        assert!(writing.failed.as_ref().unwrap().contains("--last-good-key"), "{:?}", writing.failed);
        assert!(writing.pending.is_some() && writing.wait() > GATHER, "{:?}", writing.wait());
        dir.write("key", &"a".repeat(32)).unwrap();
        writing.write();
        assert_eq!((loads(&options), writing.failed), (Ok(true), None));
    }

    #[test]
    fn a_copy_without_keys_is_kept_no_longer_than_it_takes_to_write_it() {
        let dir = Scratch::new("keep").unwrap();
        for keys in [KeptKeys::Plain, KeptKeys::LeftOut] {
            let options = options(&dir, keys);
            let mut writing = Writing::new(&options);
            assert_eq!(writing.wait(), Duration::MAX);
            writing.follow(Desired::default());
            assert!(writing.wait() <= GATHER);
            writing.write();
            assert_eq!((loads(&options), writing.written), (Ok(true), None));
        }
    }
}
