//! One request from its head to its outcome: route, admit, dispatch to a backend, attempts, delivery, or a local reply.
//! Whatever the protocol: each is a [`wire::Wire`].

pub(crate) mod admit;
mod attempt;
mod deliver;
mod delivered;
mod dispatch;
mod edit;
mod limit;
mod mirrors;
mod outcome;
pub(crate) mod progress;
mod redirect;
mod retries;
mod retry_plan;
pub(crate) mod route;
mod scratch;
#[cfg(test)]
mod script_tests;
mod upload;
pub(crate) mod waits;
pub(crate) mod wire;

use gateway_snapshot::{Action, Cors};

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
                if let Some(cors) = &found.routed.rule.filters.cors {
                    self.decide(cors);
                }
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
            Action::Redirect(redirect) => {
                if let Some(cors) = &found.routed.rule.filters.cors
                    && let FilterOutcome::Reply(reason) = self.decide(cors)
                {
                    return Outcome::reply(reason).into();
                }
                self.redirect(redirect, found).into()
            }
            Action::Forward(picker) => {
                let target = picker.pick(self.info.context.random.next());
                if let Some(cors) = &target.filters.cors
                    && let FilterOutcome::Reply(reason) = self.decide(cors)
                {
                    return Outcome::reply(reason).into();
                }
                self.forward(found, target).await
            }
            // Told from the others when the rule was found.
            Action::Fail(error) => Outcome::reply(Reason::Failure(error.kind)).into(),
        }
    }

    /// Has the filter decide that may respond by itself. Nearly no rule has one.
    #[cold]
    #[inline(never)]
    fn decide(&mut self, cors: &Cors) -> FilterOutcome {
        let request = self.wire.request();
        let (own, outcome) = policy::admit_cors(cors, request.method_token, &route::Lines(request.fields));
        self.scratch.own_fields = Some(Box::new(own));
        outcome
    }
}
