//! One request from its head to its outcome: route, dispatch to a backend, attempts, delivery, or a local reply.

pub(crate) mod attempt;
pub(crate) mod deliver;
pub(crate) mod dispatch;
pub(crate) mod half_close;
pub(crate) mod reply;
pub(crate) mod route;
