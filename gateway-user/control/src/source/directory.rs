//! A directory as the compiler thread reads it.

use tracing::warn;

use super::Turn;
use super::file::{Fingerprint, Watcher, read};
use crate::engine::{DirectoryOptions, LOOK};
use crate::last_good::Keeper;
use crate::store::{Store, StoreView};

/// The directory, and what was read of it.
#[derive(Debug)]
pub(crate) struct Directory {
    options: DirectoryOptions,
    watcher: Option<Watcher>,
    keeper: Option<Keeper>,
    store: Store,
    /// The directory as it was read last.
    seen: Option<Fingerprint>,
}

impl Directory {
    /// Nothing is read yet; `changed` is called for every event that may matter.
    pub(crate) fn new(options: DirectoryOptions, changed: impl Fn() + Send + 'static) -> Self {
        let watcher = Watcher::new(changed).inspect_err(|error| warn!("{error}")).ok();
        let keeper =
            options.last_good.clone().map(|path| Keeper::new(path, &options.path, options.keeps_keys));
        let store = keeper.as_ref().map_or_else(Store::default, Keeper::store);
        Self { options, watcher, keeper, store, seen: None }
    }

    /// Keeps last good versions on disk from now on.
    pub(crate) fn begin_to_keep(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.begin(&self.store);
        }
    }

    /// Whether it looks another way than when it was read.
    pub(crate) fn differs(&self) -> bool {
        let now = Fingerprint::take(&self.options.path).ok();
        now.is_none() || now != self.seen
    }

    /// Reads it; `anyway` counts as new what was read before.
    pub(crate) fn turn(&mut self, view: &mut StoreView, anyway: bool) -> Turn {
        let tree = match read(&self.options.path) {
            Ok(tree) => tree,
            Err(error) => {
                // Whatever it becomes next is worth a look, so that it counts as unseen.
                self.seen = None;
                self.follow(Fingerprint::take(&self.options.path).ok().as_ref());
                return Turn::Unreadable(error.to_string());
            }
        };
        self.follow(Some(&tree.fingerprint));
        if !anyway && self.seen.as_ref() == Some(&tree.fingerprint) {
            return Turn::Same;
        }
        *view = self.store.apply(&tree);
        self.seen = Some(tree.fingerprint);
        if let Some(keeper) = &mut self.keeper {
            keeper.follow(&self.store);
        }
        Turn::New
    }

    fn follow(&mut self, fingerprint: Option<&Fingerprint>) {
        if let (Some(watcher), Some(fingerprint)) = (&mut self.watcher, fingerprint) {
            let refused = watcher.follow(fingerprint);
            if refused > 0 {
                warn!(
                    "{refused} directories cannot be watched; changes in them are found within {}s \
                     (raise fs.inotify.max_user_watches)",
                    LOOK.as_secs()
                );
            }
        }
    }
}
