//! The reasons for which routes that could have taken a request have not, and what would change that. Pure: resources, their
//! translation and a lookup in, sentences and objects out.
#![forbid(unsafe_code)]

mod candidates;
mod grants;
mod holder;
mod loss;
mod losses;
mod remedies;

use std::net::SocketAddr;

use gateway_api_types::ResourceSet;
use gateway_ir::RouteId;
use gateway_regex::Library;
use gateway_snapshot::{Explanation, RequestView};
use gateway_translate::{TranslateOptions, Translation};

pub use loss::{Loss, LossReason, Remedy};

/// A request that was looked up, and all that the lookup came from.
pub struct Lookup<'a> {
    /// The resources.
    pub resources: &'a ResourceSet,
    /// The options of their translation.
    pub options: &'a TranslateOptions,
    /// Their translation.
    pub translation: &'a Translation,
    /// Compiles the expressions of routes.
    pub library: &'a Library,
    /// The request.
    pub request: &'a RequestView<'a>,
    /// The address that its connection came to.
    pub local: SocketAddr,
    /// The result.
    pub explanation: &'a Explanation,
}

/// A route that could have taken the request, and has not.
#[derive(Debug)]
pub struct Loser {
    /// The route.
    pub route: RouteId,
    /// Its rule and match that would have held, as lookups name them.
    pub place: String,
    /// Every reason; never none. Each parent may bring its own, and one that is mended may be enough.
    pub losses: Vec<Loss>,
}

impl Lookup<'_> {
    /// Every HTTPRoute and GRPCRoute that would take the request if nothing were in its way, but for the one that does; by
    /// kind and name.
    ///
    /// # Errors
    /// Objects that are imagined for this are not what the schemas ask for.
    pub fn losers(&self) -> Result<Vec<Loser>, serde_json::Error> {
        let winner = self.explanation.hit.as_ref().map(|hit| &hit.rule.route.id);
        let all = candidates::candidates(self)?.into_iter().filter(|one| Some(&one.route) != winner);
        Ok(all
            .map(|candidate| Loser {
                place: candidate.hit.place(),
                losses: self.losses(&candidate),
                route: candidate.route,
            })
            .collect())
    }

    /// ReferenceGrants by which the rule that took the request would reach a backend that it may not refer to. Each has been
    /// tried.
    ///
    /// # Errors
    /// A grant is not what the schema asks for.
    pub fn missing_grants(&self) -> Result<Vec<Remedy>, serde_json::Error> {
        match &self.explanation.hit {
            Some(hit) => grants::missing(self, &hit.rule),
            None => Ok(Vec::new()),
        }
    }

    fn host(&self) -> &str {
        std::str::from_utf8(self.request.host).unwrap_or_default()
    }
}
