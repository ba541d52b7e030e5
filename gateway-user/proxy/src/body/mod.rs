//! Bodies on their way from one connection to another.

pub(crate) mod coop_budget;
pub(crate) mod min_rate;
pub(crate) mod pump;
