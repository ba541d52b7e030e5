//! Events of files, and the waits after them.

use std::time::Duration;

use super::walk::Stamp;

/// Times for which a file has to stay as it is before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteDelays {
    /// Time for a file that nothing speaks against.
    pub quiet: Duration,
    /// Time for a file that is empty or shorter than what was read before, and was not moved into place.
    pub shorter: Duration,
    /// Time for a file that is still open for writing.
    pub open: Duration,
}

impl WriteDelays {
    /// Files that are being written are waited for, never less than the quiet time.
    pub fn patient(quiet: Duration) -> Self {
        Self { quiet, shorter: quiet.max(Duration::from_secs(2)), open: quiet.max(Duration::from_secs(5)) }
    }

    /// Quiet time alone decides.
    pub fn quiet_only(quiet: Duration) -> Self {
        Self { quiet, shorter: quiet, open: quiet }
    }
}

/// A change in a directory. A file comes with the stamp that it had when the change was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// A file's content changed, and whoever did that has it open.
    Written(Stamp),
    /// A file was closed by one who could write to it.
    Closed(Stamp),
    /// A file came under its name by a rename.
    Replaced(Stamp),
    /// A file is new under its name, or has another mode, owner or time.
    Touched(Stamp),
    /// Something that is no file came under its name by a rename: a directory, or the link behind which a
    /// ConfigMap lies.
    Swapped,
    /// An entry is gone.
    Removed,
    /// Anything else, a lost event among it.
    Other,
}

impl FileEvent {
    /// A file is new under its name. An empty one was made to be written to; a link, or a nameless file that
    /// is given a name, has its content, and that of others comes with an event of its own.
    pub(super) fn created(stamp: Stamp) -> Self {
        if stamp.size() == 0 { Self::Written(stamp) } else { Self::Touched(stamp) }
    }
}
