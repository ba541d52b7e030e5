//! Trailers of requests. A server that merges them into the header section (RFC 9110 section 6.5.1 warns of that) would read a
//! client's word where a proxy's or a filter's stood.

use gateway_grammar::names::is_proxy_field;
use gateway_snapshot::Filters;

use crate::config::{ProxyConfig, UnderscoreHeaders};

/// The trailers of a request that are forwarded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestTrailers<'a> {
    /// None.
    Drop,
    /// Those that name neither a field that only proxies may write nor one that these filters change.
    Keep {
        filters: &'a Filters,
        /// Names with `_` too.
        underscores: bool,
    },
}

impl<'a> RequestTrailers<'a> {
    pub(crate) fn of(config: &ProxyConfig, filters: &'a Filters) -> Self {
        match config.request_trailers {
            false => Self::Drop,
            true => Self::Keep { filters, underscores: config.underscore_headers == UnderscoreHeaders::Keep },
        }
    }

    /// True if a trailer of that name is forwarded.
    pub(crate) fn keeps(self, name: &[u8]) -> bool {
        match self {
            Self::Drop => false,
            Self::Keep { filters, underscores } => {
                !is_proxy_field(name) && !filters.concern(name) && (underscores || !name.contains(&b'_'))
            }
        }
    }
}
