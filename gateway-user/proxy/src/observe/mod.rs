//! The record of each request, for the access log and the metrics.

pub(crate) mod access_log;
pub mod metrics;
pub(crate) mod record;
pub(crate) mod text;
