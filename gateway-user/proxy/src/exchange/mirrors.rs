//! The copies of a request that mirrors get: which of them, and the head of each.

use std::rc::Rc;

use gateway_snapshot::{Mirror, Target};

use super::Exchange;
use super::waits::Waits;
use super::wire::Wire;
use crate::body::replay::Copies;
use crate::context::{Live, Routed};
use crate::policy::Mirrors;

impl<W: Wire> Exchange<'_, W> {
    /// The copies that mirrors get of this request. None gets an upgrade: what follows it is no request.
    #[cold]
    #[inline(never)]
    pub(super) fn copies(
        &mut self,
        live: &Live,
        routed: &Rc<Routed>,
        target: &Target,
        matched_len: usize,
    ) -> Option<Box<dyn Copies>> {
        if self.wire.wants_upgrade() {
            return None;
        }
        let context = &self.info.context;
        let is_chosen = |mirror: &&Mirror| {
            let share = mirror.share;
            share.is_all() || context.random.below(share.denominator as usize) < share.numerator as usize
        };
        let cluster = |mirror: &Mirror| {
            let cluster = live.cluster(mirror.cluster, &routed.listener, &context.upstreams)?;
            Some((cluster, mirror.of_rule))
        };
        let clusters = target.mirrors.iter().filter(is_chosen).filter_map(cluster);
        let waits = Waits::of(&routed.settings.timeouts, false);
        let mut mirrors = Mirrors::new(context, routed, (waits, self.info.peer), clusters)?;
        // The rule's filters alone change the copies of its mirrors: a backend's own may hold a secret of it.
        for (of_rule, filters) in [(true, &routed.rule.filters), (false, &target.filters)] {
            if mirrors.has(of_rule) && self.edit_request(filters, matched_len).is_ok() {
                mirrors.take_head(&self.wire.request(), &self.scratch.request_edits, of_rule);
            }
            self.scratch.request_edits.clear();
        }
        Some(mirrors)
    }
}
