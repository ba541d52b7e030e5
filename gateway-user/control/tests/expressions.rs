//! The place that an edit has in the order of configurations beside one whose expressions have to be built.
#![allow(missing_docs)]

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_control::engine::{DirectoryOptions, Engine, SourceOptions};
use gateway_control::kept::KeptKeys;
use gateway_control::publish::Workers;
use gateway_control::reconcile::Reconciler;
use gateway_control::source::file::WriteDelays;
use gateway_control::steer::Steer;
use gateway_control::view::View;
use gateway_proxy::worker::WorkerCommand;
use gateway_snapshot::{FieldLines, RequestView, Snapshot, WorkerRegexes};
use gateway_steer::{Prepared, Rejection, SteerError, SteerPlan};
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait::until;
use gateway_translate::TranslateOptions;
use tokio::sync::watch;

const PLATFORM: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: web, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
"#;

/// The limit of one expression, small so that a rejection at it is cheap in a debug build.
const LIMIT: usize = 64 << 10;

/// A route of a namespace in one of its versions, which is its host, with these expressions behind `/`.
fn route(namespace: &str, version: u32, expressions: &[String]) -> String {
    let paths =
        [("Exact", "/")].into_iter().chain(expressions.iter().map(|one| ("RegularExpression", &**one)));
    let rules: String = paths
        .map(|(kind, value)| format!("  - matches: [{{path: {{type: {kind}, value: '{value}'}}}}]\n"))
        .collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r, namespace: {namespace}}}
spec:
  parentRefs: [{{name: gw, namespace: edge}}]
  hostnames: [{namespace}-{version}.example]
  rules:
{rules}"
    )
}

/// The hosts of all versions.
const HOSTS: [&str; 6] = [
    "loud-1.example",
    "loud-2.example",
    "loud-3.example",
    "quiet-1.example",
    "quiet-2.example",
    "quiet-3.example",
];

struct NoFields;

impl FieldLines for NoFields {
    fn find(&self, _: &str, _: usize) -> Option<(usize, &[u8])> {
        None
    }
}

/// The hosts whose `/` a rule is found for, without `.example`.
fn served(snapshot: &Snapshot) -> String {
    let mut regexes = WorkerRegexes::new(snapshot);
    let Some(bind) = snapshot.bind("127.0.0.1:80".parse().unwrap()) else { return String::new() };
    let mut is_found = |host: &&str| {
        let host = host.as_bytes();
        let request = RequestView { method: b"GET", host, path: b"/", query: None, fields: &NoFields };
        bind.route(&request, &mut regexes).is_ok()
    };
    let found = HOSTS.into_iter().filter(|host| is_found(host));
    found.map(|host| host.trim_end_matches(".example")).collect::<Vec<_>>().join(" ")
}

/// A worker that writes down what each configuration serves, in the order in which they come, and no
/// steering.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Workers for Recorder {
    fn count(&self) -> usize {
        1
    }

    fn send(&self, _: usize, command: WorkerCommand) -> bool {
        match command {
            WorkerCommand::Prepare { snapshot, reply, .. } => {
                self.0.lock().unwrap().push(served(&snapshot));
                let _ = reply.send(Ok(()));
            }
            WorkerCommand::Commit { reply, .. } => drop(reply.send(true)),
            WorkerCommand::Endpoints { reply, .. } => drop(reply.send(())),
            other => panic!("not expected: {other:?}"),
        }
        true
    }
}

impl Steer for Recorder {
    fn check(&mut self, _: &SteerPlan) -> Vec<Rejection> {
        Vec::new()
    }

    fn prepare(&mut self, _: &SteerPlan) -> Prepared {
        Prepared { listeners: vec![Vec::new()], datagrams: Vec::new(), refused: Vec::new() }
    }

    fn retiring(&mut self, _: &SteerPlan) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn retiring_datagrams(&mut self, _: &SteerPlan) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn is_behind(&mut self) -> bool {
        false
    }

    fn abandon(&mut self) {}

    fn refill(&mut self, _: usize) -> Result<Vec<TcpListener>, SteerError> {
        Ok(Vec::new())
    }

    fn refill_datagrams(&mut self, _: usize) -> Result<Vec<UdpSocket>, SteerError> {
        Ok(Vec::new())
    }

    fn apply(&mut self, _: &SteerPlan) -> Result<Vec<Rejection>, SteerError> {
        Ok(Vec::new())
    }
}

/// The compiler thread and the builder thread over a directory.
struct Running {
    dir: Scratch,
    engine: Engine<Recorder>,
    notes: Recorder,
    runtime: tokio::runtime::Runtime,
    _view: watch::Receiver<Arc<View>>,
}

impl Running {
    fn start() -> Self {
        let dir = Scratch::new("expressions").unwrap();
        dir.write("platform.yaml", PLATFORM).unwrap();
        dir.write("routes.yaml", &both(&route("loud", 1, &[]), &route("quiet", 1, &[]))).unwrap();
        let notes = Recorder::default();
        let (sender, view) = watch::channel(Arc::new(View::default()));
        let mut options = TranslateOptions::default();
        options.regex.expression = LIMIT;
        let reconciler = Reconciler::new(notes.clone(), notes.clone(), options, sender);
        let path = dir.path().to_owned();
        let delays = WriteDelays::patient(Duration::from_millis(5));
        let source = DirectoryOptions { path, delays, last_good: None, keys: KeptKeys::LeftOut };
        let engine = Engine::start(SourceOptions::Directory(source), reconciler).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { dir, engine, notes, runtime, _view: view }
    }

    /// Has both tenants' routes changed at once, in one file: of two the first may be read before the second is there.
    fn edit(&self, loud: &str, quiet: &str) {
        self.runtime.block_on(self.engine.hold());
        self.dir.write("routes.yaml", &both(loud, quiet)).unwrap();
        self.engine.resume();
    }

    fn until(&self, last: &str) {
        until(last, || (self.notes.all().last().map(String::as_str) == Some(last)).then_some(()));
    }
}

/// Two objects in one file.
fn both(one: &str, other: &str) -> String {
    format!("{one}\n---\n{other}")
}

#[test]
fn an_edit_is_in_the_next_configuration_whatever_expressions_another_namespace_has_built() {
    let running = Running::start();
    running.until("loud-1 quiet-1");
    // Some that are served, and then as many again that are refused at the limit, of which each costs the
    // limit.
    let many = |text: &str| (0..4).map(|n| format!("/{n}{text}")).collect::<Vec<_>>();
    let (dear, refused) = (many(".*a.{8}b"), many(".*a.{30}c"));
    running.edit(&route("loud", 2, &dear), &route("quiet", 2, &[]));
    running.until("loud-2 quiet-2");
    running.edit(&route("loud", 3, &refused), &route("quiet", 3, &[]));
    running.until("loud-3 quiet-3");
    let places = running.notes.all();
    assert_eq!(
        places,
        ["loud-1 quiet-1", "loud-1 quiet-2", "loud-2 quiet-2", "loud-2 quiet-3", "loud-3 quiet-3"],
        "the quiet edit is first each time, and the loud one goes live with the next configuration"
    );
    drop(running.engine.stop());
}
