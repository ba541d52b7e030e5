//! Requests that change protocols, and backends that do.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use gateway_io::{Driver, RuntimeOptions, run};

use super::case::{Case, Fault, Lease, Request, Stage};
use super::wire::ScriptWire;
use super::{connection, ir, serve};
use crate::exchange::wire::Release;
use crate::exchange::{Outcome, Scratch};
use crate::{ProxyConfig, Reason};

/// The end of a request that asks for an upgrade or not, on the response of a backend that makes one or not.
async fn play(wants: bool, switches: bool) -> (String, Option<Release>, u16) {
    let info = connection(&ir::Config::to(([203, 0, 113, 5], 80).into()), ProxyConfig::default());
    let case = Case { request: Request::Get, lease: Lease::Fresh, stage: Stage::Whole, fault: Fault::None };
    let mut wire = ScriptWire::new(case, Rc::clone(&info.control));
    (wire.upgrade, wire.switch) = (wants, switches);
    let mut scratch = Scratch::default();
    let (ended, record) = serve(&info, &mut wire, &mut scratch).await;
    let end = match ended.outcome {
        Outcome::Upgraded(_permit) => "upgraded".to_owned(),
        Outcome::Done => "done".to_owned(),
        Outcome::Left(_permit) => "left".to_owned(),
        Outcome::LocalReply(reply) => reply.reason.code().to_owned(),
        Outcome::Reset(reason) => reason.code().to_owned(),
    };
    (end, wire.released, record.status)
}

#[test]
fn a_switch_is_an_outcome_only_where_it_was_asked_for() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ends = Arc::clone(&seen);
    run(&RuntimeOptions::new(Driver::Epoll), || async move {
        for (wants, switches) in [(true, true), (true, false), (false, true), (false, false)] {
            let end = play(wants, switches).await;
            ends.lock().unwrap().push(end);
        }
    })
    .unwrap();
    let done = || ("done".to_owned(), Some(Release::Shared), 200);
    let unasked = (Reason::UpstreamUnexpectedUpgrade.code().to_owned(), None, 0);
    let want = [("upgraded".to_owned(), Some(Release::Tunnel), 101), done(), unasked, done()];
    assert_eq!(*seen.lock().unwrap(), want);
}
