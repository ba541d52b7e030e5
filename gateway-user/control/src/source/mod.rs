//! Where resources come from.

mod directory;
pub mod file;
pub mod kube;

pub(crate) use directory::Directory;

use std::time::Duration;

use crate::store::StoreView;

/// The one source of a process.
#[derive(Debug)]
pub(crate) enum Source {
    Directory(Box<Directory>),
    Cluster(Box<kube::Cluster>, Option<kube::LastGoodWriter>),
}

/// Result of a poll of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PollResult {
    /// It cannot be read now; says why.
    Unreadable(String),
    /// Not everything has arrived yet; says what is missing.
    Waiting(String),
    /// It is as it was.
    Same,
    /// The view is another one.
    New,
}

impl Source {
    /// Brings `view` to what the source says; `anyway` counts as new what was seen before.
    pub(crate) fn poll(&mut self, view: &mut StoreView, anyway: bool) -> PollResult {
        match self {
            Self::Directory(directory) => directory.poll(view, anyway),
            Self::Cluster(cluster, last_good_writer) => match cluster.take(view) {
                PollResult::New => {
                    last_good_writer
                        .iter_mut()
                        .for_each(|last_good_writer| last_good_writer.follow(&view.resources));
                    PollResult::New
                }
                PollResult::Same if anyway => PollResult::New,
                poll => poll,
            },
        }
    }

    /// True if there may be something new that no event has told of. The watches of a cluster find
    /// themselves.
    pub(crate) fn differs(&self) -> bool {
        match self {
            Self::Directory(directory) => directory.differs(),
            Self::Cluster(..) => false,
        }
    }

    /// In how long it is worth another look, though nothing happens: a file that is being written may be
    /// done.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        match self {
            Self::Directory(directory) => directory.due_in(),
            Self::Cluster(..) => None,
        }
    }

    /// Keeps last good versions on disk from now on.
    pub(crate) fn begin_to_keep(&mut self, view: &StoreView) {
        match self {
            Self::Directory(directory) => directory.begin_to_keep(),
            Self::Cluster(_, last_good_writer) => last_good_writer
                .iter_mut()
                .for_each(|last_good_writer| last_good_writer.begin(&view.resources)),
        }
    }

    /// Keeps what there was no time for, and what is sealed with a key that was replaced.
    pub(crate) fn catch_up(&mut self, view: &StoreView) {
        match self {
            Self::Directory(directory) => directory.catch_up(),
            Self::Cluster(_, last_good_writer) => last_good_writer
                .iter_mut()
                .for_each(|last_good_writer| last_good_writer.catch_up(&view.resources)),
        }
    }
}
