//! Request and response bodies: from a source to a sink, each of its own protocol.

pub(crate) mod coop_budget;
pub(crate) mod ends;
pub(crate) mod flush;
pub(crate) mod min_rate;
pub(crate) mod pacing;
pub(crate) mod pump;
pub(crate) mod replay;
pub(crate) mod replayed;
