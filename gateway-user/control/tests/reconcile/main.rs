//! The order in which a configuration goes live, with workers and steering that write down what they are
//! asked.
#![allow(missing_docs)]

mod bench;
mod freed_ports;
mod recorder;
mod unready;

use bench::{Bench, config, resources};

#[test]
fn steering_is_added_after_the_commit_on_all_workers() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.reconcile(&config(&[80], "one", 1)),
        [
            "0 endpoints one=1",
            "1 endpoints one=1",
            "sockets for 80",
            "0 prepare 1",
            "1 prepare 1",
            "0 commit 1",
            "1 commit 1",
            "steer 80",
        ]
    );
    assert_eq!(bench.live(), Some(1));
    assert_eq!(bench.programmed(80), "True Programmed");
}

#[test]
fn steering_is_removed_before_the_commit_and_added_after_it() {
    let mut bench = Bench::new();
    bench.reconcile(&config(&[80, 81], "one", 1));
    let lines = bench.reconcile(&config(&[80, 82], "one", 1));
    let order: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.contains("steer") || line.starts_with("0 c"))
        .collect();
    assert_eq!(order, ["steer 80", "0 commit 2", "steer 80,82"], "{lines:?}");
}

#[test]
fn nothing_is_published_when_nothing_changed_and_endpoints_travel_alone() {
    let mut bench = Bench::new();
    bench.reconcile(&config(&[80], "one", 1));
    assert!(bench.reconcile(&config(&[80], "one", 1)).is_empty());
    assert_eq!(bench.reconcile(&config(&[80], "one", 2)), ["0 endpoints one=2", "1 endpoints one=2"]);
    assert_eq!(bench.live(), Some(1));
    assert_eq!(bench.view.borrow().tally.endpoint_updates, 1);
}

#[test]
fn until_the_commit_the_endpoints_of_both_generations_are_known() {
    let mut bench = Bench::new();
    bench.reconcile(&config(&[80], "one", 1));
    let lines = bench.reconcile(&config(&[80], "two", 3));
    let of_first: Vec<&str> = lines.iter().map(String::as_str).filter(|line| line.starts_with('0')).collect();
    assert_eq!(of_first, ["0 endpoints one=1 two=3", "0 prepare 2", "0 commit 2", "0 endpoints two=3"]);
}

/// An edit of a route leaves endpoints as they are, which every worker has. What workers were told for a generation that did
/// not come to be is taken back.
#[test]
fn endpoints_that_workers_have_are_not_told_again() {
    let mut bench = Bench::new();
    bench.reconcile(&config(&[80], "one", 1));
    let told = |lines: Vec<String>| {
        lines.into_iter().filter(|line| line.starts_with("0 endpoints")).collect::<Vec<_>>()
    };
    assert!(told(bench.reconcile(&config(&[80, 81], "one", 1))).is_empty());
    bench.notes.set(|notes| notes.refuse_prepare = true);
    assert_eq!(told(bench.reconcile(&config(&[80, 81], "two", 3))), ["0 endpoints one=1 two=3"]);
    bench.notes.set(|notes| notes.refuse_prepare = false);
    assert_eq!(told(bench.reconcile(&config(&[80, 82], "one", 1))), ["0 endpoints one=1"]);
    assert!(told(bench.reconcile(&config(&[80, 83], "one", 1))).is_empty());
}

#[test]
fn one_workers_refusal_keeps_the_old_generation_on_all() {
    let mut bench = Bench::new();
    bench.reconcile(&config(&[80], "one", 1));
    bench.notes.set(|notes| notes.refuse_prepare = true);
    let lines = bench.reconcile(&config(&[80, 81], "one", 1));
    assert!(lines.contains(&"0 abort 2".to_owned()) && lines.contains(&"1 abort 2".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("commit") || line.contains("steer")), "{lines:?}");
    assert_eq!(bench.live(), Some(1));
    assert!(bench.view.borrow().last_error.as_ref().is_some_and(|text| text.contains("worker 1")));
    assert_ne!(bench.programmed(81), "True Programmed", "what is not live is not called programmed");

    bench.notes.set(|notes| notes.refuse_prepare = false);
    let view = resources(&config(&[80, 81], "one", 1));
    bench.runtime.block_on(bench.reconciler.retry(&view));
    assert_eq!(bench.live(), Some(3), "an aborted number is not used again");
    assert!(bench.view.borrow().last_error.is_none());
    assert_eq!(bench.programmed(81), "True Programmed");
}

#[test]
fn a_dead_worker_holds_a_generation_back_until_its_successor_is_there() {
    let mut bench = Bench::new();
    bench.reconcile(&config(&[80], "one", 1));
    bench.notes.set(|notes| notes.dead = Some(1));
    bench.reconcile(&config(&[80, 81], "one", 1));
    assert_eq!(bench.live(), Some(1));
    bench.notes.set(|notes| notes.dead = None);
    bench.notes.take();
    bench.runtime.block_on(bench.reconciler.adopt(1)).unwrap();
    assert_eq!(
        bench.notes.take(),
        ["sockets of 1", "1 endpoints one=1", "1 prepare 1", "1 commit 1"],
        "what is live, to it alone"
    );
}

#[test]
fn a_refused_port_is_left_out_said_and_taken_once_it_is_free() {
    let mut bench = Bench::new();
    bench.notes.set(|notes| notes.refuse_port = Some(81));
    let lines = bench.reconcile(&config(&[80, 81], "one", 1));
    assert_eq!(lines.last().map(String::as_str), Some("steer 80"));
    assert_eq!(
        (bench.programmed(80), bench.programmed(81)),
        ("True Programmed".into(), "False PortUnavailable".into())
    );

    let view = resources(&config(&[80, 81], "one", 1));
    bench.runtime.block_on(bench.reconciler.retry(&view));
    assert!(bench.notes.take().is_empty(), "still refused: nothing to do");
    assert!(bench.reconciler.is_unsettled(), "who has the port may go");
    bench.notes.set(|notes| notes.refuse_port = None);
    bench.runtime.block_on(bench.reconciler.retry(&view));
    assert_eq!(bench.notes.take().last().map(String::as_str), Some("steer 80,81"));
    assert_eq!(bench.programmed(81), "True Programmed");
    assert!(!bench.reconciler.is_unsettled());
}

/// Listeners of others are not asked for at each change of a route, and still found out.
#[test]
fn ports_are_checked_when_they_change_and_now_and_then() {
    let mut bench = Bench::new();
    let checks = |bench: &Bench| {
        let mut checks = 0;
        bench.notes.set(|notes| checks = std::mem::take(&mut notes.checks));
        checks
    };
    bench.reconcile(&config(&[80, 81], "one", 1));
    assert_eq!(checks(&bench), 1);
    bench.reconcile(&config(&[80, 81], "two", 1));
    bench.reconcile(&config(&[80, 81], "two", 2));
    assert_eq!((checks(&bench), bench.live()), (0, Some(2)));
    bench.reconcile(&config(&[80, 82], "two", 2));
    assert_eq!(checks(&bench), 1);

    bench.notes.set(|notes| notes.refuse_port = Some(82));
    bench.reconcile(&config(&[80, 82], "one", 2));
    assert_eq!((checks(&bench), bench.programmed(82)), (0, "True Programmed".into()));
    let view = resources(&config(&[80, 82], "one", 2));
    bench.runtime.block_on(bench.reconciler.retry(&view));
    assert_eq!(bench.programmed(82), "False PortUnavailable");
    // As long as one is refused, an edit asks.
    checks(&bench);
    bench.reconcile(&config(&[80, 82], "two", 2));
    assert_eq!(checks(&bench), 1);
}

#[test]
fn endpoints_that_are_the_node_itself_reach_no_worker_until_they_are_not() {
    use std::collections::BTreeSet;
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicBool, Ordering};

    use gateway_control::own_ports::OwnPorts;

    /// True if the address that the configuration names is the node's now.
    static OWN: AtomicBool = AtomicBool::new(true);
    fn addresses() -> Option<BTreeSet<IpAddr>> {
        let own = OWN.load(Ordering::Relaxed).then(|| IpAddr::from([10, 0, 0, 1]));
        Some(own.into_iter().collect())
    }
    let bench = Bench::new();
    let own =
        OwnPorts { reserved: BTreeSet::from([8000]), addresses: Some(addresses), ..OwnPorts::default() };
    let mut bench = Bench { reconciler: bench.reconciler.guarding(own), ..bench };
    let text = config(&[80], "one", 2);
    let lines = bench.reconcile(&text);
    assert!(
        lines.iter().filter(|line| line.contains("endpoints")).all(|line| line.ends_with("one=1")),
        "{lines:?}"
    );
    let said: Vec<String> = bench.view.borrow().own_endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("a/one:80: endpoint 10.0.0.1:8000") && said[0].contains("--reserved-ports"),
        "{said:?}"
    );
    // The status says the same on every node.
    let status = serde_json::to_string(&*bench.view.borrow().translated).unwrap();
    assert!(!status.contains("10.0.0.1"), "{status}");

    OWN.store(false, Ordering::Relaxed);
    bench.advance(10, &text);
    assert_eq!(bench.notes.take(), ["0 endpoints one=2", "1 endpoints one=2"], "an address of the node went");
    assert!(bench.view.borrow().own_endpoints.is_empty());
    OWN.store(true, Ordering::Relaxed);
    bench.advance(10, &text);
    assert_eq!(bench.notes.take(), ["0 endpoints one=1", "1 endpoints one=1"]);
}

#[test]
fn nothing_is_ready_before_it_is_steered() {
    let mut bench = Bench::new();
    bench.notes.set(|notes| notes.refuse_apply = true);
    bench.reconcile(&config(&[80], "one", 1));
    assert_eq!(bench.live(), None);
    bench.notes.set(|notes| notes.refuse_apply = false);
    let view = resources(&config(&[80], "one", 1));
    bench.runtime.block_on(bench.reconciler.retry(&view));
    assert!(bench.live().is_some());
}

#[test]
fn a_condition_keeps_its_time_while_it_keeps_its_status() {
    let mut bench = Bench::new();
    let time = |bench: &Bench| {
        let status = bench.view.borrow().dated_status();
        let route = status.routes.values().next().unwrap();
        route.parents[0]
            .conditions
            .iter()
            .find(|one| one.type_ == "Accepted")
            .unwrap()
            .last_transition_time
            .clone()
    };
    bench.reconcile(&config(&[80], "one", 1));
    let first = time(&bench);
    bench.reconcile(&config(&[80, 81], "one", 1));
    assert_eq!(time(&bench), first);
}
