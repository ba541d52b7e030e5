//! The control plane's thread of a process that serves: over resources all of it, over a controller's stream the half that
//! makes live what is said.

use std::sync::Arc;
use std::time::Duration;

use gateway_control::addresses::link::LinkAccess;
use gateway_control::cluster::PoolDuty;
use gateway_control::engine::Engine;
use gateway_control::own_ports::OwnPorts;
use gateway_control::reconcile::{Applier, NodeReconciler, Received, Reconciler};
use gateway_control::source::kube::Cluster;
use gateway_control::steer::SharedSteering;
use gateway_control::stream::{FollowOptions, Following, follow};
use gateway_control::view::View;
use gateway_regex::Library;
use gateway_tls::Tickets;
use tokio::sync::watch;

use crate::cmd::resources::translate_options;
use crate::confinement::Confinement;
use crate::flags::Settings;
use crate::instance::Instance;
use crate::source::{Opened, Source};
use crate::workers::Workers;
use crate::{node, pool};

/// The parts that it is made of.
pub(crate) struct Plane<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) instance: &'a Instance,
    pub(crate) workers: &'a Arc<Workers>,
    pub(crate) steering: &'a SharedSteering,
    pub(crate) own_ports: OwnPorts,
    pub(crate) takes_over: bool,
    /// The way to change addresses of an interface.
    pub(crate) access: LinkAccess,
    pub(crate) confinement: Confinement,
    /// Session tickets, for which a node gets secrets from its controller.
    pub(crate) tickets: Option<Tickets>,
}

/// The running thread, and what it shares with others.
pub(crate) struct Started {
    pub(crate) engine: Engine<SharedSteering>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    /// The cluster whose resources are served, if they are one's.
    pub(crate) cluster: Option<Cluster>,
    /// The pool of addresses, for whoever gives them in the cluster.
    pub(crate) pool: Option<PoolDuty>,
    /// The stream, if a controller is followed.
    pub(crate) following: Option<Following>,
}

impl Plane<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// The source or what an earlier process left cannot be opened; the system gives no thread.
    pub(crate) fn start(self, source: Source) -> anyhow::Result<Started> {
        let over_cluster = source.is_cluster();
        let (sender, view) = watch::channel(Arc::new(View::default()));
        match source.open(self.settings, self.instance)? {
            Opened::Resources(options, cluster) => {
                let confinement = self.confinement;
                let reconciler = self.reconciler(over_cluster, sender);
                let (reconciler, pool) = pool::open(
                    self.settings,
                    self.instance,
                    cluster.as_ref(),
                    self.takes_over,
                    self.access,
                    reconciler,
                )?;
                let (compiler, builder) = (move || confinement.compiler(), move || confinement.builder());
                let engine = Engine::start_with(*options, reconciler, compiler, builder)?;
                let pool = pool.map(|pool| pool.follow(&engine));
                Ok(Started { engine, view, cluster, pool, following: None })
            }
            Opened::Stream(options) => {
                let (engine, following) = self.node(options, sender)?;
                Ok(Started { engine, view, cluster: None, pool: None, following: Some(following) })
            }
        }
    }

    fn reconciler(
        &self,
        over_cluster: bool,
        view: watch::Sender<Arc<View>>,
    ) -> Reconciler<Arc<Workers>, SharedSteering> {
        let options = translate_options(self.settings, over_cluster);
        Reconciler::new(Arc::clone(self.workers), self.steering.clone(), options, view)
            // A host without a name serves what every node does.
            .serving_as(node::name(self.settings).unwrap_or_default())
            .reached_at(node::addresses(self.settings))
            .taking_freed_ports_after(self.settings.freed_ports_after.0, self.takes_over)
            .believing_unready_after(unready_patience(self.settings, over_cluster))
            .guarding(self.own_ports.clone())
    }

    fn node(
        self,
        options: FollowOptions,
        view: watch::Sender<Arc<View>>,
    ) -> anyhow::Result<(Engine<SharedSteering>, Following)> {
        let confinement = self.confinement;
        let library = Arc::new(Library::new(translate_options(self.settings, true).regex.expression));
        let applier = Applier::new(Arc::clone(self.workers), self.steering.clone(), library)
            .reached_at(node::addresses(self.settings))
            .taking_freed_ports_after(self.settings.freed_ports_after.0, self.takes_over)
            .guarding(self.own_ports);
        let applier = match pool::own_addresses(self.settings, self.instance, self.takes_over, self.access)? {
            Some(own) => applier.with_addresses(own),
            None => applier,
        };
        let options = FollowOptions { takes_over: self.takes_over, ..options };
        let (receives, received) = watch::channel(Received::default());
        let (acks, acked) = watch::channel(None);
        let reconciler = NodeReconciler::new(applier, received, acks.clone(), view).giving(self.tickets);
        let engine = Engine::start_node(reconciler, move || confinement.compiler())?;
        let following =
            follow(options, receives, (acks, acked), engine.waker(), move || confinement.control())?;
        Ok((engine, following))
    }
}

/// Time for which endpoints are used on that all become not ready at once. Who writes them in files means what they write.
pub(crate) fn unready_patience(settings: &Settings, over_cluster: bool) -> Duration {
    if over_cluster { settings.unready_endpoints_after.0 } else { Duration::ZERO }
}
