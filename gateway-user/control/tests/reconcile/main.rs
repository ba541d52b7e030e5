//! The order in which a configuration goes live, with workers and steering that write down what they are asked.
#![allow(missing_docs)]

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_api_types::load::{assemble, load};
use gateway_control::publish::Workers;
use gateway_control::reconcile::Reconciler;
use gateway_control::steer::Steer;
use gateway_control::store::StoreView;
use gateway_control::view::View;
use gateway_proxy::worker::{PrepareError, WorkerCommand};
use gateway_steer::{Prepared, Rejection, RejectionReason, SteerBind, SteerError, SteerPlan};
use gateway_translate::TranslateOptions;
use tokio::sync::watch;

/// Recorded calls, in order, and injected errors.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default)]
struct Recorded {
    lines: Vec<String>,
    refuse_prepare: bool,
    dead: Option<usize>,
    refuse_port: Option<u16>,
    refuse_apply: bool,
}

impl Recorder {
    fn note(&self, line: String) {
        self.0.lock().unwrap().lines.push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().lines)
    }

    fn set(&self, change: impl FnOnce(&mut Recorded)) {
        change(&mut self.0.lock().unwrap());
    }
}

fn ports(plan: &SteerPlan) -> String {
    plan.binds.iter().map(|bind| bind.port.to_string()).collect::<Vec<_>>().join(",")
}

impl Workers for Recorder {
    fn count(&self) -> usize {
        2
    }

    fn send(&self, worker: usize, command: WorkerCommand) -> bool {
        if self.0.lock().unwrap().dead == Some(worker) {
            return false;
        }
        match command {
            WorkerCommand::Prepare { generation, reply, .. } => {
                self.note(format!("{worker} prepare {generation}"));
                let refused = self.0.lock().unwrap().refuse_prepare && worker == 1;
                let _ = reply.send(if refused { Err(PrepareError::Draining) } else { Ok(()) });
            }
            WorkerCommand::Commit { generation, reply, .. } => {
                self.note(format!("{worker} commit {generation}"));
                let _ = reply.send(true);
            }
            WorkerCommand::Abort { generation } => self.note(format!("{worker} abort {generation}")),
            WorkerCommand::Endpoints { table, reply } => {
                let all: Vec<String> = table
                    .clusters
                    .iter()
                    .map(|(key, list)| format!("{}={}", key.service.name, list.len()))
                    .collect();
                self.note(format!("{worker} endpoints {}", all.join(" ")));
                let _ = reply.send(());
            }
            other => panic!("not expected: {other:?}"),
        }
        true
    }
}

impl Steer for Recorder {
    fn check(&mut self, plan: &SteerPlan) -> Vec<Rejection> {
        let refused = self.0.lock().unwrap().refuse_port;
        let refuse = |bind: &SteerBind| Rejection {
            bind: *bind,
            reason: RejectionReason::InUse,
            message: "nginx (pid 7) listens there".to_owned(),
        };
        plan.binds.iter().filter(|bind| Some(bind.port) == refused).map(refuse).collect()
    }

    fn prepare(&mut self, plan: &SteerPlan) -> Prepared {
        self.note(format!("sockets for {}", ports(plan)));
        Prepared { listeners: vec![Vec::new(), Vec::new()], refused: Vec::new() }
    }

    fn retiring(&mut self, _: &SteerPlan) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn abandon(&mut self) {
        self.note("no sockets after all".to_owned());
    }

    fn refill(&mut self, worker: usize) -> Result<Vec<TcpListener>, SteerError> {
        self.note(format!("sockets of {worker}"));
        Ok(Vec::new())
    }

    fn apply(&mut self, plan: &SteerPlan) -> Result<Vec<Rejection>, SteerError> {
        self.note(format!("steer {}", ports(plan)));
        if self.0.lock().unwrap().refuse_apply {
            return Err(SteerError::Kernel { what: "map".into(), reason: "full".into() });
        }
        Ok(Vec::new())
    }
}

/// Everything under test, and where its view ends up.
struct Bench {
    notes: Recorder,
    view: watch::Receiver<Arc<View>>,
    reconciler: Reconciler<Recorder, Recorder>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let notes = Recorder::default();
        let (sender, view) = watch::channel(Arc::new(View::default()));
        let reconciler = Reconciler::new(notes.clone(), notes.clone(), TranslateOptions::default(), sender);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        Self { notes, view, reconciler, runtime }
    }

    fn reconcile(&mut self, text: &str) -> Vec<String> {
        let view = resources(text);
        self.runtime.block_on(self.reconciler.reconcile(&view));
        self.notes.take()
    }

    fn live(&self) -> Option<u64> {
        self.view.borrow().live.as_ref().map(|live| live.generation.0)
    }

    /// The `Programmed` condition of listener `l<port>`, as `status reason`.
    fn programmed(&self, port: u16) -> String {
        let status = self.view.borrow().dated_status();
        let gateway = status.gateways.values().next().unwrap();
        let listener = gateway.listeners.iter().find(|one| one.name == format!("l{port}")).unwrap();
        let condition = listener.conditions.iter().find(|one| one.type_ == "Programmed").unwrap();
        assert!(condition.last_transition_time.is_some());
        format!("{:?} {}", condition.status, condition.reason)
    }
}

fn resources(text: &str) -> StoreView {
    let (resources, diagnostics) = assemble([load("t.yaml", text)]);
    assert!(!diagnostics.iter().any(|line| line.is_error()), "{diagnostics:?}");
    StoreView { resources, diagnostics }
}

/// A Gateway with listeners on `listeners`, and a route to Service `backend` with so many endpoints.
fn config(listeners: &[u16], backend: &str, endpoints: usize) -> String {
    let listeners: String = listeners
        .iter()
        .map(|port| format!("    - {{name: l{port}, port: {port}, protocol: HTTP}}\n"))
        .collect();
    let addresses: String = (1..=endpoints).map(|n| format!("  - addresses: [10.0.0.{n}]\n")).collect();
    let addresses =
        if endpoints == 0 { "endpoints: []\n".to_owned() } else { format!("endpoints:\n{addresses}") };
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sluice}}
spec: {{controllerName: sluice.dev/gateway}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw, namespace: a}}
spec:
  gatewayClassName: sluice
  listeners:
{listeners}---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r, namespace: a}}
spec:
  parentRefs: [{{name: gw}}]
  rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {backend}, namespace: a}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {backend}, namespace: a, labels: {{kubernetes.io/service-name: {backend}}}}}
addressType: IPv4
ports: [{{port: 8000}}]
{addresses}"
    )
}

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
            "0 endpoints one=1",
            "1 endpoints one=1",
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

impl Bench {
    /// Rejected binds, as `port reason`.
    fn refused(&self) -> Vec<String> {
        let view = self.view.borrow();
        let live = view.live.as_ref().unwrap();
        live.refused.iter().map(|one| format!("{} {}", one.bind.port, one.reason.as_str())).collect()
    }

    /// Looks again after so many seconds.
    fn look_after(&mut self, seconds: u64, text: &str) -> Vec<String> {
        let view = resources(text);
        self.runtime.block_on(async {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            self.reconciler.retry(&view).await;
        });
        self.refused()
    }
}

#[test]
fn a_listener_does_not_lie_in_wait_for_a_port_that_another_program_held() {
    let mut bench = Bench::new();
    let text = config(&[80, 81], "one", 1);
    bench.reconcile(&config(&[80], "one", 1));
    bench.notes.set(|notes| notes.refuse_port = Some(81));
    bench.reconcile(&text);
    assert_eq!(bench.refused(), ["81 PortInUse"]);
    bench.notes.set(|notes| notes.refuse_port = None);
    assert_eq!(bench.look_after(1, &text), ["81 PortAwaited"], "whoever had it may be about to come back");
    assert_eq!(bench.programmed(81), "False PortUnavailable");
    assert!(bench.reconciler.is_unsettled());
    assert_eq!(bench.look_after(290, &text), ["81 PortAwaited"]);
    // It is back for a moment: the time begins anew.
    bench.notes.set(|notes| notes.refuse_port = Some(81));
    assert_eq!(bench.look_after(5, &text), ["81 PortInUse"]);
    bench.notes.set(|notes| notes.refuse_port = None);
    assert_eq!(bench.look_after(10, &text), ["81 PortAwaited"]);
    assert_eq!(bench.look_after(299, &text), ["81 PortAwaited"]);
    assert_eq!(bench.look_after(2, &text), Vec::<String>::new(), "free for five minutes");
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
        assert_eq!(bench.look_after(9, &text), expected, "beside another: {beside}");
    }
    // Ten seconds after the start no killed process's sockets are left.
    let mut bench = Bench::new();
    let text = config(&[80, 81], "one", 1);
    bench.notes.set(|notes| notes.refuse_port = Some(81));
    bench.reconcile(&text);
    bench.notes.set(|notes| notes.refuse_port = None);
    assert_eq!(bench.look_after(11, &text), ["81 PortAwaited"]);
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
    bench.look_after(10, &text);
    assert_eq!(bench.notes.take(), ["0 endpoints one=2", "1 endpoints one=2"], "an address of the node went");
    assert!(bench.view.borrow().own_endpoints.is_empty());
    OWN.store(true, Ordering::Relaxed);
    bench.look_after(10, &text);
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
        let route = status.http_routes.values().next().unwrap();
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
