//! Nobody else's bind succeeds on a port that is steered, and nothing listens there all the same.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use caps::{CapSet, Capability};
use common::{Workers, ask, one_each, open, options, plan, refused};
use gateway_steer::{Inherited, SteerOptions, Steering, SteeringMode};
use gateway_testkit::netns::{self, Inside};
use nix::unistd::{Uid, getuid, setfsuid};
use socket2::{Domain, Socket, Type};

/// A user that no system has.
const STRANGER: u32 = 54_321;

/// Binds and listens as another program would, with these options.
fn serve(address: &str, reuse_address: bool, reuse_port: bool) -> io::Result<TcpListener> {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(reuse_address)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    Ok(socket.into())
}

/// Somebody can serve there once the last connection is closed, which takes the worker's thread a moment.
#[track_caller]
fn becomes_free(address: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while let Err(error) = serve(address, true, false) {
        assert!(Instant::now() < until, "{address}: {error}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Nobody can serve there, whatever the options of the socket; with `SO_REUSEPORT`, no other user. The kernel
/// lets ours in beside a connection that was steered, since that has the option too, of the workers' sockets
/// (decision 197).
#[track_caller]
fn is_held(address: &str) {
    for (reuse_address, reuse_port) in [(false, false), (true, false), (false, true), (true, true)] {
        // The owner of a new socket, of this thread alone.
        let _before = setfsuid(if reuse_port { Uid::from_raw(STRANGER) } else { getuid() });
        let served = serve(address, reuse_address, reuse_port);
        setfsuid(getuid());
        let error = served
            .expect_err(&format!("{address} with SO_REUSEADDR={reuse_address} SO_REUSEPORT={reuse_port}"));
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{address} {reuse_address} {reuse_port}: {error}");
    }
}

/// Ports on which a socket listens in this namespace.
fn listened() -> Vec<u16> {
    let files = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let lines = text.lines().filter(|line| line.contains(" 0A "));
    let port = |line: &str| u16::from_str_radix(line.split_whitespace().nth(1)?.rsplit(':').next()?, 16).ok();
    lines.filter_map(port).collect()
}

fn serving(inside: &Inside, binds: &[&str]) -> (Steering, Workers) {
    let mut steering = open(inside, 1);
    let workers = Workers::start(one_each(&mut steering));
    steering.apply(&plan(binds)).unwrap();
    (steering, workers)
}

fn missing(steering: &Steering) -> Vec<String> {
    let missing = steering.placeholders().unwrap().missing;
    missing.into_iter().map(|(bind, reason)| format!("{bind}: {reason}")).collect()
}

#[test]
fn another_programs_bind_fails_while_nothing_listens() {
    netns::run("held", |inside| {
        let (mut steering, _workers) = serving(inside, &["*:80", "127.0.0.2:8082", "[::1]:8083"]);
        assert!(ask("127.0.0.1:80").is_ok() && ask("127.0.0.2:8082").is_ok() && ask("[::1]:8083").is_ok());
        for address in ["0.0.0.0:80", "127.0.0.1:80", "[::]:80", "[::1]:80"] {
            is_held(address);
        }
        for address in ["127.0.0.2:8082", "0.0.0.0:8082", "[::1]:8083", "[::]:8083"] {
            is_held(address);
        }
        assert!(serve("127.0.0.3:8082", false, false).is_ok(), "another address is anybody's");
        assert_eq!(steering.placeholders().unwrap().held, 3);
        assert_eq!(missing(&steering), Vec::<String>::new());
        let internal = steering.path().internal_port().unwrap();
        assert!(listened().iter().all(|port| *port == internal), "{:?}", listened());
        // A listener that goes lets go of its port, as far as its connections do: they are in TIME_WAIT.
        steering.apply(&plan(&["*:80"])).unwrap();
        becomes_free("127.0.0.2:8082");
        drop(steering);
        becomes_free("[::]:80");
    });
}

#[test]
fn every_address_and_a_particular_one_come_and_go_beside_each_other() {
    netns::run("held-both", |inside| {
        let (mut steering, _workers) = serving(inside, &["127.0.0.2:8080"]);
        is_held("127.0.0.2:8080");
        for (binds, held) in [
            (&["127.0.0.2:8080", "*:8080"][..], 1),
            (&["*:8080"], 1),
            (&["127.0.0.2:8080", "[::1]:8080"], 2),
            (&[], 0),
        ] {
            steering.apply(&plan(binds)).unwrap();
            assert_eq!(
                (steering.placeholders().unwrap().held, missing(&steering)),
                (held, vec![]),
                "{binds:?}"
            );
            if held > 0 {
                is_held("127.0.0.2:8080");
            }
        }
        assert!(serve("127.0.0.2:8080", false, false).is_ok());
    });
}

/// Connections that were steered have the port as their own; none of their states lets anybody in
/// or keeps us out.
#[test]
fn connections_under_way_and_in_time_wait_are_in_nobodys_way() {
    netns::run("held-busy", |inside| {
        let (steering, workers) = serving(inside, &["*:8080"]);
        let kept = TcpStream::connect("127.0.0.1:8080").unwrap();
        // The server closes first, so its side is in TIME_WAIT.
        ask("127.0.0.1:8080").unwrap();
        is_held("127.0.0.1:8080");
        is_held("[::]:8080");
        drop((steering, workers));
        // A restart finds them there.
        let (steering, _workers) = serving(inside, &["*:8080"]);
        assert_eq!(missing(&steering), Vec::<String>::new());
        for address in ["127.0.0.1:8080", "0.0.0.0:8080", "[::]:8080"] {
            is_held(address);
        }
        assert!(ask("[::1]:8080").is_ok());
        is_held("[::1]:8080");
        drop(kept);
    });
}

#[test]
fn what_cannot_be_held_is_served_and_said() {
    netns::run("held-not", |inside| {
        let options = SteerOptions { placeholders: 2, ..options(inside, 1) };
        let mut steering = Steering::open(SteeringMode::Ebpf, options).unwrap();
        let _workers = Workers::start(one_each(&mut steering));
        caps::drop(None, CapSet::Effective, Capability::CAP_NET_BIND_SERVICE).unwrap();
        // Bound, and not (yet) listening: in no list of listeners.
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        bound.bind(&"127.0.0.1:8081".parse::<SocketAddr>().unwrap().into()).unwrap();
        let wanted = plan(&["*:80", "*:8081", "*:8082", "*:8083", "*:8084"]);
        assert_eq!(steering.check(&wanted), []);
        steering.apply(&wanted).unwrap();
        assert!(ask("127.0.0.1:80").is_ok() && ask("127.0.0.1:8084").is_ok());
        let said = missing(&steering);
        assert_eq!(said.len(), 3, "{said:?}");
        for (line, text) in said.iter().zip(["CAP_NET_BIND_SERVICE", "another program", "2 ports are held"]) {
            assert!(line.contains(text), "{said:?}");
        }
        // A port that is free by now is held.
        drop(bound);
        steering.apply(&plan(&["*:80", "*:8081", "*:8082"])).unwrap();
        caps::raise(None, CapSet::Effective, Capability::CAP_NET_BIND_SERVICE).unwrap();
        assert_eq!(missing(&steering).len(), 1);
        steering.apply(&plan(&["*:80", "*:8081"])).unwrap();
        steering.retry_placeholders();
        assert_eq!(missing(&steering), Vec::<String>::new());
        is_held("127.0.0.1:80");
    });
}

#[test]
fn without_placeholders_others_bind_as_before() {
    netns::run("held-off", |inside| {
        let options = SteerOptions { placeholders: 0, ..options(inside, 1) };
        let mut steering = Steering::open(SteeringMode::Ebpf, options).unwrap();
        steering.apply(&plan(&["*:8080"])).unwrap();
        assert!(serve("[::]:8080", false, false).is_ok());
        assert_eq!(steering.placeholders(), None);
    });
}

/// The giver's side and the taker's in one process: they share the sockets, as two processes do.
#[test]
fn placeholders_are_handed_over_and_never_let_go_of() {
    netns::run("held-over", |inside| {
        let (mut old, workers) = serving(inside, &["*:8080", "127.0.0.2:8081"]);
        let inherited = Inherited { placeholders: old.lend_placeholders().unwrap(), ..Inherited::default() };
        assert_eq!(inherited.placeholders.len(), 2);
        let named = SteerOptions { instance: "next".into(), ..options(inside, 1) };
        let mut new = Steering::take_over(SteeringMode::Ebpf, named, inherited).unwrap();
        new.apply(&plan(&["*:8080"])).unwrap();
        assert_eq!(new.placeholders().unwrap().held, 1);
        let settled = new.finish_takeover();
        drop((old, workers));
        let _workers = Workers::start(settled.listeners);
        is_held("127.0.0.1:8080");
        assert!(ask("127.0.0.1:8080").is_ok());
        assert!(serve("127.0.0.2:8081", false, false).is_ok(), "no bind of the new one's");
    });
}

#[test]
fn a_taker_that_binds_for_itself_can_and_after_a_failed_one_nobody_can() {
    netns::run("held-lent", |inside| {
        let (mut old, _workers) = serving(inside, &["*:8080"]);
        drop(old.lend_placeholders().unwrap());
        let named = SteerOptions { instance: "next".into(), ..options(inside, 2) };
        let mut new = Steering::take_over(SteeringMode::ReusePort, named, Inherited::default()).unwrap();
        assert_eq!(new.prepare(&plan(&["*:8080"])).refused, []);
        drop(new);
        old.seal();
        is_held("127.0.0.1:8080");
        assert!(ask("127.0.0.1:8080").is_ok());
        refused("127.0.0.1:8081");
    });
}
