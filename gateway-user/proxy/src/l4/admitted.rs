//! A connection's place at a backend, until it goes there.

use std::rc::Rc;

use crate::observe::record::{RequestRecord, RequestText};
use crate::upstream::Cluster;

/// A connection that found its rule, and the endpoints that it may go to. It counts as under way, in its namespace and its
/// listener.
pub(crate) struct Admitted {
    pub(super) record: RequestRecord,
    pub(super) text: RequestText,
    pub(super) cluster: Rc<Cluster>,
}
