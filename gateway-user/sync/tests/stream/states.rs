//! Whatever a controller says and however often a node comes and goes: what is committed is what the controller has.

use bytes::BytesMut;
use gateway_sync::capability::{self, Capabilities};
use gateway_sync::codec;
use gateway_sync::frame::{Down, DownFrame};
use gateway_sync::item::Desired;
use gateway_sync::key::Kind;
use gateway_sync::replica::Replica;
use gateway_sync::scope::Scope;
use gateway_sync::stored;
use gateway_sync::table::{Batch, Table};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use crate::placed::decoded;
use crate::plans::plans;

/// Has a node take frames, the last `cut` of them lost.
pub(crate) fn take(replica: &mut Replica, batch: &Batch, cut: usize) {
    let kept = batch.frames.len().saturating_sub(cut);
    for frame in &batch.frames[..kept] {
        let raw = codec::take(&mut BytesMut::from(&frame[..]), codec::MAX_DOWN).unwrap().unwrap();
        let frame = Down::decode(raw.clone()).unwrap().frame.unwrap();
        replica.take(frame, &raw).unwrap();
    }
}

/// Has a node come back, the last `cut` frames lost.
fn join(replica: &mut Replica, table: &Table, cut: usize) {
    let batch = table.join(&replica.position(), &Scope::default());
    take(replica, &batch, cut);
}

/// The frames for a node that nothing is hidden from.
fn since(table: &Table, version: u64) -> Option<Batch> {
    table.since(version, &Scope::default(), &Scope::default())
}

pub(crate) fn is(replica: &Replica, desired: &Desired) {
    let got = replica.desired();
    assert_eq!(got.ir, desired.ir);
    assert_eq!(got.endpoints, desired.endpoints);
    assert_eq!((&got.gateways, &got.addresses), (&desired.gateways, &desired.addresses));
    assert_eq!(replica.closed(), (Vec::new(), 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Of one node that follows each version, one that misses some, and one that comes back to another controller.
    #[test]
    fn nodes_have_what_the_controller_has(plans in vec(plans(), 1..6), misses in vec(any::<bool>(), 6), cut in 0..4usize) {
        let mut table = Table::new(7);
        let (mut steady, mut slow, mut broken) = (Replica::default(), Replica::default(), Replica::default());
        steady.begin(7);
        slow.begin(7);
        for (plan, misses) in plans.iter().zip(misses) {
            let desired = plan.desired();
            table.update(desired.clone());
            let batch = since(&table, steady.version()).unwrap();
            take(&mut steady, &batch, 0);
            is(&steady, &desired);
            broken.begin(7);
            join(&mut broken, &table, cut);
            if !misses {
                let batch = since(&table, slow.version()).unwrap();
                take(&mut slow, &batch, 0);
                is(&slow, &desired);
            }
        }
        let last = plans.last().unwrap().desired();
        broken.begin(7);
        join(&mut broken, &table, 0);
        is(&broken, &last);
        // Another controller process that has the same: a commit is all that is said.
        let mut other = Table::new(8);
        other.update(last.clone());
        let batch = other.join(&steady.position(), &Scope::default());
        prop_assert_eq!(batch.frames.len(), 1);
        steady.begin(8);
        take(&mut steady, &batch, 0);
        is(&steady, &last);
        // And one that has something else.
        let first = plans[0].desired();
        let mut other = Table::new(9);
        other.update(first.clone());
        steady.begin(9);
        join(&mut steady, &other, 0);
        is(&steady, &first);
    }

    /// A node that starts from its file has what was written, but for keys that are to be left out, and is sent those.
    #[test]
    fn a_file_brings_back_what_was_written(plan in plans(), with_keys in any::<bool>(), cut in 1..40usize) {
        let desired = plan.desired();
        let bytes = stored::write(&desired, with_keys).fold(Vec::new(), |all, piece| [all, piece.to_vec()].concat());
        let mut replica = Replica::default();
        stored::read(&bytes, &mut replica).unwrap();
        if with_keys {
            is(&replica, &desired);
        }
        let mut listeners = replica.desired().ir.binds.iter().flat_map(|bind| &bind.listeners);
        prop_assert!(with_keys || listeners.all(|one| one.certificates().next().is_none()));
        let mut table = Table::new(7);
        table.update(desired.clone());
        replica.begin(7);
        join(&mut replica, &table, 0);
        is(&replica, &desired);
        let mut empty = Replica::default();
        prop_assert!(stored::read(&bytes[..bytes.len().saturating_sub(cut)], &mut empty).is_err());
        prop_assert_eq!(empty.desired(), &Desired::default());
    }

    /// An update says no more than what differs.
    #[test]
    fn nothing_is_said_of_what_is_the_same(plan in plans(), other in plans()) {
        let mut table = Table::new(7);
        table.update(plan.desired());
        prop_assert!(!table.update(plan.desired()), "nothing is shared, and all is equal");
        prop_assert_eq!(since(&table, table.version()).unwrap().frames.len(), 1);
        let mut edited = plan.clone();
        edited.clusters = other.clusters.clone();
        table.update(edited.desired());
        let keys = plan.clusters.keys().chain(other.clusters.keys());
        let differing = keys.collect::<std::collections::BTreeSet<_>>().into_iter()
            .filter(|key| plan.clusters.get(key) != other.clusters.get(key)).count();
        let is_of_cluster = |frame: &&bytes::Bytes| match decoded(frame) {
            DownFrame::Put(put) => Kind::of(put.kind) == Some(Kind::Cluster),
            DownFrame::Delete(delete) => Kind::of(delete.kind) == Some(Kind::Cluster),
            _ => false,
        };
        let told = since(&table, 1).unwrap().frames.iter().filter(is_of_cluster).count();
        prop_assert_eq!(told, differing);
    }

    /// A node that lacks a capability serves the parts that need it closed, and no rule of them open.
    #[test]
    fn what_is_not_known_is_closed(plan in plans(), missing in 0..capability::KNOWN.len()) {
        let name = capability::KNOWN[missing].to_owned();
        let mut table = Table::new(7);
        let desired = plan.desired();
        table.update(desired.clone());
        let mut replica = Replica::new(Capabilities::without(std::slice::from_ref(&name)));
        replica.begin(7);
        join(&mut replica, &table, 0);
        let got = replica.desired();
        for (id, route) in &got.ir.routes {
            for (rule, whole) in route.http_rules().iter().zip(desired.ir.routes[id].http_rules()) {
                let needs = |needs: capability::Needs| needs.contains(&name.as_str());
                let is_closed = matches!(&rule.action, gateway_ir::Action::Fail(error)
                    if error.kind == gateway_ir::RuleErrorKind::UnknownCapability);
                let unknown = needs(capability::of_matches(whole)) || needs(capability::of_action(whole));
                prop_assert_eq!(is_closed, unknown);
                prop_assert!(unknown || rule == whole);
            }
        }
        for (id, whole) in &desired.ir.routes {
            let is_closed = capability::of_route(whole).contains(&name.as_str());
            prop_assert!(!(is_closed && got.ir.routes.contains_key(id)), "{} is served", id);
        }
        for (bind, whole) in got.ir.binds.iter().zip(&desired.ir.binds) {
            for (listener, whole) in bind.listeners.iter().zip(&whole.listeners) {
                prop_assert_eq!(&listener.id, &whole.id, "its hosts go to no other listener");
                if capability::of_listener(whole).contains(&name.as_str()) {
                    prop_assert!(listener.routes.is_empty());
                    prop_assert!(listener.tls.as_ref().is_none_or(|tls| tls.certificates.is_empty()));
                }
            }
        }
        let (named, total) = replica.closed();
        prop_assert_eq!(named.len() as u64, total.min(100));
        prop_assert!(named.iter().all(|closed| closed.needs == name));
    }
}
