//! A directory of YAML and JSON files, read whole and consistently, and watched.
//!
//! Reading and watching are apart: [`read`] gives one consistent [`Tree`] of texts or an error, never half a
//! change; [`Watcher`] only says what happens. A lost event costs time, not correctness, since the
//! directory's [`Fingerprint`] is compared at a slow pace as well. [`PendingWrites`] tells which files are
//! done being written.

mod event;
mod pending;
mod read;
mod walk;
mod watch;

pub use event::{FileEvent, WriteDelays};
pub use pending::{FileWork, Note, PendingWrites};
pub use read::{ReadError, Tree, TreeFile, read, read_one};
pub(crate) use read::{retry, text_of};
pub use walk::{Fingerprint, Stamp};
pub use watch::{WatchError, Watcher};
