//! Compiles the intermediate representation into the tables workers look requests up in.
//!
//! [`compile`] may allocate and think; it is pure and never fails, because one broken rule must not hold back
//! the others: such a rule responds 500. [`BindTable::route`] is the data plane's side: no lock, no
//! allocation once its [`WorkerRegexes`] is warm, and a cost that does not grow with the number of routes. It
//! gives a [`RouteHit`] or a named [`RouteMiss`]; [`explain`] takes the same steps and says them aloud.
//!
//! Precedence lives in [`order`] alone. It sorts when tables are built; a lookup takes the first entry that
//! holds.
#![forbid(unsafe_code)]

mod compile;
mod cors;
mod explain;
mod filters;
mod hit;
mod l4;
mod lookup;
mod mirror;
mod numbers;
mod pattern;
mod picker;
mod progress;
mod request;
pub mod rewrite;
mod rule;
mod snapshot;
mod table;

pub use compile::{compile, compile_from, compile_with};
pub use cors::{Cors, Leave};
pub use explain::{
    ExplainedHit, Explanation, Verdict, explain, explain_connection, explain_datagram, explain_over,
    explain_tls,
};
pub use filters::{FieldEdit, Filters};
pub use gateway_ir::{Generation, Opening, order};
pub use hit::{RouteHit, RouteMiss};
pub use l4::Selected;
pub use mirror::Mirror;
pub use pattern::{RegexTotals, WorkerRegexes};
pub use picker::Picker;
pub use progress::Progress;
pub use request::{FieldLines, FieldList, RequestView};
pub use rule::{Action, ClusterId, Destination, RouteLabel, Rule, Target};
pub use snapshot::{BindTable, ListenerInfo, Snapshot};
