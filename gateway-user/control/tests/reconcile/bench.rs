//! A reconciler with recorded calls, and configurations for it.

use std::sync::Arc;
use std::time::Duration;

use gateway_api_types::load::{assemble, load};
use gateway_control::reconcile::Reconciler;
use gateway_control::store::StoreView;
use gateway_control::view::View;
use gateway_translate::TranslateOptions;
use tokio::sync::watch;

use crate::recorder::Recorder;

/// Everything under test, and where its view ends up.
pub(crate) struct Bench {
    pub(crate) notes: Recorder,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) reconciler: Reconciler<Recorder, Recorder>,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let notes = Recorder::default();
        let (sender, view) = watch::channel(Arc::new(View::default()));
        let reconciler = Reconciler::new(notes.clone(), notes.clone(), TranslateOptions::default(), sender);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        Self { notes, view, reconciler, runtime }
    }

    pub(crate) fn reconcile(&mut self, text: &str) -> Vec<String> {
        let view = resources(text);
        self.runtime.block_on(self.reconciler.reconcile(&view));
        self.notes.take()
    }

    pub(crate) fn live(&self) -> Option<u64> {
        self.view.borrow().live.as_ref().map(|live| live.generation.0)
    }

    /// The `Programmed` condition of listener `l<port>`, as `status reason`.
    pub(crate) fn programmed(&self, port: u16) -> String {
        let status = self.view.borrow().dated_status();
        let gateway = status.gateways.values().next().unwrap();
        let listener = gateway.listeners.iter().find(|one| one.name == format!("l{port}")).unwrap();
        let condition = listener.conditions.iter().find(|one| one.type_ == "Programmed").unwrap();
        assert!(condition.last_transition_time.is_some());
        format!("{:?} {}", condition.status, condition.reason)
    }
}

pub(crate) fn resources(text: &str) -> StoreView {
    let (resources, diagnostics) = assemble([load("t.yaml", text)]);
    assert!(!diagnostics.iter().any(|line| line.is_error()), "{diagnostics:?}");
    StoreView { resources, diagnostics }
}

/// A Gateway with listeners on `listeners`, and a route to Service `backend` with so many endpoints.
pub(crate) fn config(listeners: &[u16], backend: &str, endpoints: usize) -> String {
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

impl Bench {
    /// Rejected binds, as `port reason`.
    pub(crate) fn refused(&self) -> Vec<String> {
        let view = self.view.borrow();
        let live = view.live.as_ref().unwrap();
        live.refused.iter().map(|one| format!("{} {}", one.bind.port, one.reason.as_str())).collect()
    }

    /// Looks again after so many seconds.
    pub(crate) fn advance(&mut self, seconds: u64, text: &str) -> Vec<String> {
        let view = resources(text);
        self.runtime.block_on(async {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            self.reconciler.retry(&view).await;
        });
        self.refused()
    }
}
