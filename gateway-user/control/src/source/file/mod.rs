//! A directory of YAML and JSON files, read whole and consistently, and watched.
//!
//! Reading and watching are apart: [`read`] gives one consistent [`Tree`] of texts or an error, never half a
//! change; [`Watcher`] only says that it is worth reading again. A lost event costs time, not correctness, since the
//! directory's [`Fingerprint`] is compared at a slow pace as well.

mod read;
mod walk;
mod watch;

pub use read::{ReadError, Tree, TreeFile, read, read_one};
pub use walk::Fingerprint;
pub use watch::{WatchError, Watcher};
