//! The grammar of HTTP: tokens, field names, methods, schemes, statuses, authorities, origins and paths, and
//! the meaning of each to a gateway.
//!
//! One rule for one thing: routes are checked (`gateway-translate`), compiled (`gateway-snapshot`), matched
//! and forwarded (`gateway-http`, `gateway-proxy`) by the same functions, so that a rule which is accepted is
//! a rule which is served, and a path that is matched is the path that is forwarded (decision 241). Nothing
//! here allocates, but for paths that are not in normal form, and nothing here depends on another crate.
#![forbid(unsafe_code)]

pub mod authority;
pub mod grpc;
pub mod method;
pub mod names;
pub mod origin;
pub mod path;
pub mod percent;
pub mod scheme;
pub mod status;
pub mod token;

pub use authority::Authority;
pub use method::Method;
pub use names::FieldId;
pub use origin::{Origin, OriginPattern};
pub use scheme::Scheme;
