//! The intermediate representation: plain comparable data between translate and compile.
//!
//! `translate` writes it, `snapshot` compiles it, `sluice translate` prints it. It knows neither parent: no
//! Kubernetes client type, no runtime, no compiled pattern. Two equal [`Ir`]s compile to tables that treat
//! every request alike, so equality is what decides whether anything has to be published.
//!
//! Endpoints are not part of it: they change far more often than routes, so they travel beside it in
//! [`Endpoints`] and reach workers without a recompile.
#![forbid(unsafe_code)]

mod backend_tls;
mod endpoints;
mod filter;
mod hostname;
mod ids;
mod matching;
pub mod order;
pub mod overlap;
mod placement;
mod policy;
mod retry;
mod route;
mod settings;
mod tls;
mod topology;
mod validate;

pub use backend_tls::{BackendTls, SubjectAltName, TrustBundle, TrustSource};
pub use endpoints::Endpoints;
pub use filter::{Filter, HeaderChange, HeaderMod, HostRewrite, PathRewrite, Redirect};
pub use hostname::{Hostname, HostnameError};
pub use ids::{
    BackendProtocol, ClusterKey, Generation, ListenerId, ObjectName, RouteId, RouteKind, Transport,
};
pub use matching::{GrpcMatch, HeaderMatch, PathMatch, QueryMatch, RouteMatch, StringMatch};
pub use placement::{LabelRequirement, Labels, NodeSelector, Placement};
pub use policy::{ANY, Cors, Mirror, Share};
pub use retry::{Retry, RetryBudget};
pub use route::{
    Action, HttpRoute, HttpRule, L4Backend, L4Route, L4Rule, Route, RuleError, RuleErrorKind, Timeouts,
    WeightedBackend, WeightedTarget,
};
pub use settings::{ListenerSettings, Setting, Unit};
pub use tls::{
    Certificate, ClientValidation, ClientValidationMode, ListenerTls, PrivateKey, Staple, TlsVersion,
};
pub use topology::{AttachedRoutes, Bind, BindAddress, Ir, Listener, MatchHostname, Opening, Serve};
pub use validate::check_name;

/// A sorted map whose copies share all that is alike in them: a copy takes no time, a change that of a path through the tree,
/// and two copies are compared by what differs (decision 284).
pub use imbl::OrdMap as SharedMap;
/// The map of these entries, which come in order: `before` itself if it has the same ones, so that what is alike stays shared.
pub fn shared_map<K: Ord + Clone, V: Clone + PartialEq>(
    before: Option<&SharedMap<K, V>>,
    entries: Vec<(K, V)>,
) -> SharedMap<K, V> {
    let is_same = |before: &&SharedMap<K, V>| {
        before.len() == entries.len()
            && before.iter().zip(&entries).all(|((key, value), (k, v))| key == k && value == v)
    };
    match before.filter(is_same) {
        Some(same) => same.clone(),
        None => entries.into_iter().collect(),
    }
}

/// A difference of two such maps.
pub use imbl::ordmap::DiffItem;
