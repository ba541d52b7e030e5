//! A configuration that is live, as tests of documents need it: every shape of the IR and of statuses is in
//! it.

use std::sync::Arc;
use std::time::Duration;

use gateway_api_types::load::{Diagnostic, Position, Severity, load};
use gateway_api_types::{Kind, ObjectKey, Origin, ResourceSet, RouteStatus};
use gateway_control::own_ports::{OwnEndpoint, OwnReason};
use gateway_control::status::Since;
use gateway_control::steer::SharedSteering;
use gateway_control::view::{Live, View};
use gateway_io::IoMode;
use gateway_io::file::{FileTarget, FileThread};
use gateway_ir::{
    Action, Certificate, ClusterKey, Generation, Ir, ListenerTls, ObjectName, PrivateKey, Route, RuleError,
    RuleErrorKind, TlsVersion,
};
use gateway_proxy::worker::Heartbeat;
use gateway_steer::{Rejection, RejectionReason, SteerBind, SteerOptions, SteerPlan, Steering, SteeringMode};
use gateway_translate::{HostTotals, ObjectRef, StatusSet, TranslateOptions, translate};
use jiff::Timestamp;
use tokio::sync::watch;

use super::{Facts, Readiness, Shared};
use crate::handoff::{FlowTotals, TookOver};
use crate::logging::LogControl;
use crate::workers::Workers;

/// Text by people, which may change, is replaced by this.
const MESSAGE: &str = "a sentence for people";

fn moment() -> Timestamp {
    Timestamp::new(1_767_323_045, 0).unwrap()
}

/// A live configuration, with something wrong in everything that can be.
pub(super) fn view() -> View {
    let loaded = load("all.yaml", include_str!("../../../control/tests/golden/objects.yaml"));
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    let resources: ResourceSet =
        loaded.objects.into_iter().map(|one| (one.object, Some(one.origin))).collect();
    let translation = translate(&resources, &TranslateOptions::default());
    let status = Arc::new(without_prose(translation.status));
    let ir = Arc::new(with_all_shapes(translation.ir));
    let object = |name: &str| ObjectRef { kind: Kind::HttpRoute, key: ObjectKey::new("team-b", name) };
    let finding = |severity, field: &str, origin| gateway_translate::Diagnostic {
        severity,
        object: object("r"),
        field: field.to_owned(),
        message: MESSAGE.to_owned(),
        origin,
    };
    let origin = Origin { file: "all.yaml".into(), line: 3 };
    View {
        live: Some(Live {
            generation: Generation(7),
            since: moment(),
            snapshot: Arc::new(gateway_snapshot::compile(&ir, Generation(7))),
            ir,
            endpoints: translation.endpoints,
            plan: Arc::new(SteerPlan {
                binds: [SteerBind::any(80), SteerBind::exact("10.0.0.1:443".parse().unwrap())].into(),
            }),
            refused: Arc::from([Rejection {
                bind: SteerBind::any(8080),
                reason: RejectionReason::Reserved,
                message: MESSAGE.to_owned(),
            }]),
        }),
        since: Arc::new(Since::default().follow(&status, moment())),
        status,
        diagnostics: Arc::from([Diagnostic {
            file: "all.yaml".into(),
            position: Position { line: 3, column: 9 },
            severity: Severity::Error,
            object: "HTTPRoute team-b/x".to_owned(),
            field: "spec.rules[0]".to_owned(),
            message: MESSAGE.to_owned(),
        }]),
        findings: Arc::from([
            finding(Severity::Error, "rules[0].backendRefs[1]", Some(origin)),
            finding(Severity::Note, "", None),
        ]),
        own_endpoints: Arc::from([OwnEndpoint {
            cluster: ClusterKey::new(ObjectName::new("team-b", "s"), 80),
            address: "10.2.0.9:8080".parse().unwrap(),
            more: 2,
            reason: OwnReason::Sluice,
        }]),
        hosts: HostTotals { shared: 1, ..HostTotals::default() },
        last_error: Some(MESSAGE.to_owned()),
        ..View::default()
    }
}

fn without_prose(mut status: StatusSet) -> StatusSet {
    let gateways = status.gateways.values_mut().flat_map(|status| {
        status.listeners.iter_mut().map(|one| &mut one.conditions).chain([&mut status.conditions])
    });
    let classes = status.gateway_classes.values_mut().map(|status| &mut status.conditions);
    gateways.chain(classes).flatten().for_each(|condition| condition.message = MESSAGE.to_owned());
    let routes = status.routes.iter().map(|(id, route)| {
        let mut route = RouteStatus::clone(route);
        let conditions = route.parents.iter_mut().flat_map(|one| &mut one.conditions);
        conditions.for_each(|condition| condition.message = MESSAGE.to_owned());
        (id.clone(), Arc::new(route))
    });
    status.routes = routes.collect();
    status
}

/// Adds a certificate, which needs a key that fits, and a rule that fails.
fn with_all_shapes(mut ir: Ir) -> Ir {
    let certificate = Certificate {
        secret: ObjectName::new("edge", "cert"),
        names: vec!["a.example.com".to_owned()],
        not_before: 0,
        not_after: 1_800_000_000,
        fingerprint: "ab:cd".to_owned(),
        chain: vec![vec![1]],
        key: PrivateKey(vec![2]),
        staple: None,
    };
    let certificates = vec![Arc::new(certificate)];
    let tls = ListenerTls {
        certificates,
        min_version: TlsVersion::Tls13,
        is_default: true,
        ..ListenerTls::default()
    };
    let listeners = ir.binds.iter_mut().flat_map(|bind| &mut bind.listeners);
    listeners.filter(|listener| listener.tls.is_some()).for_each(|listener| listener.tls = Some(tls.clone()));
    let routes = ir.routes.iter().map(|(id, route)| {
        let Route::Http(mut route) = Route::clone(route) else { return (id.clone(), Arc::clone(route)) };
        let mut broken = route.rules[0].clone();
        broken.action =
            Action::Fail(RuleError { kind: RuleErrorKind::InvalidRule, message: MESSAGE.to_owned() });
        route.rules.push(broken);
        (id.clone(), Arc::new(route.into()))
    });
    ir.routes = routes.collect();
    ir
}

/// With every fact that there is.
pub(super) fn facts() -> Facts {
    Facts {
        steering_path: "reuseport".to_owned(),
        steering_detail: "reuseport (asked for)".to_owned(),
        without_ipv6: Some("no IPv6".to_owned()),
        offset: Some((8000, 1024)),
        driver: "epoll".to_owned(),
        refused_drivers: vec!["uring-defer: EPERM".to_owned(), "uring-coop: EPERM".to_owned()],
        log_refused: Some("EPERM".to_owned()),
        source: "/etc/sluice".to_owned(),
        capabilities: vec!["CAP_NET_BIND_SERVICE".to_owned()],
        started: moment(),
        took_over: Some(TookOver {
            pid: 6,
            pod: None,
            version: "0.0.9".to_owned(),
            took: Duration::from_millis(1_500),
            flows: FlowTotals { adopted: 12, ended: 1, kept: 3 },
        }),
        settings: Vec::new(),
    }
}

/// Everything that handlers read, without a worker or a cluster; and what keeps the view.
pub(super) fn shared() -> (watch::Sender<Arc<View>>, Shared) {
    let (sender, receiver) = watch::channel(Arc::default());
    let steering = Steering::open(SteeringMode::ReusePort, SteerOptions::new(1, "golden")).unwrap();
    let heartbeats = (0..2).map(|_| Arc::<Heartbeat>::default()).collect();
    let shared = Shared {
        facts: Arc::new(facts()),
        view: receiver.clone(),
        readiness: Readiness::new(receiver, heartbeats),
        workers: Arc::new(Workers::new(Vec::new())),
        cluster: None,
        cluster_tally: Arc::default(),
        stream: None,
        nodes: None,
        steering: Some(SharedSteering::new(steering)),
        helper: None,
        log_control: LogControl::of_nobody(),
        access_log: FileThread::start(FileTarget::Off, IoMode::Epoll).unwrap().sink(),
        takeover_failures: crate::handoff::FailureCounters::default(),
        counters: super::AllCounters::default(),
    };
    (sender, shared)
}
