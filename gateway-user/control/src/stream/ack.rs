//! Acknowledgements: reports of nodes as frames have them.

use bytes::Bytes;
use gateway_sync::frame::{Ack, Closed, ServedGateway};

use crate::cluster::record::{GatewayRecord, RecordStatus, RefusedRecord};
use crate::view::View;

/// The outcome of a version on this node, by its view.
pub(crate) fn of(view: &View, version: u64, closed: Vec<Closed>, closed_total: u64) -> Ack {
    let RecordStatus { generation, addresses, gateways, listener_sets, refused, .. } =
        RecordStatus::from(&*view.report);
    let gateway =
        |one: GatewayRecord| ServedGateway { namespace: one.namespace, name: one.name, digest: one.digest.0 };
    Ack {
        version,
        generation,
        gateways: gateways.into_iter().map(gateway).collect(),
        listener_sets: listener_sets.into_iter().map(gateway).collect(),
        // Plain data, which is always written.
        refused: serde_json::to_vec(&refused).unwrap_or_default().into(),
        addresses,
        closed,
        closed_total,
        error: view.last_error.clone().unwrap_or_default(),
    }
}

/// The node's report. What cannot be read of it is left out: of a Gateway that is not in it nobody knows that it is served.
pub(crate) fn report(program: &str, ack: &Ack) -> RecordStatus {
    let gateway = |one: &ServedGateway| GatewayRecord {
        namespace: one.namespace.clone(),
        name: one.name.clone(),
        digest: gateway_translate::GatewayDigest(one.digest.clone()),
    };
    RecordStatus {
        program: format!("sluice {program}"),
        renew_time: None,
        generation: ack.generation,
        addresses: ack.addresses.clone(),
        gateways: ack.gateways.iter().map(gateway).collect(),
        listener_sets: ack.listener_sets.iter().map(gateway).collect(),
        refused: refused(&ack.refused),
    }
}

fn refused(bytes: &Bytes) -> Vec<RefusedRecord> {
    serde_json::from_slice(bytes).unwrap_or_default()
}
