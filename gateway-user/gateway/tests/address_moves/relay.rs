//! A connection between a node and its controller that can be cut, or fall silent as if the other side had lost its power.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// Interval of looking for the state.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

const PASSES: u8 = 0;
const CUT: u8 = 1;
const SILENT: u8 = 2;
const ENDED: u8 = 3;

/// Listens at a path for a node, and passes on to the controller what comes, both ways.
pub(crate) struct Relay {
    state: Arc<AtomicU8>,
}

impl Relay {
    pub(crate) fn start(at: &Path, controller: PathBuf) -> Self {
        let listener = UnixListener::bind(at).unwrap();
        fs::set_permissions(at, fs::Permissions::from_mode(0o777)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let state = Arc::new(AtomicU8::new(PASSES));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            while shared.load(Ordering::SeqCst) != ENDED {
                match listener.accept() {
                    Ok((near, _)) if shared.load(Ordering::SeqCst) == PASSES => {
                        near.set_nonblocking(false).unwrap();
                        if let Ok(far) = UnixStream::connect(&controller) {
                            both_ways(&near, &far, &shared);
                        }
                    }
                    // It closes.
                    Ok(_) => {}
                    Err(_) => thread::sleep(LOOK_INTERVAL),
                }
            }
        });
        Self { state }
    }

    /// Every connection ends, and no other begins.
    pub(crate) fn cut(&self) {
        self.state.store(CUT, Ordering::SeqCst);
    }

    /// Connections stay, and nothing passes.
    pub(crate) fn fall_silent(&self) {
        self.state.store(SILENT, Ordering::SeqCst);
    }

    /// New connections pass. Those that were silent end.
    pub(crate) fn mend(&self) {
        self.state.store(CUT, Ordering::SeqCst);
        thread::sleep(LOOK_INTERVAL * 5);
        self.state.store(PASSES, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.store(ENDED, Ordering::SeqCst);
    }
}

fn both_ways(near: &UnixStream, far: &UnixStream, state: &Arc<AtomicU8>) {
    for (from, to) in [(near, far), (far, near)] {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let state = Arc::clone(state);
        from.set_read_timeout(Some(LOOK_INTERVAL)).unwrap();
        thread::spawn(move || {
            pass(&from, &to, &state);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

fn pass(mut from: &UnixStream, mut to: &UnixStream, state: &AtomicU8) {
    let mut room = vec![0; 64 << 10];
    loop {
        match state.load(Ordering::SeqCst) {
            PASSES => {}
            SILENT => {
                thread::sleep(LOOK_INTERVAL);
                continue;
            }
            _ => return,
        }
        match from.read(&mut room) {
            Ok(0) => return,
            // What came as it fell silent is lost with the rest.
            Ok(length) if state.load(Ordering::SeqCst) == PASSES => {
                if to.write_all(&room[..length]).is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}
