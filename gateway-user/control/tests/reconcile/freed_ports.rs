//! Ports that other programs held and have left.

use std::time::Duration;

use crate::bench::{Bench, config};

#[test]
fn a_listener_does_not_lie_in_wait_for_a_port_that_another_program_held() {
    let mut bench = Bench::new();
    let text = config(&[80, 81], "one", 1);
    bench.reconcile(&config(&[80], "one", 1));
    bench.notes.set(|notes| notes.refuse_port = Some(81));
    bench.reconcile(&text);
    assert_eq!(bench.refused(), ["81 PortInUse"]);
    bench.notes.set(|notes| notes.refuse_port = None);
    assert_eq!(bench.advance(1, &text), ["81 PortAwaited"], "whoever had it may be about to come back");
    assert_eq!(bench.programmed(81), "False PortUnavailable");
    assert!(bench.reconciler.is_unsettled());
    assert_eq!(bench.advance(290, &text), ["81 PortAwaited"]);
    // It is back for a moment: the time begins anew.
    bench.notes.set(|notes| notes.refuse_port = Some(81));
    assert_eq!(bench.advance(5, &text), ["81 PortInUse"]);
    bench.notes.set(|notes| notes.refuse_port = None);
    assert_eq!(bench.advance(10, &text), ["81 PortAwaited"]);
    assert_eq!(bench.advance(299, &text), ["81 PortAwaited"]);
    assert_eq!(bench.advance(2, &text), Vec::<String>::new(), "free for five minutes");
    assert_eq!(bench.programmed(81), "True Programmed");
    assert!(!bench.reconciler.is_unsettled());
}

#[test]
fn an_edit_of_its_gateway_asks_for_a_freed_port_at_once_and_one_of_a_route_does_not() {
    let mut bench = Bench::new();
    bench.reconcile(&config(&[80], "one", 1));
    bench.notes.set(|notes| notes.refuse_port = Some(81));
    bench.reconcile(&config(&[80, 81], "one", 1));
    bench.notes.set(|notes| notes.refuse_port = None);
    bench.reconcile(&config(&[80, 81], "two", 3));
    assert_eq!(bench.refused(), ["81 PortAwaited"], "a route and its Service were edited");
    bench.reconcile(&config(&[80, 81, 82], "two", 3));
    assert_eq!(bench.refused(), Vec::<String>::new());
}

#[test]
fn a_listener_that_was_away_meanwhile_asks_anew() {
    let mut bench = Bench::new();
    bench.reconcile(&config(&[80], "one", 1));
    bench.notes.set(|notes| notes.refuse_port = Some(81));
    bench.reconcile(&config(&[80, 81], "one", 1));
    bench.notes.set(|notes| notes.refuse_port = None);
    bench.reconcile(&config(&[80], "one", 1));
    bench.reconcile(&config(&[80, 81], "one", 1));
    assert_eq!(bench.refused(), Vec::<String>::new());
}

#[test]
fn what_a_dead_predecessor_held_is_taken_at_once_but_beside_a_living_one_nothing_is() {
    for (beside, expected) in [(false, Vec::new()), (true, vec!["81 PortAwaited"])] {
        let bench = Bench::new();
        let reconciler = bench.reconciler.taking_freed_ports_after(Duration::from_secs(300), beside);
        let mut bench = Bench { reconciler, ..bench };
        let text = config(&[80, 81], "one", 1);
        bench.notes.set(|notes| notes.refuse_port = Some(81));
        bench.reconcile(&text);
        bench.notes.set(|notes| notes.refuse_port = None);
        assert_eq!(bench.advance(9, &text), expected, "beside another: {beside}");
    }
    // Ten seconds after the start no killed process's sockets are left.
    let mut bench = Bench::new();
    let text = config(&[80, 81], "one", 1);
    bench.notes.set(|notes| notes.refuse_port = Some(81));
    bench.reconcile(&text);
    bench.notes.set(|notes| notes.refuse_port = None);
    assert_eq!(bench.advance(11, &text), ["81 PortAwaited"]);
}
