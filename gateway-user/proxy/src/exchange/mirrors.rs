//! The copies of a request that mirrors get: which of them, and the head of each.

use std::rc::Rc;

use gateway_snapshot::{Filters, Mirror};

use super::Exchange;
use super::waits::Waits;
use super::wire::Wire;
use crate::context::{Live, Routed};
use crate::policy::Mirrors;

impl<W: Wire> Exchange<'_, W> {
    /// Chooses the mirrors that get a copy of this request. None gets an upgrade: what follows it is no request.
    #[cold]
    pub(super) fn choose_mirrors(
        &self,
        live: &Live,
        routed: &Rc<Routed>,
        mirrors: &[Mirror],
    ) -> Option<Box<Mirrors>> {
        let context = &self.info.context;
        if self.wire.wants_upgrade() {
            return None;
        }
        let is_chosen = |mirror: &&Mirror| {
            let share = mirror.share;
            share.is_all() || context.random.below(share.denominator as usize) < share.numerator as usize
        };
        let cluster = |mirror: &Mirror| {
            let cluster = live.cluster(mirror.cluster, &routed.listener, &context.upstreams)?;
            Some((cluster, mirror.of_rule))
        };
        let clusters = mirrors.iter().filter(is_chosen).filter_map(cluster);
        let waits = Waits::of(&routed.settings.timeouts, false);
        Mirrors::new(context, routed, (waits, self.info.peer), clusters)
    }

    /// Gives the rule's mirrors the head as the rule's filters alone change it: a backend's own may hold a secret of it.
    #[cold]
    pub(super) fn copy_head(&mut self, mirrors: &mut Mirrors, of_rule: &Filters, matched_len: usize) {
        if mirrors.has(true) && self.edit_request(of_rule, matched_len).is_ok() {
            mirrors.take_head(&self.wire.request(), &self.scratch.request_edits, true);
        }
        self.scratch.request_edits.clear();
    }
}
