//! One leader at a time.

use std::sync::Arc;
use std::time::Duration;

use gateway_control::cluster::lease::{Candidate, Leadership, LeaseTimes};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::server::ApiServer;
use crate::until;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/sys/leases/lead";

fn times() -> LeaseTimes {
    LeaseTimes {
        duration: Duration::from_secs(2),
        deadline: Duration::from_millis(1200),
        retry: Duration::from_millis(50),
    }
}

struct Process {
    leadership: Leadership,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn stand(server: &ApiServer, identity: &str) -> Process {
    stand_for(server, identity, times())
}

fn stand_for(server: &ApiServer, identity: &str, times: LeaseTimes) -> Process {
    let (stop, stopped) = watch::channel(false);
    let (candidate, leadership) = Candidate::new(server.client(), "sys", "lead", identity, times);
    Process { leadership, stop, task: tokio::spawn(candidate.run(stopped)) }
}

fn holder(server: &ApiServer) -> String {
    let lease = server.get(LEASE).unwrap_or_default();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn one_of_two_leads_and_hands_over_when_it_stops() {
    let server = ApiServer::start().await;
    let a = stand(&server, "a");
    until("a leads", || a.leadership.holds()).await;
    let b = stand(&server, "b");
    until("a renews", || server.writes("leases/lead").len() > 5).await;
    assert!(a.leadership.holds() && !b.leadership.holds());
    a.stop.send_replace(true);
    a.task.await.unwrap();
    assert!(!a.leadership.holds());
    until("b leads", || b.leadership.holds()).await;
    let spec = server.get(LEASE).unwrap()["spec"].clone();
    assert_eq!((&spec["holderIdentity"], &spec["leaseTransitions"]), (&"b".into(), &2.into()), "{spec}");
}

#[tokio::test]
async fn who_cannot_renew_stops_before_another_begins() {
    let server = ApiServer::start().await;
    let a = stand(&server, "a");
    until("a leads", || a.leadership.holds()).await;
    let b = stand(&server, "b");
    // Somebody else's requests go through: what fails is a's way to the server.
    let cut = Arc::new(server.clone());
    a.task.abort();
    until("b leads", || {
        let both = a.leadership.holds() && b.leadership.holds();
        assert!(!both, "two lead at once; the record says {}", holder(&cut));
        b.leadership.holds()
    })
    .await;
    assert_eq!(holder(&server), "b");
}

#[tokio::test]
async fn a_short_failure_of_the_server_changes_nothing() {
    let server = ApiServer::start().await;
    // So that this machine's pauses are none of the test's.
    let patient =
        LeaseTimes { duration: Duration::from_secs(60), deadline: Duration::from_secs(40), ..times() };
    let a = stand_for(&server, "a", patient);
    until("a leads", || a.leadership.holds()).await;
    // Not 429 and 503, which the client library tries again by itself, and slowly.
    server.fail("leases/lead", &[500, 500, 500]);
    let before = server.writes("leases/lead").len();
    until("a renews again", || {
        assert!(a.leadership.holds(), "it was given up too soon");
        server.writes("leases/lead").iter().skip(before).filter(|code| **code == 200).count() > 2
    })
    .await;
    assert_eq!(holder(&server), "a");
}

#[tokio::test]
async fn a_request_that_is_never_served_leaves_time_for_another() {
    let server = ApiServer::start().await;
    let times = LeaseTimes { duration: Duration::from_secs(20), deadline: Duration::from_secs(6), ..times() };
    let a = stand_for(&server, "a", times);
    until("a leads", || a.leadership.holds()).await;
    server.hang("leases/lead", 1);
    let before = server.writes("leases/lead").len();
    until("a renews again", || {
        assert!(a.leadership.holds(), "it waited for one response as long as it may lead");
        server.writes("leases/lead").len() > before + 3
    })
    .await;
}

#[tokio::test]
async fn a_renewal_is_no_news() {
    let server = ApiServer::start().await;
    let a = stand(&server, "a");
    let mut leadership = a.leadership.clone();
    until("a leads", || a.leadership.holds()).await;
    leadership.changed().await;
    let since = a.leadership.since();
    let before = server.writes("leases/lead").len();
    let renewed = async { until("a renews", || server.writes("leases/lead").len() > before + 5).await };
    tokio::select! {
        () = leadership.changed() => panic!("woken by a renewal"),
        () = renewed => {}
    }
    assert_eq!(a.leadership.since(), since);
    a.stop.send_replace(true);
    leadership.changed().await;
    assert!(!leadership.holds());
}
