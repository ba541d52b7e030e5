//! The requests that have arrived, and those that arrived twice.

use std::collections::{HashMap, HashSet};

use crate::id::{RequestId, Tag};
use crate::report::Arrivals;

/// Ids by client. Grows with the number of requests: about 20 bytes each.
#[derive(Debug, Default)]
pub(super) struct ArrivalLog {
    clients: HashMap<Tag, Client>,
}

#[derive(Debug, Default)]
struct Client {
    seen: HashSet<RequestId>,
    duplicated: u64,
}

impl ArrivalLog {
    pub(super) fn record(&mut self, id: RequestId) {
        let client = self.clients.entry(id.tag()).or_default();
        if !client.seen.insert(id) {
            client.duplicated += 1;
        }
    }

    pub(super) fn of(&self, tag: Tag) -> Arrivals {
        self.clients.get(&tag).map_or_else(Arrivals::default, |client| Arrivals {
            seen: client.seen.len() as u64,
            duplicated: client.duplicated,
        })
    }
}
