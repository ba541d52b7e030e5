//! The lookup for connections that are not looked into.

use std::sync::Arc;

use crate::snapshot::ListenerInfo;
use crate::{BindTable, Rule};

impl BindTable {
    /// The listener that takes whole connections, and the rule that they go by; `None` for the rule if no route is attached.
    /// `None` if connections begin with something that tells more ([`Self::opening`]).
    pub fn tunnel(&self) -> Option<(&Arc<ListenerInfo>, Option<&Arc<Rule>>)> {
        let listener = self.listeners.all.iter().find(|listener| listener.takes_connections())?;
        Some((&listener.info, listener.tunnel.as_ref()))
    }
}
