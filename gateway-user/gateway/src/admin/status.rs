//! `/status`: what `sluice status` shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use gateway_api_types::Condition;
use gateway_control::source::kube::Cluster;
use gateway_control::steer::SharedSteering;
use gateway_control::view::{Live, View};
use gateway_ir::{Bind, Listener, ListenerId, ObjectName};
use gateway_translate::{EffectiveSetting, StatusSet};

use super::document::{
    BackendTlsLine, ConditionLine, GatewayLine, Io, ListenerLine, ListenerSetLine, Process, RouteLine,
    SettingLine, StatusDocument, Steering, TookOverLine,
};
use super::{Facts, Shared, served};
use crate::cmd::version::VERSIONS;

/// `/status`.
pub(super) fn router(shared: Shared) -> Router {
    Router::new().route("/status", get(status)).with_state(shared)
}

async fn status(State(shared): State<Shared>) -> Response {
    use gateway_control::publish::Workers as _;

    let view = Arc::clone(&shared.view.borrow());
    let readiness = shared.readiness.check().map_or_else(|reason| reason, |()| shared.readiness.text());
    let facts = &shared.facts;
    let retired = shared.workers.retired();
    let io = Io {
        driver: facts.driver.clone(),
        refused: facts.refused_drivers.clone(),
        workers: shared.workers.count(),
        worker_deaths: retired.deaths,
        lost_connections: retired.lost_connections,
        access_log: shared.access_log.driver().name().to_owned(),
        access_log_refused: facts.log_refused.clone(),
    };
    let mut document = document(&view, facts, readiness, io);
    document.watches = shared.cluster.iter().flat_map(Cluster::watches).map(super::watches::line).collect();
    document.steering.placeholders =
        shared.steering.as_ref().and_then(SharedSteering::placeholders).map(Into::into);
    (document.controller, document.nodes) = super::streams::lines(&shared, &view);
    let failures = shared.takeover_failures.each().filter(|(_, count)| *count > 0);
    document.process.takeover_failures = failures.map(|(reason, count)| (reason.to_owned(), count)).collect();
    super::dump::json(&document)
}

/// The document of one moment.
pub(super) fn document(view: &View, facts: &Facts, readiness: String, io: Io) -> StatusDocument {
    let live = view.live.as_ref();
    let findings = view.diagnostics.iter().map(ToString::to_string);
    let refused = live.iter().flat_map(|live| live.refused.iter());
    StatusDocument {
        process: Process {
            version: VERSIONS.version.to_owned(),
            pid: std::process::id(),
            started: facts.started.to_string(),
            source: facts.source.clone(),
            capabilities: Some(facts.capabilities.clone()),
            took_over: facts.took_over.as_ref().map(|took_over| TookOverLine {
                pid: took_over.pid,
                version: took_over.version.clone(),
                milliseconds: u64::try_from(took_over.took.as_millis()).unwrap_or(u64::MAX),
            }),
            takeover_failures: BTreeMap::new(),
        },
        readiness,
        generation: live.map_or(0, |live| live.generation.0),
        live_since: live.map(|live| live.since.to_string()),
        last_error: view.last_error.clone(),
        steering: Steering {
            path: facts.steering_path.clone(),
            detail: facts.steering_detail.clone(),
            without_ipv6: facts.without_ipv6.clone(),
            placeholders: None,
        },
        io,
        watches: Vec::new(),
        controller: None,
        nodes: Vec::new(),
        gateways: gateways(view),
        listener_sets: listener_sets(view),
        listeners: match served_by_word(view) {
            Some(live) => served::listeners(live, facts),
            None => listeners(view, facts),
        },
        settings: settings(&view.status),
        routes: match served_by_word(view) {
            Some(live) => served::routes(live),
            None => routes(view),
        },
        backend_tls: live.map(|live| BackendTlsLine::all(&live.endpoints)).unwrap_or_default(),
        findings: findings
            .chain(view.findings.iter().map(ToString::to_string))
            .chain(view.own_endpoints.iter().map(ToString::to_string))
            .chain(refused.map(|rejection| format!("{}: not served: {}", rejection.bind, rejection.message)))
            .collect(),
        // The types serialise without fail; `null` would only hide the rest.
        status: serde_json::to_value(view.dated_status()).unwrap_or_default(),
    }
}

/// The live configuration of a node that follows a controller: it knows no statuses, which are the controller's.
fn served_by_word(view: &View) -> Option<&Live> {
    view.stream.as_ref().and(view.live.as_ref())
}

fn gateways(view: &View) -> Vec<GatewayLine> {
    let all = view.status.gateways.iter();
    all.map(|(gateway, status)| GatewayLine {
        gateway: gateway.to_string(),
        conditions: conditions(&status.conditions),
    })
    .collect()
}

fn listener_sets(view: &View) -> Vec<ListenerSetLine> {
    let all = view.status.listener_sets.iter();
    all.map(|(set, status)| ListenerSetLine {
        listener_set: set.to_string(),
        gateway: view.status.set_gateways.get(set).map(ToString::to_string).unwrap_or_default(),
        conditions: conditions(&status.conditions),
    })
    .collect()
}

fn listeners(view: &View, facts: &Facts) -> Vec<ListenerLine> {
    let mut lines = Vec::new();
    let mut served: BTreeMap<&ListenerId, Vec<(&Bind, &Listener)>> = BTreeMap::new();
    for (bind, listener) in view.live.iter().flat_map(served::on_binds) {
        served.entry(&listener.id).or_default().push((bind, listener));
    }
    let own = view.status.gateways.iter().map(|(gateway, status)| (gateway, None, &status.listeners));
    let sets =
        view.status.listener_sets.iter().filter_map(|(set, status)| {
            Some((view.status.set_gateways.get(set)?, Some(set), &status.listeners))
        });
    for (gateway, set, all) in own.chain(sets) {
        for listener in all {
            let id =
                ListenerId { gateway: gateway.clone(), set: set.cloned(), listener: listener.name.clone() };
            let (attached_routes, conditions) = (listener.attached_routes, conditions(&listener.conditions));
            let places = served.get(&id);
            lines.extend(places.into_iter().flatten().map(|(bind, one)| ListenerLine {
                attached_routes,
                conditions: conditions.clone(),
                ..served::line(bind, one, facts)
            }));
            if places.is_none() {
                lines.push(ListenerLine {
                    gateway: gateway.to_string(),
                    listener: id.within_gateway(),
                    address: String::new(),
                    port: None,
                    served_on: None,
                    protocol: String::new(),
                    hostname: String::new(),
                    client_certificates: None,
                    attached_routes,
                    conditions,
                });
            }
        }
    }
    lines
}

/// Every setting of each Gateway that GatewayConfigs give one.
fn settings(status: &StatusSet) -> Vec<SettingLine> {
    let configured = status.settings.iter().filter(|(_, all)| all.iter().any(|one| one.is_configured()));
    let line = |gateway: &ObjectName, one: &EffectiveSetting| SettingLine {
        gateway: gateway.to_string(),
        setting: one.name.to_owned(),
        value: one.value.clone(),
        source: one.source.clone(),
    };
    configured.flat_map(|(gateway, all)| all.iter().map(move |one| line(gateway, one))).collect()
}

fn routes(view: &View) -> Vec<RouteLine> {
    let mut lines = Vec::new();
    for (route, status) in view.status.routes.iter() {
        for parent in &status.parents {
            let reference = &parent.parent_ref;
            let namespace = reference.namespace.as_deref().unwrap_or(&route.object.namespace);
            let section =
                reference.section_name.as_deref().map(|name| format!("/{name}")).unwrap_or_default();
            lines.push(RouteLine {
                route: route.to_string(),
                parent: format!("{namespace}/{}{section}", reference.name),
                conditions: conditions(&parent.conditions),
            });
        }
    }
    lines
}

fn conditions(list: &[Condition]) -> BTreeMap<String, ConditionLine> {
    let line = |condition: &Condition| ConditionLine {
        status: format!("{:?}", condition.status),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    };
    list.iter().map(|condition| (condition.type_.clone(), line(condition))).collect()
}

#[cfg(test)]
mod tests {
    use gateway_steer::{PlaceholderState, SteerBind};
    use gateway_testkit::golden;

    use super::*;
    use crate::admin::document::WatchLine;
    use crate::admin::fixtures;

    fn io() -> Io {
        Io {
            driver: "epoll".to_owned(),
            refused: vec!["uring-defer: EPERM".to_owned()],
            workers: 2,
            worker_deaths: 1,
            lost_connections: 3,
            access_log: "write".to_owned(),
            access_log_refused: Some("EPERM".to_owned()),
        }
    }

    /// With every field that there is.
    fn whole() -> StatusDocument {
        let mut document = document(&fixtures::view(), &fixtures::facts(), "ready".to_owned(), io());
        (document.process.version, document.process.pid) = ("0.1.0".to_owned(), 7);
        document.process.takeover_failures = BTreeMap::from([("busy".to_owned(), 2)]);
        let missing = vec![(SteerBind::any(81), "nginx listens".to_owned())];
        document.steering.placeholders = Some(PlaceholderState { held: 2, missing }.into());
        document.watches = vec![WatchLine {
            kind: "HTTPRoute".to_owned(),
            namespace: Some("edge".to_owned()),
            synced: false,
            objects: 4,
            last_event: Some("2026-01-02T03:04:05Z".to_owned()),
            failing_since: Some("2026-01-02T03:04:06Z".to_owned()),
            why: Some("not allowed".to_owned()),
        }];
        document
    }

    /// `sluice status` of another version reads the document, and prints with `-o json` all that it knows.
    #[test]
    fn the_document_is_byte_for_byte_as_it_was() {
        let facts = Facts { offset: None, without_ipv6: None, took_over: None, ..fixtures::facts() };
        let io = Io { refused: Vec::new(), access_log_refused: None, ..io() };
        let mut small = document(&View::default(), &facts, "no configuration is live yet".to_owned(), io);
        (small.process.version, small.process.pid) = ("0.1.0".to_owned(), 7);
        for (name, document) in [("status.json", whole()), ("status-before.json", small)] {
            let mut written = crate::cmd::to_json(&document).unwrap();
            let bytes = golden::check(name, written.as_bytes());
            let read: StatusDocument = serde_json::from_slice(&bytes).unwrap();
            written = crate::cmd::to_json(&read).unwrap();
            assert_eq!(written.as_bytes(), bytes, "nothing is lost in reading");
        }
    }
}
