//! Exchanges without a socket: both sides follow a script.

mod body;
mod guard;
mod head;
mod plan;
mod stage;
mod upgrades;
mod vectors;
mod wire;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use gateway_io::Driver;
use gateway_ir::Generation;
use gateway_snapshot::compile;

use crate::ProxyConfig;
use crate::connection::info::ConnInfo;
use crate::context::{Control, Live, Place, WorkerContext};
use crate::observe::record::{RequestRecord, request_id};
use crate::request_id::ID_LEN;

use super::wire::Wire as _;
use super::{Ended, Exchange, Scratch};

#[path = "../../../tests/outcomes/case.rs"]
#[allow(dead_code, reason = "the same cases are run over sockets")]
mod case;
#[path = "../../../tests/support/ir.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "shared with the tests over sockets")]
mod ir;

/// A client's connection whose worker routes by `config`.
fn connection(config: &ir::Config, proxy: ProxyConfig) -> ConnInfo {
    let local: SocketAddr = ([192, 0, 2, 1], 80).into();
    let context = Rc::new(WorkerContext::new(Arc::new(proxy), Driver::UringDefer, Box::new(|_| Ok(()))));
    context.upstreams.update(Arc::new(config.endpoints.clone()));
    let snapshot = Arc::new(compile(&config.ir(local), Generation(1)));
    context.go_live(Rc::new(Live::new(snapshot, &context.config, None)));
    let peer = ([198, 51, 100, 7], 40_000).into();
    ConnInfo::new(context, Rc::new(Control::new(Place::Inside)), peer, local)
}

/// Serves one request as a server does once its head is there.
async fn serve(
    info: &ConnInfo,
    wire: &mut wire::ScriptWire,
    scratch: &mut Scratch,
) -> (Ended, RequestRecord) {
    let mut record = RequestRecord::begin(info.peer.ip());
    let mut fresh = [0; ID_LEN];
    let request = wire.request();
    record.version = Some(request.version);
    scratch.text.take(&request, request_id(&info.context, &request, info.trusted, &mut fresh));
    let ended = Exchange { info, wire, scratch, record: &mut record }.serve().await;
    (ended, record)
}
