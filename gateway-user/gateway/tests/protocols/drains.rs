//! Drains and hot restarts with calls and tunnels under way: they stay until they end, or until the deadline.

use bytes::Bytes;
use gateway_testkit::http2::client::{connected, read};
use gateway_testkit::process::Guarded;
use nix::sys::signal::Signal;
use tungstenite::Message;

use crate::common::{get, metric, spawn_gateway, with_gateway_flags};
use crate::{backends, call, chat, ends, exchange, http, open, tunnel};

/// Long enough for what ends by itself.
const PATIENT: &[&str] = &["--drain-min", "0s", "--drain-max", "60s"];
/// Ends what does not.
const SHORT: &[&str] = &["--drain-min", "0s", "--drain-max", "3s"];
/// Lines of the log that a drain has cut.
const CUT: &str = "\"reason\":\"drain_aborted\"";

/// Runs `drain` while a call and a tunnel of each kind are under way, and ends them after that.
fn streams_end_by_themselves(drain: impl FnOnce()) {
    let mut socket = chat("chat.example");
    connected(http(), |client| async move {
        let (mut call_out, mut call_in) = open(&client, call("http://calls.example/a.Echo/Chat")).await;
        let (mut tunnel_out, mut tunnel_in) = tunnel(&client, "http://both.example/chat").await;
        exchange(&mut call_out, &mut call_in, "before").await;
        exchange(&mut tunnel_out, &mut tunnel_in, "before").await;
        assert_eq!(metric("sluice_tunnels", &[]), 2.0);
        drain();
        exchange(&mut call_out, &mut call_in, "after").await;
        exchange(&mut tunnel_out, &mut tunnel_in, "after").await;
        socket.send(Message::text("after")).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text("after"));
        call_out.send_data(Bytes::new(), true).unwrap();
        ends(&mut call_in).await;
        assert_eq!(call_in.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        tunnel_out.send_data(Bytes::new(), true).unwrap();
        ends(&mut tunnel_in).await;
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    });
}

fn ended_well(gateway: &mut Guarded) {
    let ended = gateway.wait();
    assert!(ended.success(), "{ended}: {}", gateway.output());
}

#[test]
fn a_drain_waits_for_calls_and_tunnels() {
    with_gateway_flags("drain-waits", PATIENT, |_, running| {
        let _backends = backends::serve(running);
        streams_end_by_themselves(|| {
            running.gateway.signal(Signal::SIGTERM).unwrap();
            running.gateway.wait_for_output("SIGTERM: draining");
        });
        ended_well(&mut running.gateway);
        assert!(!running.log().contains(CUT), "{}", running.log());
    });
}

#[test]
fn a_hot_restart_leaves_calls_and_tunnels_to_the_old_process() {
    with_gateway_flags("restart-waits", PATIENT, |inside, running| {
        let _backends = backends::serve(running);
        let mut old = None;
        streams_end_by_themselves(|| {
            let mut next = spawn_gateway(inside, running.config.path(), PATIENT);
            next.wait_for_output("took over from sluice");
            old = Some(std::mem::replace(&mut running.gateway, next));
            // Others are served by the new one.
            assert_eq!(get("/httpbin/get").unwrap().status, 200);
            assert_eq!(metric("sluice_tunnels", &[]), 0.0);
        });
        let mut old = old.unwrap();
        ended_well(&mut old);
        assert!(!old.output().contains(CUT), "{}", old.output());
        assert_eq!(metric("sluice_tunnels", &[]), 0.0);
    });
}

#[test]
fn the_deadline_of_a_drain_ends_what_is_left() {
    with_gateway_flags("drain-ends", SHORT, |_, running| {
        let _backends = backends::serve(running);
        let mut socket = chat("chat.example");
        let gateway = &running.gateway;
        connected(http(), |client| async move {
            let (mut call_out, mut call_in) = open(&client, call("http://calls.example/a.Echo/Chat")).await;
            let (mut tunnel_out, mut tunnel_in) = tunnel(&client, "http://both.example/chat").await;
            exchange(&mut call_out, &mut call_in, "before").await;
            exchange(&mut tunnel_out, &mut tunnel_in, "before").await;
            gateway.signal(Signal::SIGTERM).unwrap();
            assert!(read(&mut tunnel_in, 1).await.is_err(), "an end in order");
            // A call is told by a status.
            ends(&mut call_in).await;
            assert_eq!(call_in.trailers().await.unwrap().unwrap()["grpc-status"], "14");
            assert!(socket.read().is_err());
        });
        running.gateway.wait();
        assert_eq!(running.log().matches(CUT).count(), 3, "{}", running.log());
    });
}
