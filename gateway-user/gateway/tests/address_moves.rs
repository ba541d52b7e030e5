//! Addresses of a pool move by evidence: when the owner's stream is gone and no other node reaches it either.

mod common;
#[path = "address_moves/places.rs"]
mod places;
#[path = "address_moves/relay.rs"]
mod relay;

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::helper::{NODE, as_user, start_helper};
use common::roles::{controller_metrics, controller_state, socket, start_controller, status};
use common::steady::SteadyClients;
use common::{SLUICE, example, metric_of, pair, spawn_gateway, start_backend, wait_until_ready};
use gateway_testkit::http::Client;
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait;
use nix::sys::signal::Signal;
use places::{Machine, Place, bridge, ip};
use relay::Relay;

const POOL: &str = "192.0.2.96/29";
/// A controller asks after nobody before.
const SETTLE: Duration = Duration::from_secs(15);

/// Held by the test whose nodes start.
static STARTING: Mutex<()> = Mutex::new(());

/// A second Gateway beside the example's.
const SECOND: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: second, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}
";

/// Three nodes, their controller in the middle, and two Gateways on two of them.
struct World<'a> {
    inside: &'a Inside,
    config: Scratch,
    controller: Guarded,
    begun: Instant,
    relays: Vec<Relay>,
    places: Vec<Place>,
}

impl World<'_> {
    fn start(inside: &Inside) -> World<'_> {
        bridge();
        let config = Scratch::new("config").unwrap();
        config.copy_from(&example()).unwrap();
        let route = std::fs::read_to_string(config.join("team1-route.yaml")).unwrap();
        let (head, tail) = route.split_once("  rules:").unwrap();
        let both = format!("{head}    - name: second\n      namespace: ingress\n  rules:{tail}");
        config.write("team1-route.yaml", &both).unwrap();
        let (controller, begun) = (start(inside, &config), Instant::now());
        let mut world = World { inside, config, controller, begun, relays: Vec::new(), places: Vec::new() };
        // One after the other, whatever the tests beside this one do: the kernel reads each node's programs for long.
        let starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        for number in 1..=3 {
            let at = inside.scratch().join(&format!("relay{number}"));
            world.relays.push(Relay::start(&at, socket(inside)));
            let place = Place::new(number);
            place.run(move |inside, machine| {
                machine.backend = Some(start_backend());
                let pool = ["--address-pool", POOL, "--address-interface", "near"];
                machine.helper = Some(start_helper(inside, &pool));
                start_node(inside, machine, number, &at);
            });
            world.places.push(place);
        }
        drop(starting);
        // The first address is on whichever node came first, the second one so on another.
        wait::until("all nodes", || (world.connected() == 3).then_some(()));
        wait::until("the first address", || world.places.iter().find(|place| !place.pool().is_empty()));
        world.config.write("second.yaml", SECOND).unwrap();
        for address in world.addresses() {
            wait::until("an address", || serves(address).then_some(()));
        }
        world
    }

    /// Addresses of the two Gateways.
    fn addresses(&self) -> [IpAddr; 2] {
        wait::until("two addresses", || {
            let all: Vec<IpAddr> = self.places.iter().flat_map(Place::pool).collect();
            all.try_into().ok()
        })
    }

    /// The place that has an address, if it is one alone.
    fn owner(&self, address: IpAddr) -> Option<usize> {
        let all: Vec<usize> = (0..3).filter(|at| self.places[*at].pool().contains(&address)).collect();
        if all.len() == 1 { Some(all[0]) } else { None }
    }

    /// Waits until the controller asks after nodes, and has seen all of them reach each other.
    fn settle(&self) {
        std::thread::sleep(SETTLE.saturating_sub(self.begun.elapsed()));
        wait::until("proofs", || (probes("reached") >= 3.0).then_some(()));
    }

    fn suspicion(&self, place: &Place) -> String {
        let status = status(&controller_state(self.inside));
        let nodes = status["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["node"] == place.name()).unwrap();
        node["suspicion"].as_str().unwrap_or_default().to_owned()
    }

    fn connected(&self) -> usize {
        let status = status(&controller_state(self.inside));
        let nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.filter(|node| node["connected"] == true).count()
    }

    /// Waits until another place has the address, and serves there.
    #[track_caller]
    fn must_move(&self, address: IpAddr, from: usize, since: Instant) -> usize {
        wait::until("the address on another node", || serves(address).then_some(()));
        note(since.elapsed());
        let to = (0..3).find(|at| *at != from && self.places[*at].pool().contains(&address));
        to.unwrap_or_else(|| panic!("{address} is on no other node:\n{}", self.controller.output()))
    }
}

/// Says for `cargo xtask bench moves`, which knows the bar, how many seconds a move took.
fn note(took: Duration) {
    if let Some(path) = std::env::var_os("SLUICE_MOVES") {
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        writeln!(file, "{:.2}", took.as_secs_f64()).unwrap();
    }
}

fn start(inside: &Inside, config: &Scratch) -> Guarded {
    let users = NODE.to_string();
    start_controller(
        inside,
        config.path(),
        &["--address-mode", "pool", "--address-pool", POOL, "--node-users", &users],
    )
}

fn start_node(inside: &Inside, machine: &mut Machine, number: u8, controller: &PathBuf) {
    let (name, own) = (format!("edge-{number}"), format!("192.0.2.{number}"));
    let mut command = Command::new(SLUICE);
    command.arg("node").arg("--controller").arg(controller);
    command.arg("--helper").arg(common::helper::socket(inside)).arg("--bpffs").arg(inside.bpffs());
    command.arg("--state-dir").arg(inside.scratch().join("state")).args(["--node-name", &name]);
    command.args(["--node-addresses", &own, "--address-mode", "pool", "--address-pool", POOL]);
    command.args(["--address-interface", "near", "--ring-entries", "256", "--drain-min", "0s"]);
    command.args(pair::flags(&[]));
    let mut gateway = Guarded::spawn(&mut as_user(&command, NODE)).unwrap();
    wait_until_ready(&mut gateway);
    machine.gateway = Some(gateway);
}

/// True if a request to an address gets the backend's response. A host that is not there is not waited for.
fn serves(address: IpAddr) -> bool {
    let stream = TcpStream::connect_timeout(&SocketAddr::new(address, 80), Duration::from_millis(300));
    let Ok(stream) = stream else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    Client::from(stream).get("a", "/httpbin/get").is_ok_and(|response| response.status == 200)
}

fn probes(outcome: &str) -> f64 {
    metric_of(&controller_metrics(), "sluice_node_probes_total", &[&format!("outcome=\"{outcome}\"")])
}

fn lost() -> f64 {
    metric_of(&controller_metrics(), "sluice_nodes_lost_total", &[])
}

fn at(address: IpAddr) -> String {
    format!("{address}:80")
}

fn with_world(label: &str, body: impl FnOnce(World<'_>, IpAddr, usize, SteadyClients) + Send + 'static) {
    netns::run(label, move |inside| {
        let world = World::start(inside);
        let [steady, moving] = world.addresses();
        let owner = world.owner(moving).unwrap();
        assert_ne!(world.owner(steady), Some(owner), "two nodes share two addresses");
        world.settle();
        let clients = SteadyClients::start(&at(steady));
        body(world, moving, owner, clients);
    });
}

#[test]
fn a_node_that_is_killed_loses_its_address_and_takes_it_from_nobody_when_it_is_back() {
    with_world("moves-kill", |world, moving, owner, clients| {
        let (place, relay) = (&world.places[owner], &world.relays[owner]);
        wait::until("the copy on disk", || {
            place.run(|inside, _| inside.scratch().join("state/last-good-stream").exists()).then_some(())
        });
        let killed = Instant::now();
        place.run(|_, machine| {
            machine.gateway.as_ref().unwrap().signal(Signal::SIGKILL).unwrap();
            machine.gateway.take().unwrap().wait();
        });
        let new = world.must_move(moving, owner, killed);
        assert_eq!(lost(), 1.0);
        // Back without its controller it has the address, as far as it knows.
        relay.cut();
        let at = world.inside.scratch().join(&format!("relay{}", place.number));
        let number = place.number;
        place.run(move |inside, machine| start_node(inside, machine, number, &at));
        let has_it = format!("the host with 02:00:00:00:00:0{}", world.places[new].number);
        wait::until("the other host", || place.log().contains(&has_it).then_some(()));
        assert_eq!(
            (place.pool().contains(&moving), world.owner(moving)),
            (false, Some(new)),
            "{}",
            place.log()
        );
        assert!(serves(moving));
        relay.mend();
        wait::until("the controller's word", || {
            place.log().contains("addresses: no error any more").then_some(())
        });
        assert_eq!((world.owner(moving), world.connected()), (Some(new), 3));
        clients.wait_for_more(200);
        clients.must_be_clean();
        // A node that ends says so, and keeps its address until its last request has ended.
        let ends = Instant::now();
        world.places[new].run(|_, machine| {
            let mut gateway = machine.gateway.take().unwrap();
            gateway.signal(Signal::SIGTERM).unwrap();
            assert!(gateway.wait().success(), "{}", gateway.output());
        });
        world.must_move(moving, new, ends);
        assert_eq!(lost(), 1.0, "nobody had to find out");
    });
}

#[test]
fn a_node_that_is_cut_off_alone_from_its_controller_keeps_its_address_and_so_it_does_without_any() {
    with_world("moves-cut", |mut world, moving, owner, clients| {
        let (place, relay) = (&world.places[owner], &world.relays[owner]);
        let moved = SteadyClients::start(&at(moving));
        let asked = probes("reached");
        relay.cut();
        wait::until("the evidence", || world.suspicion(place).contains("reaches it").then_some(()));
        wait::until("more of it", || (probes("reached") >= asked + 4.0).then_some(()));
        moved.wait_for_more(200);
        assert_eq!((world.owner(moving), lost()), (Some(owner), 0.0));
        relay.mend();
        wait::until("the node", || (world.connected() == 3).then_some(()));
        assert_eq!(world.suspicion(place), "");
        // Without a controller nothing moves; nor with a new one, whatever comes to it first.
        world.controller.signal(Signal::SIGKILL).unwrap();
        world.controller.wait();
        moved.wait_for_more(500);
        world.relays[owner].cut();
        world.controller = start(world.inside, &world.config);
        world.begun = Instant::now();
        wait::until("the others", || (world.connected() == 2).then_some(()));
        std::thread::sleep(SETTLE);
        wait::until("the evidence", || world.controller.output().contains("reaches it").then_some(()));
        moved.wait_for_more(500);
        assert_eq!((world.owner(moving), lost()), (Some(owner), 0.0));
        moved.must_be_clean();
        clients.must_be_clean();
    });
}

#[test]
fn a_node_without_power_loses_its_address_and_gives_it_up_when_it_is_back() {
    with_world("moves-half", |world, moving, owner, clients| {
        let (place, relay) = (&world.places[owner], &world.relays[owner]);
        let gone = Instant::now();
        relay.fall_silent();
        place.link(false);
        let new = world.must_move(moving, owner, gone);
        assert!(place.pool().contains(&moving), "it does not know");
        place.link(true);
        relay.mend();
        wait::until("the end of two owners", || (world.owner(moving) == Some(new)).then_some(()));
        wait::until("the node", || (world.connected() == 3).then_some(()));
        let known = ip(&format!("neigh show {moving} dev br0"));
        assert!(known.contains(&format!("02:00:00:00:00:0{}", world.places[new].number)), "{known}");
        assert!(serves(moving));
        assert_eq!(lost(), 1.0);
        clients.wait_for_more(200);
        clients.must_be_clean();
    });
}

#[test]
fn a_gateway_with_the_rights_itself_takes_no_address_from_another_host() {
    netns::run("moves-run", |_| {
        bridge();
        let (other, place) = (Place::new(1), Place::new(2));
        other.run(|_, _| ip("addr add 192.0.2.97/32 dev near"));
        place.run(|inside, machine| {
            let config = inside.scratch().join("config");
            std::fs::create_dir(&config).unwrap();
            for file in std::fs::read_dir(example()).unwrap().flatten() {
                std::fs::copy(file.path(), config.join(file.file_name())).unwrap();
            }
            machine.backend = Some(start_backend());
            let pool = ["--address-mode", "pool", "--address-pool", POOL, "--address-interface", "near"];
            let mut gateway = spawn_gateway(inside, &config, &pool);
            wait_until_ready(&mut gateway);
            machine.gateway = Some(gateway);
        });
        let said = "192.0.2.97 is not put on near: the host with 02:00:00:00:00:01 has it there";
        wait::until("the other host", || place.log().contains(said).then_some(()));
        assert!(place.pool().is_empty());
        let address = "192.0.2.97".parse().unwrap();
        assert!(!serves(address));
        other.run(|_, _| ip("addr del 192.0.2.97/32 dev near"));
        wait::until("the address", || serves(address).then_some(()));
        let known = ip("neigh show 192.0.2.97 dev br0");
        assert!(known.contains("02:00:00:00:00:02"), "its network is told: {known}");
        assert!(place.log().contains("addresses: no error any more"), "{}", place.log());
    });
}
