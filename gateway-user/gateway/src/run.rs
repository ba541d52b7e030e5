//! `sluice run`: puts the parts together, and takes them apart again in the right order.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use gateway_control::addresses::link::{self, LinkAccess};
use gateway_control::steer::SharedSteering;
use gateway_control::stream::{Following, ProbeAnswers};
use gateway_helper::HelperClient;
use gateway_io::file::FileThread;
use gateway_io::{Probe, probe, usable_cpus};
use gateway_proxy::worker::Clients;
use gateway_steer::{Steering, SteeringPath, without_ipv6};
use gateway_tls::Tickets;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::admin::{AllCounters, Facts, ProbeServer, Readiness, Shared, Sockets};
use crate::capacity::{Bounds, Capacity};
use crate::cli::{NodeArgs, RunArgs};
use crate::cmd::{End, bad_settings};
use crate::confinement::Confinement;
use crate::flags::{AddressMode, Controller, Effective, Resolved, Settings, TakeOver};
use crate::handoff::{self, FailureCounters, HandoffClient, Received};
use crate::helper::HelperWatch;
use crate::identity::Identity;
use crate::instance::{Claimed, Instance};
use crate::logging::{self, LogControl};
use crate::notify::Manager;
use crate::plane::{Plane, Started};
use crate::privileges::{self, Later};
use crate::service::{Service, TakingOver};
use crate::signals::EndAtOnce;
use crate::source::Source;
use crate::supervisor::{Supervisor, WorkerTemplate};
use crate::workers::Workers;
use crate::{fault, helper, node, pool, reopen, signals, state_dir, wire};

/// Limit for the access log to reach its file at the end.
const LOG_FLUSH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Serves what a controller says, as [`run`] does what resources say.
pub(crate) fn node(args: NodeArgs) -> anyhow::Result<End> {
    let NodeArgs { settings } = args;
    let run = RunArgs { dir: None, started_by: None, settings };
    run_with(run, |settings| match &settings.controller {
        Controller::None => {
            bail!(
                "a node serves what its controller says: name the controller's socket or address with --controller"
            )
        }
        Controller::Socket(_) | Controller::Remote(..) => Ok(()),
    })
}

/// Serves until a signal asks to stop, or another process takes over.
pub(crate) fn run(args: RunArgs) -> anyhow::Result<End> {
    run_with(args, |_| Ok(()))
}

fn run_with(mut args: RunArgs, check: impl FnOnce(&Settings) -> anyhow::Result<()>) -> anyhow::Result<End> {
    if let Some(dir) = &args.dir {
        args.settings.set("config-dir", dir.display().to_string());
    }
    let Resolved { settings, effective } = match args.settings.resolve() {
        Ok(resolved) => resolved,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    check(&settings)?;
    let source = Source::of(&settings)?;
    if let Some(starter) = args.started_by {
        crate::cmd::upgrade::wait_for_the_end_of(starter);
    }
    let confinement = Confinement::of(settings.seccomp, &source);
    fault::begin()?;
    // Before the state directory, which it may have to give to this user.
    let helper = helper::connect(&settings)?;
    let state_dir = state_dir::resolve(&settings.state_dir)?;
    let identity = Identity::decide(settings.user, &state_dir, source.program())?;
    // Outlives all that may have something to say.
    let (log_control, _log_flush) = logging::init(&settings.log.0, &identity, confinement)?;
    identity.announce();
    // Before anything that may hang.
    let probes = ProbeServer::start(settings.probe_socket.0.as_deref(), &identity, confinement)?;
    let starting = signals::end_at_once(&identity, confinement)?;
    let parts = Parts::open(&settings, &state_dir, source, (&identity, confinement), helper, &probes)?;
    let facts = parts.facts(effective);
    let bounds = parts.capacity.bounds(&settings, parts.places.len());
    announce(&facts, parts.places.len(), &bounds);
    info!("requests: {}", wire::strictness(&settings, parts.source.is_cluster()));
    parts.serve(&settings, &bounds, facts, log_control, (probes, starting)).map(|()| End::Done)
}

/// Parts that can fail at the start, in the order in which they are opened; dropping them undoes everything.
struct Parts {
    source: Source,
    /// Its name, for people.
    source_text: String,
    capacity: Capacity,
    sockets: Sockets,
    places: Vec<Option<usize>>,
    probe: Probe,
    access_log: FileThread,
    steering: Steering,
    /// Capabilities that are still held.
    capabilities: Vec<String>,
    handoff_client: Option<HandoffClient>,
    /// The socket for those who take over from us, if one was received.
    takeover: Option<std::os::fd::OwnedFd>,
    /// Where datagrams of clients come to that had flows in that process.
    clients: Clients,
    /// The keys of session tickets of the process that we take over from.
    tickets: Option<Vec<u8>>,
    confinement: Confinement,
    /// Does what takes a right, if this process has none.
    helper: Option<Arc<HelperClient>>,
    /// The way to change addresses of an interface.
    access: LinkAccess,
    /// Last, so that the state directory is ours until all else is gone.
    instance: Instance,
}

impl Parts {
    fn open(
        settings: &Settings,
        state_dir: &Path,
        source: Source,
        (identity, confinement): (&Identity, Confinement),
        helper: Option<Arc<HelperClient>>,
        probes: &ProbeServer,
    ) -> anyhow::Result<Self> {
        // Checks that concern no other process come first: an error here disturbs no process that serves.
        let source_text = source.check()?;
        if source.is_cluster() {
            node::name(settings)?;
        }
        pool::check(settings)?;
        Sockets::check(state_dir)?;
        let places = wire::placement(settings, &usable_cpus()?).map_err(anyhow::Error::msg)?;
        let open_files = open_files()?;
        let capacity = Capacity::of_process(open_files);
        let mode = wire::io_mode(settings.io);
        // As the workers will be: kernel.io_uring_disabled=1 lets root alone have rings.
        let probe =
            privileges::without_any(identity, || probe(mode, settings.ring_entries.small(), places.len()))?
                .context("--io")?;
        reopen::try_source_and_log(identity, settings, &source)?;
        handoff::stop_at("asking");
        // Before the ports: who finds the state directory taken learns by whom, not that some port is busy.
        let (Claimed { instance, taking_over }, helper) =
            claim(settings, state_dir, identity, helper, probes)?;
        let (handoff_client, mut received) = match taking_over {
            Some((handoff_client, received)) => (Some(handoff_client), received),
            None => {
                let takeover = handoff::listen_early(instance.dir());
                (None, Received { takeover, ..Received::default() })
            }
        };
        handoff::stop_at("received");
        // Before steering, which must not take these ports.
        let sockets = Sockets::bind(settings, source.is_cluster(), &mut received)?;
        let options = wire::steer_options(settings, places.len(), instance.name(), open_files);
        let options = match &helper {
            Some(helper) => helper::follow(options, helper),
            None => options,
        };
        let clients = match received.steering.has_datagrams_for(places.len()) {
            true => Clients::Here,
            false => Clients::AnyWorker,
        };
        let steering_mode = wire::steering_mode(settings.steering);
        let steering = match handoff_client {
            Some(_) => Steering::take_over(steering_mode, options, received.steering),
            None => Steering::open(steering_mode, options),
        };
        let mut steering = steering.with_context(|| format!("--steering {}", settings.steering))?;
        handoff::stop_at("attached");
        give(identity, &instance, &steering)?;
        start_threads(identity, confinement, helper.as_ref())?;
        let access = match &helper {
            Some(helper) => LinkAccess::Helper(Arc::clone(helper)),
            None => pool::own_access(settings),
        };
        // After the last thing that takes a right, before the first thread that stays.
        let later = match settings.address_mode {
            _ if helper.is_some() => Later::Nothing,
            AddressMode::Pool => Later::BindAndAssign,
            AddressMode::Node => Later::Bind,
        };
        let capabilities =
            privileges::drop_unneeded(&settings.keep_capabilities, &mut steering, later, identity)?;
        // Whatever starts from here on has a list of its own or this one.
        confinement.control();
        let access_log =
            FileThread::start(wire::file_target(&settings.access_log), mode).context("--access-log")?;
        let Received { takeover, tickets, .. } = received;
        Ok(Self {
            source,
            source_text,
            capacity,
            sockets,
            places,
            probe,
            access_log,
            steering,
            capabilities,
            handoff_client,
            takeover,
            clients,
            tickets,
            confinement,
            helper,
            access,
            instance,
        })
    }

    fn facts(&self, settings: Vec<Effective>) -> Facts {
        let path = self.steering.path();
        let offset = match path {
            SteeringPath::ReusePort { unprivileged_offset: Some(offset), lowest_port, .. } => {
                Some((*offset, *lowest_port))
            }
            _ => None,
        };
        let refused = self.probe.refused.iter().map(|(driver, why)| format!("{driver}: {why}"));
        Facts {
            steering_path: path.name().to_owned(),
            steering_detail: path.to_string(),
            without_ipv6: without_ipv6(),
            offset,
            driver: self.probe.driver.name().to_owned(),
            refused_drivers: refused.collect(),
            log_refused: self.access_log.refused().map(str::to_owned),
            source: self.source_text.clone(),
            capabilities: self.capabilities.clone(),
            started: jiff::Timestamp::now(),
            took_over: None,
            settings,
        }
    }

    fn serve(
        self,
        settings: &Settings,
        bounds: &Bounds,
        facts: Facts,
        log_control: LogControl,
        (probes, starting): (ProbeServer, EndAtOnce),
    ) -> anyhow::Result<()> {
        let Self { source, sockets, places, probe, access_log, mut steering, instance, confinement, .. } =
            self;
        let helper = self.helper;
        let config = wire::proxy_config(settings, steering.path(), bounds, source.is_cluster(), confinement);
        take_tickets(config.tickets.as_ref(), self.tickets.as_deref());
        let kind = handoff::Steering::of(steering.path());
        let own_ports = wire::own_ports(settings, steering.path(), source.is_cluster());
        let flows = (self.capacity.flows_at_once(config.udp.flows, places.len()), self.clients);
        let taking_over = self.handoff_client.map(|client| TakingOver::new(client, steering.path(), flows));
        watch_fault_files();
        let first = steering.worker_listeners();
        let steering = SharedSteering::new(steering);
        let mut supervisor = Supervisor::new(WorkerTemplate {
            places,
            driver: probe.driver,
            ring_entries: settings.ring_entries.small(),
            config,
            steering: steering.clone(),
            log: access_log.sink(),
        });
        let workers = Arc::new(supervisor.start(first)?);
        let record = instance.interface_addresses();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            // Before the engine: a signal during the first compilation counts too.
            let orders = signals::listen()?;
            drop(starting);
            let plane = Plane {
                settings,
                instance: &instance,
                workers: &workers,
                steering: &steering,
                own_ports,
                takes_over: taking_over.is_some(),
                access: self.access.clone(),
                confinement,
                tickets: supervisor.tickets().cloned(),
            };
            let Started { engine, view, cluster, pool, following } = plane.start(source)?;
            let failures = FailureCounters::default();
            let shared = Shared {
                takeover_failures: failures.clone(),
                facts: Arc::new(facts),
                readiness: Readiness::new(view.clone(), supervisor.heartbeats()),
                counters: AllCounters::default(),
                view,
                workers: Arc::clone(&workers),
                cluster,
                cluster_tally: Arc::default(),
                stream: following.as_ref().map(Following::state),
                nodes: None,
                steering: Some(steering.clone()),
                helper: helper.clone(),
                log_control,
                access_log: access_log.sink(),
            };
            answer_probes(settings, following.as_ref(), &shared.readiness);
            let service = Service {
                settings,
                supervisor,
                workers: Arc::clone(&workers),
                engine,
                orders,
                shared,
                access_log: &access_log,
                instance,
                kind,
                failures,
                manager: Manager::of_environment(),
                membership: None,
                pool,
                steering: steering.clone(),
                following,
                helper: helper.map(HelperWatch::new),
                probes,
            };
            service.run(taking_over, sockets, self.takeover).await
        });
        runtime.shutdown_background();
        finish(outcome, &steering, &workers, access_log, (&record, &self.access))
    }
}

/// Lets tests plant faults while this process runs, if they said so.
fn watch_fault_files() {
    if fault::is_injected("requests") {
        gateway_proxy::watch_fault_files();
    }
}

/// Goes on with the keys of session tickets of the process before, whose clients come back with them.
fn take_tickets(tickets: Option<&Tickets>, exported: Option<&[u8]>) {
    if let (Some(tickets), Some(exported)) = (tickets, exported)
        && let Err(error) = tickets.import(exported)
    {
        warn!("TLS sessions of the process before are not resumed, their keys cannot be read: {error}");
    }
}

/// Lets other nodes find out that this one serves, if addresses could move from it.
fn answer_probes(settings: &Settings, following: Option<&Following>, readiness: &Readiness) {
    if let (Some(following), Some(address)) = (following, settings.probe_address.0)
        && settings.address_mode == AddressMode::Pool
    {
        let readiness = readiness.clone();
        following.answer(ProbeAnswers { address, serves: Arc::new(move || readiness.serves()) });
    }
}

/// Takes everything back once serving has ended: steering, workers, the access log, and addresses on an
/// interface.
fn finish(
    outcome: anyhow::Result<Option<Instance>>,
    steering: &SharedSteering,
    workers: &Workers,
    access_log: FileThread,
    (record, access): (&Path, &LinkAccess),
) -> anyhow::Result<()> {
    // Queued connections were accepted during the drain.
    steering.close();
    if outcome.is_ok() {
        workers.join();
    }
    let _ = access_log.stop(LOG_FLUSH_TIMEOUT);
    // With the directory, unless another process has it by now.
    let ours = outcome?;
    if ours.is_some()
        && let Err(error) = link::release(record, access)
    {
        warn!("addresses stay on their interface until the next start or `sluice cleanup`: {error}");
    }
    Ok(())
}

/// Takes the state directory, at once or as a spare after a time that may be long.
fn claim(
    settings: &Settings,
    state_dir: &Path,
    identity: &Identity,
    helper: Option<Arc<HelperClient>>,
    probes: &ProbeServer,
) -> anyhow::Result<(Claimed, Option<Arc<HelperClient>>)> {
    if settings.take_over != TakeOver::Spare {
        return Ok((Instance::claim(state_dir, settings.take_over, identity)?, helper));
    }
    // It has given the directory. It may be started anew meanwhile, and has few places.
    drop(helper);
    probes.waits();
    let claimed = Instance::claim(state_dir, settings.take_over, identity)?;
    probes.starts();
    Ok((claimed, helper::connect(settings)?))
}

/// Gives what the process has so far to the user that it goes on as. Sockets and pins also go back to a
/// process that stays root and takes over from one that did not; what it cannot give then, it can do without.
fn give(identity: &Identity, instance: &Instance, steering: &Steering) -> anyhow::Result<()> {
    let given = steering.give_to(identity.uid());
    if identity.other().is_none() {
        if let Err(error) = given {
            warn!("a worker that dies may get no replacement: {error}");
        }
        return Ok(());
    }
    given?;
    instance.give_to(identity.uid())?;
    reopen::try_state(identity, instance.dir())
}

/// Starts threads that would keep every right if they began with the process: the allocator's, and the one that
/// watches the connection to the helper.
fn start_threads(
    identity: &Identity,
    confinement: Confinement,
    helper: Option<&Arc<HelperClient>>,
) -> anyhow::Result<()> {
    let start = || {
        confinement.control();
        let started = tikv_jemalloc_ctl::background_thread::write(true);
        started.map_err(|error| anyhow::anyhow!("starting the allocator's thread: {error}"))?;
        helper.map_or(Ok(()), HelperClient::watch).context("--helper: starting the thread that watches it")
    };
    privileges::without_any(identity, start)?
}

/// Raises this process's limit of open files nearly as far as it may, and gives it. The soft limit is 1,024
/// on many systems for the sake of programs that call select(2), which we never do. The rest is for
/// operators' connections.
fn open_files() -> anyhow::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let soft = gateway_admin::soft_limit(hard);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).context("limit of open files")?;
    Ok(soft)
}

fn announce(facts: &Facts, workers: usize, bounds: &Bounds) {
    let refused = match facts.refused_drivers.as_slice() {
        [] => facts
            .log_refused
            .as_ref()
            .map(|why| format!(", access log by write(2) ({why})"))
            .unwrap_or_default(),
        refused => format!(" (not {})", refused.join("; not ")),
    };
    let families = facts.without_ipv6.as_ref().map(|why| format!("; IPv4 alone ({why})")).unwrap_or_default();
    info!(
        "sluice {}: steering by {}{families}; {workers} workers on {}{refused}; serving {}",
        crate::cmd::version::VERSIONS.version,
        facts.steering_detail,
        facts.driver,
        facts.source,
    );
    info!("each worker holds at most {}", bounds.text);
}
