//! One request from its head to its outcome: route, admit, dispatch to a backend, attempts, delivery, or a local reply.
//! Whatever the protocol: each is a [`wire::Wire`].

pub(crate) mod admit;
mod attempt;
mod deliver;
mod dispatch;
mod edit;
mod limit;
mod mirrors;
mod outcome;
pub(crate) mod progress;
mod redirect;
pub(crate) mod route;
mod scratch;
#[cfg(test)]
mod script_tests;
mod upload;
pub(crate) mod waits;
pub(crate) mod wire;

use gateway_snapshot::{Action, Cors, Filters};

pub(crate) use deliver::reason as fault_reason;
pub(crate) use outcome::{Ended, LocalReply, Outcome};
pub(crate) use scratch::Scratch;

use crate::Reason;
use crate::connection::info::ConnInfo;
use crate::observe::record::RequestRecord;
use crate::policy::{self, FilterOutcome};
use wire::Wire;

/// One request on its way.
pub(crate) struct Exchange<'a, W> {
    /// The client's connection.
    pub(crate) info: &'a ConnInfo,
    pub(crate) wire: &'a mut W,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) record: &'a mut RequestRecord,
}

impl<W: Wire> Exchange<'_, W> {
    /// Routes the request and does what its rule says.
    pub(crate) async fn serve(&mut self) -> Ended {
        let found = match self.route().await {
            Ok(found) => found,
            Err(reason) => return Outcome::reply(admit::without_rule(self.info, reason)).into(),
        };
        let counted = match admit::admit(self.info, &found.routed) {
            Ok(counted) => counted,
            Err(reason) => {
                // Pages are told of a refusal as of any other response.
                self.decide(&found.routed.rule.filters);
                return Outcome::reply(reason).into();
            }
        };
        if self.wire.wants_upgrade() && self.info.control.is_over_limit() {
            // It would keep for hours the place that it was lent for a response.
            return Outcome::reply(Reason::OverloadConnections).into();
        }
        // Counted until the response is out, or the connection is lost.
        self.record.counted = Some(counted);
        match &found.routed.clone().rule.action {
            Action::Redirect(redirect) => match self.decide(&found.routed.rule.filters) {
                FilterOutcome::Continue => self.redirect(redirect, found).into(),
                FilterOutcome::Reply(reason) => Outcome::reply(reason).into(),
            },
            Action::Forward(picker) => {
                let target = picker.pick(self.info.context.random.next());
                match self.decide(&target.filters) {
                    FilterOutcome::Continue => self.forward(found, target).await,
                    FilterOutcome::Reply(reason) => Outcome::reply(reason).into(),
                }
            }
            // Told from the others when the rule was found.
            Action::Fail(error) => Outcome::reply(Reason::Failure(error.kind)).into(),
        }
    }

    /// Has the filters decide that may respond by themselves. Nearly no rule has one.
    fn decide(&mut self, filters: &Filters) -> FilterOutcome {
        match &filters.cors {
            None => FilterOutcome::Continue,
            Some(cors) => self.decide_cors(cors),
        }
    }

    #[cold]
    fn decide_cors(&mut self, cors: &Cors) -> FilterOutcome {
        let request = self.wire.request();
        let (own, outcome) = policy::admit_cors(cors, request.method_token, &route::Lines(request.fields));
        self.scratch.own_fields = Some(Box::new(own));
        outcome
    }
}
