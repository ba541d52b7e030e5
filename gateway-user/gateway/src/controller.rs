//! `sluice controller`: resources become what nodes are told. No worker, no steering, no client of any tenant's.

mod network;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use gateway_control::cluster::ReportsBy;
use gateway_control::engine::Engine;
use gateway_control::reconcile::Distributor;
use gateway_control::stream::{ListenOptions, LocalOptions, NetworkOptions, Nodes, StreamServer, listen};
use gateway_control::view::View;
use gateway_io::file::{FileTarget, FileThread};
use gateway_sync::server::{Leading, SharedTable};
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::sync::watch;
use tracing::info;

use self::network::Network;
use crate::admin::{AllCounters, Facts, ProbeServer, Readiness, Shared, Sockets};
use crate::cli::ControllerArgs;
use crate::cmd::resources::translate_options;
use crate::cmd::version::VERSIONS;
use crate::cmd::{End, bad_settings};
use crate::confinement::{Confinement, Denials};
use crate::flags::{Auto, NodeReports, Resolved, Settings, TakeOver};
use crate::handoff::{FailureCounters, Received};
use crate::identity::Identity;
use crate::instance::{Claimed, Instance};
use crate::logging::{self, LogControl};
use crate::membership::Membership;
use crate::notify::Manager;
use crate::plane::unready_patience;
use crate::signals::{self, Order};
use crate::source::{Opened, Source};
use crate::workers::Workers;
use crate::{pool, privileges, reopen, state_dir, wire};

/// The name of the socket of nodes in the state directory.
const SOCKET: &str = "nodes.sock";
/// Time for nodes that end with it to say so, and interval of looking.
const LINGER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
const LINGER_POLL: std::time::Duration = std::time::Duration::from_millis(50);
/// Interval of looking after the rest.
const LOOK_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// Tells nodes what to serve until a signal asks to stop.
pub(crate) fn run(mut args: ControllerArgs) -> anyhow::Result<End> {
    if let Some(dir) = &args.dir {
        args.settings.set("config-dir", dir.display().to_string());
    }
    let Resolved { settings, effective } = match args.settings.resolve() {
        Ok(resolved) => resolved,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let source = Source::of(&settings)?;
    if let Source::Controller(other) = &source {
        bail!("--controller {other}: a controller follows no other; leave it out");
    }
    network::check(&settings, &source)?;
    let source_text = source.check()?;
    pool::has_networks(&settings)?;
    let confinement = Confinement::of(settings.seccomp, &source);
    let state_dir = state_dir::resolve(&settings.state_dir)?;
    let identity = Identity::decide(settings.user, &state_dir, source.program())?;
    let (log_control, _log_flush) = logging::init(&settings.log.0, &identity, confinement)?;
    identity.announce();
    let probes = ProbeServer::start(settings.probe_socket.0.as_deref(), &identity, confinement)?;
    reopen::try_source_and_log(&identity, &settings, &source)?;
    Sockets::check(&state_dir)?;
    let Claimed { instance, .. } = Instance::claim(&state_dir, TakeOver::Never, &identity)?;
    let sockets = Sockets::bind(&settings, source.is_cluster(), &mut Received::default())?;
    instance.give_to_other(&identity)?;
    let capabilities = privileges::drop_all(&identity)?;
    confinement.control();
    let facts = Facts {
        steering_path: "none".to_owned(),
        steering_detail: "none: a controller has no data plane".to_owned(),
        without_ipv6: None,
        offset: None,
        driver: "none".to_owned(),
        refused_drivers: Vec::new(),
        log_refused: None,
        source: source_text,
        capabilities,
        started: jiff::Timestamp::now(),
        took_over: None,
        settings: effective,
    };
    info!("sluice {}: controller, reading {}", VERSIONS.version, facts.source);
    let settings = &settings;
    let controller =
        Controller { settings, instance, sockets, facts, log_control, confinement, identity, probes };
    controller.serve(source).map(|()| End::Done)
}

/// Parts of a controller that are there before it reads anything.
struct Controller<'a> {
    settings: &'a Settings,
    instance: Instance,
    sockets: Sockets,
    facts: Facts,
    log_control: LogControl,
    confinement: Confinement,
    identity: Identity,
    probes: ProbeServer,
}

impl Controller<'_> {
    fn serve(mut self, source: Source) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            let mut orders = signals::listen()?;
            let over_cluster = source.is_cluster();
            let Opened::Resources(options, cluster) = source.open(self.settings, &self.instance)? else {
                bail!("a controller reads resources");
            };
            let table = Arc::new(SharedTable::new(epoch()?));
            let nodes = Arc::new(Nodes::default());
            let (sender, view) = watch::channel(Arc::new(View::default()));
            let distributor =
                Distributor::new(translate_options(self.settings, over_cluster), Arc::clone(&table), sender)
                    .believing_unready_after(unready_patience(self.settings, over_cluster));
            let (distributor, pool) = pool::assign(
                self.settings,
                &self.instance,
                cluster.as_ref(),
                (&nodes, self.reports_by()),
                distributor,
            )?;
            let confinement = self.confinement;
            let (compiler, builder) = (move || confinement.compiler(), move || confinement.builder());
            let engine = Engine::start_controller(*options, distributor, compiler, builder)?;
            engine.keep();
            let pool = pool.map(|pool| pool.follow(&engine));
            if cluster.is_none() {
                tokio::spawn(Arc::clone(&nodes).follow_placement(engine.assigner()));
            }
            let shared = self.shared(view.clone(), &nodes, cluster.clone())?;
            self.probes.serves(&shared.readiness);
            let Network { listen, leading, duty } = network::prepare(self.settings, cluster.as_ref());
            let server = self.listen(table, Arc::clone(&nodes), leading, listen)?;
            let membership = match &cluster {
                Some(cluster) => {
                    let (tally, nodes) =
                        (Arc::clone(&shared.cluster_tally), Some((nodes, self.reports_by())));
                    Some(Membership::join(self.settings, cluster, view, tally, pool, nodes, duty)?)
                }
                None => None,
            };
            self.sockets.open_admin_socket(self.instance.dir());
            let servers = self.sockets.serve(&shared)?;
            let manager = Manager::of_environment();
            manager.serve(&shared, false);
            let signal = wait(&mut orders, &engine, &shared).await?;
            info!("{signal}: ending; nodes serve what they have");
            shared.readiness.drain();
            manager.stopping(LINGER_TIMEOUT);
            last_words(&shared).await;
            drop(server);
            if let Some(membership) = membership {
                membership.leave(true).await;
            }
            drop(tokio::task::spawn_blocking(move || engine.stop()));
            drop(servers);
            anyhow::Ok(())
        });
        runtime.shutdown_background();
        outcome
    }

    fn reports_by(&self) -> ReportsBy {
        match self.settings.node_reports {
            NodeReports::Stream => ReportsBy::Streams,
            NodeReports::Relay => ReportsBy::Objects,
        }
    }

    fn listen(
        &self,
        table: Arc<SharedTable>,
        nodes: Arc<Nodes>,
        leading: watch::Receiver<Leading>,
        network: Option<NetworkOptions>,
    ) -> anyhow::Result<StreamServer> {
        let path = match &self.settings.node_socket {
            Auto::Set(path) => path.0.clone(),
            Auto::Auto => self.instance.dir().join(SOCKET),
        };
        let users = match &self.settings.node_users {
            Auto::Set(users) => users.0.clone(),
            Auto::Auto => vec![self.identity.uid()],
        };
        let confinement = self.confinement;
        let at = network.as_ref().map(|network| network.address);
        let local = LocalOptions { path: path.clone(), users };
        let options = ListenOptions { local, network, version: VERSIONS.version.to_owned() };
        listen(options, table, nodes, leading, move || confinement.control())
            .with_context(|| listening(&path, at))
    }

    fn shared(
        &self,
        view: watch::Receiver<Arc<View>>,
        nodes: &Arc<Nodes>,
        cluster: Option<gateway_control::source::kube::Cluster>,
    ) -> anyhow::Result<Shared> {
        let log = FileThread::start(FileTarget::Off, wire::io_mode(crate::flags::IoMode::Epoll))?;
        Ok(Shared {
            facts: Arc::new(self.facts.clone()),
            readiness: Readiness::of_controller(view.clone()),
            view,
            workers: Arc::new(Workers::new(Vec::new())),
            cluster,
            cluster_tally: Arc::default(),
            stream: None,
            nodes: Some(Arc::clone(nodes)),
            steering: None,
            helper: None,
            log_control: self.log_control.clone(),
            access_log: log.sink(),
            takeover_failures: FailureCounters::default(),
            counters: AllCounters::default(),
        })
    }
}

/// Serves until a signal; gives its name.
async fn wait(
    orders: &mut signals::Orders,
    engine: &Engine<()>,
    shared: &Shared,
) -> anyhow::Result<&'static str> {
    let mut denials = Denials::default();
    let heartbeat = shared.readiness.control();
    loop {
        denials.report();
        heartbeat.stamp();
        tokio::select! {
            order = orders.next() => match order {
                Order::Reload => drop(engine.reload()),
                Order::Stop(signal) => return Ok(signal),
            },
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        if engine.has_ended() {
            bail!("the compiler thread ended unexpectedly; restarting the process is the only way on");
        }
    }
}

/// A pod's containers are told to stop at the same moment: its node may still have to say that it serves no more.
async fn last_words(shared: &Shared) {
    let end = tokio::time::Instant::now() + LINGER_TIMEOUT;
    while shared.nodes.as_ref().is_some_and(|nodes| nodes.any_connected())
        && tokio::time::Instant::now() < end
    {
        tokio::time::sleep(LINGER_POLL).await;
    }
}

fn listening(path: &Path, network: Option<SocketAddr>) -> String {
    let network =
        network.map_or(String::new(), |at| format!(", or --stream-address {at}: choose one that is free"));
    format!(
        "--node-socket {}: cannot listen there; choose a directory that this user may write to{network}",
        path.display()
    )
}

/// A number that no other controller process has; 0 is none.
fn epoch() -> anyhow::Result<u64> {
    let mut bytes = [0u8; 8];
    getrandom(&mut bytes, GetRandomFlags::empty()).context("random numbers")?;
    Ok(u64::from_ne_bytes(bytes).max(1))
}
