//! Gateways that ask for what is not theirs: the connection ends, nothing has changed, and others are served.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use gateway_helper::{MAX_PACKET, Reply, Request, Transport};
use gateway_ir::BindAddress;
use gateway_steer::BindWay;
use gateway_testkit::netns;
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, connect, recvmsg, send,
    socket,
};

use crate::common::helper::{self, as_user, helped_command, must_be_confined, start_helper};
use crate::common::steady::SteadyClients;
use crate::common::{HTTP, example};

/// A connection that sends whatever it likes.
struct Liar(OwnedFd);

impl Liar {
    fn connect(path: &Path) -> Self {
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        connect(socket.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
        Self(socket)
    }

    /// One that has been welcomed.
    fn greeted(path: &Path) -> Self {
        let liar = Self::connect(path);
        liar.send(&Request::hello().encode(0)).unwrap();
        assert!(matches!(liar.reply(), Some((Reply::Welcome(_), 0))));
        liar
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        Ok(send(self.0.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).map(drop)?)
    }

    /// The next reply and the number of descriptors with it; `None` at the end of the connection.
    fn reply(&self) -> Option<(Reply, usize)> {
        let (mut room, mut space) = (vec![0; MAX_PACKET], cmsg_space!([i32; 8]));
        let mut parts = [IoSliceMut::new(&mut room)];
        let received =
            recvmsg::<UnixAddr>(self.0.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty());
        let received = received.ok().filter(|received| received.bytes > 0)?;
        let length = received.bytes;
        let descriptors = received.cmsgs().unwrap().map(|message| match message {
            ControlMessageOwned::ScmRights(all) => all.len(),
            _ => 0,
        });
        let descriptors = descriptors.sum();
        Some((Reply::decode(&room[..length]).unwrap().1, descriptors))
    }

    /// The connection ends without another reply.
    #[track_caller]
    fn must_be_cut_off(&self, what: &str) {
        assert_eq!(self.reply(), None, "{what}");
    }
}

fn bind(address: &str, port: u16) -> Request {
    let address = match address {
        "*" => BindAddress::Any,
        ip => BindAddress::Ip(ip.parse().unwrap()),
    };
    Request::Bind { transport: Transport::Tcp, way: BindWay::Shared, address, port }
}

/// Requests beside what the helper's flags allow, each with a part of the line that it gets.
fn refused() -> Vec<(Vec<u8>, &'static str)> {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let udp_held =
        Request::Bind { transport: Transport::Udp, way: BindWay::Held, address: BindAddress::Any, port: 80 };
    let requests = [
        (bind("*", 22), "port 22 of every address"),
        (bind("127.0.0.1", 6443), "port 6443 of 127.0.0.1"),
        (bind("*", 81), "port 81 of every address"),
        (bind("*", 0), "port 0 of every address"),
        (bind("192.0.3.1", 22), "port 22 of 192.0.3.1"),
        (udp_held, "no UDP port"),
        (Request::PutAddress(ip("192.0.3.1")), "192.0.3.1 is no address"),
        (Request::RemoveAddress(ip("127.0.0.1")), "127.0.0.1 is no address"),
        (Request::Announce(ip("2001:db8::1")), "2001:db8::1 is no address"),
        (Request::PutAddress(ip("::ffff:192.0.2.1")), "::ffff:192.0.2.1 is no address"),
        (Request::Attach, "no programs to attach"),
        (Request::Load { workers: 0 }, "0 workers"),
        (Request::Load { workers: 257 }, "257 workers"),
        (Request::StandBy { port: 80, backlog: 1 }, "port 80 is none for the sockets of workers"),
        (Request::StandBy { port: 6443, backlog: 1 }, "port 6443 is none"),
        (Request::StandBy { port: 40_000, backlog: 1 }, "no programs that steer"),
        (Request::hello(), "a greeting comes first"),
    ];
    let mut all: Vec<_> = requests.map(|(request, line)| (request.encode(1), line)).into();
    let whole = bind("*", 80).encode(1);
    all.push((whole[..whole.len() - 1].to_vec(), "malformed"));
    all.push(([&whole[..], &[0]].concat(), "malformed"));
    all.push((vec![0; 66], "too long"));
    all.push((vec![0xff; 9], "malformed"));
    all
}

/// The helper's flags in these tests.
const FLAGS: [&str; 6] =
    ["--allowed-ports", "22,80,443,6443", "--address-pool", "192.0.2.0/24", "--address-interface", "lo"];

fn addresses() -> String {
    let output = std::process::Command::new("ip").args(["-o", "addr", "show", "lo"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn whoever_asks_for_what_is_not_theirs_is_cut_off_and_others_are_served() {
    netns::run("helper-liars", |inside| {
        let (mut helper, running) = helper::start(inside, &FLAGS, &["--steering", "ebpf"]);
        let path = helper::socket(inside);
        let before = addresses();
        let steady = SteadyClients::start(HTTP);
        for (bytes, line) in refused() {
            let liar = Liar::greeted(&path);
            liar.send(&bytes).unwrap();
            liar.must_be_cut_off(line);
            wait::until(line, || helper.output().contains(line).then_some(()));
        }
        let silent = Liar::connect(&path);
        silent.send(&bind("*", 80).encode(0)).unwrap();
        silent.must_be_cut_off("a request before the greeting");
        let newer = Liar::connect(&path);
        newer.send(&Request::Hello { protocol: 9 }.encode(0)).unwrap();
        newer.must_be_cut_off("another version");
        helper.wait_for_output("it speaks version 9");
        let twice = Liar::greeted(&path);
        twice.send(&Request::Load { workers: 1 }.encode(1)).unwrap();
        assert!(matches!(twice.reply(), Some((Reply::Done { .. }, 5))), "{}", helper.output());
        twice.send(&Request::Load { workers: 1 }.encode(2)).unwrap();
        twice.must_be_cut_off("programs twice");
        helper.wait_for_output("it has programs already");
        assert_eq!(addresses(), before);
        for port in [22, 81, 6443] {
            drop(TcpListener::bind(("127.0.0.1", port)).unwrap());
        }
        // Who asks for what is theirs is served.
        let honest = Liar::greeted(&path);
        honest.send(&bind("127.0.0.1", 443).encode(1)).unwrap();
        assert!(matches!(honest.reply(), Some((Reply::Done { .. }, 1))));
        let (transport, way, address) = (Transport::Udp, BindWay::Shared, BindAddress::Any);
        honest.send(&Request::Bind { transport, way, address, port: 443 }.encode(2)).unwrap();
        assert!(matches!(honest.reply(), Some((Reply::Done { .. }, 1))));
        steady.wait_for_more(50);
        steady.must_be_clean();
        must_be_confined(&helper);
        assert_eq!(running.wait_for_status("/httpbin/get", 200).status, 200);
        assert!(!running.log().contains("the helper is gone"), "{}", running.log());
    });
}

#[test]
fn a_flood_ends_with_its_connection_and_there_is_room_for_others() {
    netns::run("helper-flood", |inside| {
        let (mut helper, running) = helper::start(inside, &FLAGS, &["--steering", "ebpf"]);
        let path = helper::socket(inside);
        let flooding = Liar::greeted(&path);
        // It ends when the helper has had enough, and not by itself.
        let mut sent = 0_u32;
        while flooding.send(&Request::Detach.encode(sent)).is_ok() && flooding.reply().is_some() {
            sent += 1;
        }
        assert!(sent > 60_000, "{sent}: a gateway with many listeners needs thousands at once");
        helper.wait_for_output("too many requests");
        // Programs cost more.
        let loading = Liar::greeted(&path);
        let mut loads = 0_u32;
        let ask = |request: Request| loading.send(&request.encode(7)).is_ok() && loading.reply().is_some();
        while ask(Request::Load { workers: 1 }) && ask(Request::Detach) {
            loads += 1;
        }
        assert!((15..200).contains(&loads), "{loads}");
        // All places are taken, and then they are free again.
        let mut crowd: Vec<Liar> = (0..7).map(|_| Liar::greeted(&path)).collect();
        let late = Liar::connect(&path);
        late.must_be_cut_off("there is no room");
        helper.wait_for_output("8 connections are open");
        crowd.pop();
        wait::until("a place", || {
            let next = Liar::connect(&path);
            next.send(&Request::hello().encode(0)).ok()?;
            next.reply().map(drop)
        });
        assert_eq!(running.wait_for_status("/httpbin/get", 200).status, 200);
        assert!(!running.log().contains("the helper is gone"), "{}", running.log());
    });
}

#[test]
fn a_gateway_that_takes_no_reply_holds_nobody_up() {
    netns::run("helper-deaf", |inside| {
        let (mut helper, running) = helper::start(inside, &FLAGS, &["--steering", "ebpf"]);
        let deaf = Liar::greeted(&helper::socket(inside));
        // Until the helper has waited long enough for room.
        while deaf.send(&Request::Detach.encode(1)).is_ok() {}
        helper.wait_for_output("it takes no reply");
        assert_eq!(running.wait_for_status("/httpbin/get", 200).status, 200);
        assert!(!running.log().contains("the helper is gone"), "{}", running.log());
    });
}

#[test]
fn users_who_are_not_named_are_turned_away() {
    netns::run("helper-stranger", |inside| {
        let mut helper = start_helper(inside, &[]);
        let path = helper::socket(inside);
        // Of strangers who could get that far.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let state = inside.scratch().join("other").display().to_string();
        let mut command = helped_command(inside, &example(), &["--state-dir", &state]);
        let mut stranger = Guarded::spawn(&mut as_user(&command, 54_321)).unwrap();
        helper.wait_for_output("it runs as uid 54321, and this serves uid 65532");
        assert_eq!(stranger.wait().code(), Some(1), "{}", stranger.output());
        assert!(stranger.output().contains("--node-uid"), "{}", stranger.output());
        // And a helper that is not there is named.
        helper.signal(nix::sys::signal::Signal::SIGTERM).unwrap();
        helper.wait();
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("is `sluice helper` running"));
    });
}
