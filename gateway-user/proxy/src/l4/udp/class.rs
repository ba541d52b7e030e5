//! Flows by what is known of their clients.

use super::list::List;

/// Knowledge of the client: the higher, the less a flow gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The backend has sent nothing. Its client may be anybody.
    Unreplied,
    /// The backend has sent something. Its client may have been made up all the same.
    Replied,
    /// The client has sent something after that, so it is there.
    Confirmed,
}

/// The flows of a group, by class, in the order of their use.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) count: usize,
    classes: [List; 3],
}

impl Class {
    /// All of them, in order.
    pub(super) const ALL: [Self; 3] = [Self::Unreplied, Self::Replied, Self::Confirmed];
}

impl Group {
    /// The list of a class, to be changed.
    pub(super) fn list(&mut self, class: Class) -> &mut List {
        let [unreplied, replied, confirmed] = &mut self.classes;
        match class {
            Class::Unreplied => unreplied,
            Class::Replied => replied,
            Class::Confirmed => confirmed,
        }
    }

    /// The flow of a class that was not used for longest.
    pub(super) fn oldest(&self, class: Class) -> Option<usize> {
        let [unreplied, replied, confirmed] = &self.classes;
        match class {
            Class::Unreplied => unreplied.first(),
            Class::Replied => replied.first(),
            Class::Confirmed => confirmed.first(),
        }
    }

    /// The flow that gives way first, if one does.
    pub(super) fn least(&self) -> Option<usize> {
        self.oldest(Class::Unreplied).or_else(|| self.oldest(Class::Replied))
    }
}
