//! Requests of rules with retries: attempts until one has a response for the client, or may not be followed by another one.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_http::grpc::TimeoutText;
use gateway_ir::{BackendProtocol, Retry, RetryBudget};
use gateway_snapshot::{Filters, Target};

use super::attempt::attempt;
use super::deliver::{Delivery, deliver, note_head, switch};
use super::delivered::{Delivered, conclude, logs_in, release};
use super::limit::{self, Limit};
use super::progress::Progress;
use super::retry_plan::{Attempts, Failed, Plan, is_read};
use super::upload::{Upload, Uploading};
use super::waits::Waits;
use super::wire::{Lease as _, Release, ResponseSink, ResponseSource as _, Wire};
use super::{Ended, Exchange};
use crate::Reason;
use crate::body::replay::{Copies, Replay};
use crate::clock::within;
use crate::context::{ReplayAccount, Routed, WorkerContext};
use crate::fault::{self, Stage};
use crate::filters::{OnResponse, RequestTrailers, edit_field};
use crate::observe::record::Retried;
use crate::policy::retry::{AttemptResult, Denial};
use crate::upstream::{Cluster, Permit, Tried};

/// A request on its way, with all that was decided before it is sent.
pub(super) struct Forwarding<'t> {
    pub(super) cluster: Rc<Cluster>,
    pub(super) target: &'t Target,
    pub(super) routed: Rc<Routed>,
    pub(super) permit: Permit,
    pub(super) copies: Option<Box<dyn Copies>>,
}

/// An attempt with a response.
enum Step {
    Delivered(Delivered),
    /// Its response is not for the client: another one follows after a wait.
    Retry(Duration),
}

impl<W: Wire> Exchange<'_, W> {
    /// As `forward` does with a rule without retries. In memory of its own: few rules have retries, and the requests of others
    /// would have this inside.
    #[cold]
    #[inline(never)]
    pub(super) fn forward_with_retries<'f>(
        &'f mut self,
        retry: &'f Retry,
        forwarding: Forwarding<'f>,
    ) -> Pin<Box<dyn Future<Output = Ended> + 'f>> {
        Box::pin(self.with_retries(retry, forwarding))
    }

    async fn with_retries(&mut self, retry: &Retry, forwarding: Forwarding<'_>) -> Ended {
        let Forwarding { cluster, target, routed, permit, copies } = forwarding;
        self.wire.keep_head();
        let is_stream = self.record.is_grpc && cluster.protocol == BackendProtocol::Http2;
        let deadline = self.record.is_grpc.then(|| limit::deadline(&self.wire.request())).flatten();
        let limit = Limit::of_attempts(&routed, self.record.began, deadline);
        let ends_at =
            limit.as_ref().and_then(|limit| Some((Instant::now().checked_add(limit.left)?, limit.reason)));
        let waits = Waits::of(&routed.settings.timeouts, is_stream);
        let progress = Progress::new(permit, waits, ends_at);
        let is_mirrored = copies.is_some();
        progress.copies.set(copies);
        let context = Rc::clone(&self.info.context);
        let control = Rc::clone(&self.info.control);
        let account = ReplayAccount::new(&context, routed.shared.id().namespace());
        let replay = Replay::within(&account, is_mirrored);
        let request = self.wire.request();
        let plan = Plan {
            context: &context,
            cluster: &cluster,
            target,
            retry,
            progress: &progress,
            replay: &replay,
            is_idempotent: request.method.is_idempotent(),
            is_whole: !request.has_body,
            is_grpc: self.record.is_grpc,
            logs_in: logs_in(&request),
            budget: RetryBudget::default(),
        };
        let mut attempts = Attempts::default();
        let result = {
            let all = pin!(self.all_attempts(&plan, &routed, &mut attempts));
            let limited = pin!(Limit::hold(limit, all));
            control.kill.unless(limited).await.unwrap_or(Err(Reason::DrainAborted))
        };
        self.note_attempts(&context, &attempts, &result);
        progress.permit.response_began();
        self.note(&progress);
        drop(replay);
        conclude(progress, result)
    }

    async fn all_attempts(
        &mut self,
        plan: &Plan<'_>,
        routed: &Routed,
        attempts: &mut Attempts,
    ) -> Result<Delivered, Reason> {
        if plan.logs_in && !<W::ResponseSink<'_> as ResponseSink>::CARRIES_LOGINS {
            return Err(Reason::Http1Required);
        }
        loop {
            let limit = Limit::of_attempt(routed);
            let end = {
                let mut one = pin!(self.one_attempt(plan, attempts));
                match &limit {
                    Some(limit) => within(limit.left, one.as_mut()).await,
                    None => Some(one.await),
                }
            };
            let (wait, last) = match end.unwrap_or_else(|| Err(attempts.timed_out())) {
                Ok(Step::Delivered(delivered)) => return Ok(delivered),
                // Its response is not there any more.
                Ok(Step::Retry(wait)) => (wait, Reason::OverloadPending),
                Err(failed) if failed.is_free => {
                    plan.context.metrics.borrow_mut().counters.upstream_retries += 1;
                    attempts.was_resent = true;
                    attempts.endpoints.pop();
                    plan.progress.restart();
                    continue;
                }
                Err(failed) => match plan.judge(failed.end, attempts)? {
                    Some(wait) => (wait, failed.reason),
                    None => return Err(failed.reason),
                },
            };
            // The backend is asked for nothing meanwhile: its waiting places are for others.
            plan.progress.permit.response_began();
            if within(wait, pin!(self.wire.gone(plan.progress))).await.is_some() {
                return Err(Reason::ClientClosed);
            }
            if !plan.progress.permit.begin_again(&plan.context.config) {
                plan.context.metrics.borrow_mut().counters.upstream_overloaded += 1;
                return Err(last);
            }
            attempts.retries += 1;
            plan.context.metrics.borrow_mut().counters.retries += 1;
            plan.progress.restart();
            self.renew_deadline(&plan.target.filters)?;
        }
    }

    /// A call's deadline has come nearer: the next backend is told of what is left, unless filters tell it something else.
    fn renew_deadline(&mut self, filters: &Filters) -> Result<(), Reason> {
        let request = self.wire.request();
        let Some(deadline) = limit::deadline(&request).filter(|_| self.record.is_grpc) else { return Ok(()) };
        let left = deadline.saturating_sub(self.record.began.elapsed());
        let edits = &mut self.scratch.request_edits;
        edits
            .set(b"grpc-timeout", TimeoutText::new(left).as_bytes())
            .and_then(|()| edit_field(filters, "grpc-timeout", edits))
            .map_err(|_| Reason::FilteredRequestInvalid)
    }

    /// Sends the request once. What becomes of its response is decided as long as that is at hand.
    async fn one_attempt(&mut self, plan: &Plan<'_>, attempts: &mut Attempts) -> Result<Step, Failed> {
        let Plan { context, cluster, target, progress, replay, .. } = *plan;
        let is_first = !attempts.was_resent;
        let reuse = is_first && !attempts.was_refused;
        let lease = {
            let mut tried = Tried::after(&attempts.endpoints, &attempts.asked);
            self.wire.lease(cluster, reuse, &mut tried).await
        };
        attempts.asked.set(None);
        let mut lease = lease.map_err(Failed::to_connect)?;
        attempts.endpoints.push(lease.address());
        self.record.upstream = Some(lease.address());
        self.record.upstream_began = Some(Instant::now());
        progress.logs_in.set(lease.is_private() || plan.logs_in);
        fault::inject(&context.config, || self.wire.request(), Stage::Leased);
        let may_be_stale = reuse && plan.is_idempotent && plan.is_whole && lease.is_reused();
        let (then, step) = {
            self.wire.begin(&mut lease, &self.scratch.request_edits).map_err(Failed::finally)?;
            let mut halves = self.wire.halves(&mut lease, progress);
            let (source, sink) = (&mut halves.request_source, &mut halves.request_sink);
            let (response, client) = (&mut halves.response_source, &mut halves.response_sink);
            let trailers = RequestTrailers::of(&context.config, &target.filters);
            let mut upload = pin!(Upload { context, source, sink, trailers, progress, replay }.run());
            let mut upload = Uploading::new(upload.as_mut());
            let head = upload.beside(pin!(attempt(response, client, progress))).await;
            let switches =
                head.map_err(|error| Failed::of(error, may_be_stale, is_first && replay.is_ready()))?;
            let end = if switches { AttemptResult::Final } else { plan.read(response.parts()) };
            if let Some(wait) = plan.judge(end, attempts).map_err(Failed::finally)? {
                let reusable = is_read(response) && progress.uploaded.get() && !progress.logs_in.get();
                (reusable.then_some(Release::Shared), Step::Retry(wait))
            } else {
                attempts.is_delivering = true;
                replay.give_up();
                note_head(progress);
                let edits = &mut self.scratch.response_edits;
                let on_response =
                    OnResponse { filters: &target.filters, own: self.scratch.own_fields.as_deref() };
                if switches {
                    let switch = pin!(switch(context, (response, client), edits, on_response, progress));
                    upload.beside(switch).await.map_err(|error| Failed::finally(error.reason()))?;
                    (Some(Release::Tunnel), Step::Delivered(Delivered::Switched))
                } else {
                    let delivery = pin!(deliver(context, (response, client), edits, on_response, progress));
                    match upload.beside(delivery).await.map_err(|error| Failed::finally(error.reason()))? {
                        Delivery::Whole { reusable } => {
                            (release(progress, reusable), Step::Delivered(Delivered::Whole))
                        }
                        Delivery::Left => (Some(Release::Left), Step::Delivered(Delivered::Left)),
                    }
                }
            }
        };
        if let Some(then) = then {
            self.wire.release(lease, then);
        }
        Ok(step)
    }

    /// Notes and counts what became of the request.
    fn note_attempts(
        &mut self,
        context: &WorkerContext,
        attempts: &Attempts,
        result: &Result<Delivered, Reason>,
    ) {
        let denial = attempts.denial;
        let count = u8::try_from(attempts.retries.saturating_add(1)).unwrap_or(u8::MAX);
        self.record.retried = Some(Retried { attempts: count, denial });
        let counters = &mut context.metrics.borrow_mut().counters;
        match denial {
            None if attempts.retries == 0 => {}
            None if result.is_ok() => counters.retries_succeeded += 1,
            None | Some(Denial::Attempts | Denial::Time) => counters.retries_failed += 1,
            Some(Denial::Budget) => counters.retries_over_budget += 1,
            Some(Denial::Body) => counters.retries_not_kept += 1,
            Some(Denial::Method) => counters.retries_unsafe += 1,
        }
    }
}
