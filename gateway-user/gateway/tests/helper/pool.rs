//! Addresses of a pool, which the helper puts on an interface and announces there.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::{http, wait};
use nix::net::if_::if_nametoindex;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use crate::common::helper::{
    self, must_be_confined, must_have_no_right, node_command, start_helper, start_node,
};
use crate::common::{Running, spawn_gateway};

const HELPER: [&str; 4] = ["--address-pool", "192.0.2.0/24,2001:db8::/64", "--address-interface", "near"];
const NODE: [&str; 8] = [
    "--address-mode",
    "pool",
    "--address-pool",
    "192.0.2.8/30,2001:db8::/64",
    "--address-interface",
    "near",
    "--drain-min",
    "0s",
];

fn ip(args: &str) -> String {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The addresses of the pool that are on the interface.
fn present() -> Vec<IpAddr> {
    let listed = ip("-o addr show near");
    let words = listed.split_whitespace().filter_map(|word| word.split_once('/')?.0.parse().ok());
    let of_pool =
        |ip: &IpAddr| ["192.0.2.", "2001:db8:"].iter().any(|start| ip.to_string().starts_with(start));
    words.filter(of_pool).collect()
}

fn serves(ip: IpAddr) -> bool {
    http::get(SocketAddr::new(ip, 80), "a", "/httpbin/get").is_ok_and(|response| response.status == 200)
}

/// Everything that arrives at one interface.
struct Listener {
    packets: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Listener {
    fn at(interface: &str) -> Self {
        let (packets, stop) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<AtomicBool>::default());
        let index = usize::try_from(if_nametoindex(interface).unwrap()).unwrap();
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(50)).unwrap();
        let (found, stopped) = (Arc::clone(&packets), Arc::clone(&stop));
        let listening = move || {
            let mut room = [0; 2048];
            while !stopped.load(Ordering::SeqCst) {
                if let Ok((length, Some(from))) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut room)
                    && from.ifindex() == index
                {
                    found.lock().unwrap().push(room[..length].to_vec());
                }
            }
        };
        Self { packets, stop, thread: Some(thread::spawn(listening)) }
    }

    /// Waits for a packet to every station that announces the address.
    fn wait_for(&self, what: &str, announced: IpAddr) {
        let packets = || self.packets.lock().unwrap();
        wait::until(what, || packets().iter().any(|packet| is_announcement(packet, announced)).then_some(()));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().map(thread::JoinHandle::join);
    }
}

/// An ARP request for its sender's own address, or an unsolicited advertisement that overrides.
fn is_announcement(packet: &[u8], ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            packet.len() >= 42
                && packet[..6] == [0xff; 6]
                && packet[12..14] == [8, 6]
                && packet[20..22] == [0, 1]
                && packet[22..28] == packet[6..12]
                && packet[28..32] == ip.octets()
                && packet[38..42] == ip.octets()
        }
        IpAddr::V6(ip) => {
            // Ethernet, then IPv6 with a hop limit of 255, then ICMPv6.
            packet.len() >= 86
                && packet[..6] == [0x33, 0x33, 0, 0, 0, 1]
                && packet[12..14] == [0x86, 0xdd]
                && packet[20..22] == [58, 255]
                && packet[22..38] == ip.octets()
                && packet[54] == 136
                && packet[56..58] != [0, 0]
                && packet[58] & 0xe0 == 0x20
                && packet[62..78] == ip.octets()
                && packet[78..80] == [2, 1]
                && packet[80..86] == packet[6..12]
        }
    }
}

/// A cable between two interfaces, the near one for the pool.
fn cable() -> Listener {
    ip("link add near type veth peer name far");
    ip("link set near up");
    ip("link set far up");
    // Somebody else's, of the pool: it is used by nobody here and stays.
    ip("addr add 192.0.2.200/32 dev near");
    Listener::at("far")
}

fn of_gateway() -> Option<(IpAddr, IpAddr)> {
    let mut all = present();
    all.retain(|ip| ip.to_string() != "192.0.2.200");
    let (v4, v6) = (all.iter().find(|ip| ip.is_ipv4())?, all.iter().find(|ip| ip.is_ipv6())?);
    Some((*v4, *v6))
}

fn only_the_others_is_left() -> Option<()> {
    (present() == ["192.0.2.200".parse::<IpAddr>().unwrap()]).then_some(())
}

fn running(inside: &Inside) -> (Guarded, Running, IpAddr, IpAddr) {
    let (helper, running) = helper::start(inside, &HELPER, &NODE);
    let (v4, v6) = wait::until("addresses", of_gateway);
    wait::until("both to be served", || (serves(v4) && serves(v6)).then_some(()));
    (helper, running, v4, v6)
}

#[test]
fn addresses_are_put_announced_and_taken_off_for_a_user_without_any_right() {
    netns::run("helper-pool", |inside| {
        let far = cable();
        let (helper, mut running, v4, v6) = running(inside);
        far.wait_for("the ARP request", v4);
        far.wait_for("the neighbour advertisement", v6);
        must_have_no_right(running.gateway.pid());
        must_be_confined(&helper);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success(), "{}", running.log());
        wait::until("the end", only_the_others_is_left);
        assert!(!running.log().contains("addresses stay"), "{}", running.log());
    });
}

#[test]
fn addresses_of_a_gateway_that_is_killed_are_taken_off_and_come_back_with_the_next() {
    netns::run("helper-pool-kill", |inside| {
        let _far = cable();
        let (_helper, mut running, v4, v6) = running(inside);
        running.gateway.signal(Signal::SIGKILL).unwrap();
        running.gateway.wait();
        wait::until("the end", only_the_others_is_left);
        running.gateway = start_node(inside, running.config.path(), &NODE);
        assert_eq!(wait::until("addresses", of_gateway), (v4, v6), "a Gateway keeps its own");
    });
}

#[test]
fn a_helper_that_is_started_again_knows_the_addresses_of_the_one_before() {
    netns::run("helper-pool-again", |inside| {
        let _far = cable();
        let (mut helper, mut running, v4, v6) = running(inside);
        helper.signal(Signal::SIGKILL).unwrap();
        helper.wait();
        assert_eq!(of_gateway(), Some((v4, v6)));
        let mut helper = start_helper(inside, &HELPER);
        for ip in [v4, v6] {
            helper.wait_for_output(&format!("{ip} is on the interface"));
        }
        assert!(serves(v4) && serves(v6));
        running.gateway.signal(Signal::SIGKILL).unwrap();
        running.gateway.wait();
        wait::until("the end", only_the_others_is_left);
    });
}

#[test]
fn whoever_takes_over_keeps_the_addresses() {
    netns::run("helper-pool-line", |inside| {
        let _far = cable();
        let (_helper, mut running, v4, v6) = running(inside);
        for helped in [true, false, true, false] {
            let config = running.config.path();
            let mut new = match helped {
                true => Guarded::spawn(&mut node_command(inside, config, &NODE)).unwrap(),
                false => spawn_gateway(inside, config, &NODE),
            };
            new.wait_for_output("took over from sluice");
            let mut old = std::mem::replace(&mut running.gateway, new);
            assert!(old.wait().success(), "{}", old.output());
            assert_eq!(of_gateway(), Some((v4, v6)), "{}", running.log());
            assert!(serves(v4) && serves(v6));
        }
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success(), "{}", running.log());
        wait::until("the end", only_the_others_is_left);
    });
}
