use std::process::Command;

use gateway_testkit::netns;

use super::*;

#[test]
fn packets_are_those_of_the_standards() {
    let (hardware, ip) = ([2, 0, 0, 0, 0, 9], Ipv4Addr::new(192, 0, 2, 7));
    let probe = arp_probe(hardware, ip);
    assert_eq!(probe, [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7]);
    assert_eq!(arp_claim(&probe), Some((ip, hardware)), "another one that is about to have it");
    let mut reply = arp(hardware, ip);
    reply[7] = 2;
    assert_eq!(arp_claim(&reply), Some((ip, hardware)));
    for length in 0..28 {
        assert_eq!(arp_claim(&reply[..length]), None);
    }
    let six: Ipv6Addr = "2001:db8::1234:5678".parse().unwrap();
    let packet = solicitation(six);
    assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 24, 58, 255]);
    assert_eq!(packet[8..24], [0; 16]);
    assert_eq!(
        Ipv6Addr::from(<[u8; 16]>::try_from(&packet[24..40]).unwrap()).to_string(),
        "ff02::1:ff34:5678"
    );
    assert_eq!((packet[40], packet[41]), (135, 0));
    assert_eq!(packet[48..], six.octets());
    // RFC 4443: the sum of a whole message is all ones.
    let group = "ff02::1:ff34:5678".parse().unwrap();
    assert_eq!(crate::announce::checksum(Ipv6Addr::UNSPECIFIED, group, &packet[40..]), 0);
    let mut advertisement = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    advertisement.extend(six.octets());
    assert_eq!(advertised(&advertisement), Some((six, [0; 6])));
    advertisement.extend([2, 1, 2, 0, 0, 0, 0, 9]);
    assert_eq!(advertised(&advertisement), Some((six, hardware)));
    for length in 0..advertisement.len() {
        assert!(advertised(&advertisement[..length]).is_none_or(|(ip, _)| ip == six), "{length}");
    }
}

#[test]
fn whatever_arrives_is_taken_or_left() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    let mut options = 0;
    for round in 0..200_000 {
        let length = usize::from(next()) % 80;
        let mut bytes: Vec<u8> = (0..length).map(|_| next()).collect();
        if round % 2 == 0 && length > 24 {
            bytes[..2].copy_from_slice(&[136, 0]);
            bytes[25 % length] %= 4;
        }
        options += usize::from(advertised(&bytes).is_some());
        let _ = arp_claim(&bytes);
    }
    assert!(options > 100, "{options}");
}

fn ip(args: &str) {
    assert!(Command::new("ip").args(args.split(' ')).status().unwrap().success(), "ip {args}");
}

/// A cable between this namespace and another one, whose end has the addresses.
fn with_cable(label: &str, there: &'static [&'static str], body: impl FnOnce() + Send + 'static) {
    netns::run(label, move |_| {
        ip("link add near type veth peer name far address 02:00:00:00:00:77");
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (asked, may_move) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            netns::run("far", move |_| {
                ready.send(thread_id()).unwrap();
                may_move.recv().unwrap();
                ip("link set far up");
                for one in there {
                    let nodad = if one.contains(':') { " nodad" } else { "" };
                    ip(&format!("addr add {one} dev far{nodad}"));
                }
                ready.send(0).unwrap();
                let _ = receiver.recv();
            });
        });
        let thread: i32 = is_ready.recv().unwrap();
        ip(&format!("link set far netns {thread}"));
        ip("link set near up");
        asked.send(()).unwrap();
        is_ready.recv().unwrap();
        body();
        drop(sender);
        other.join().unwrap();
    });
}

fn thread_id() -> i32 {
    nix::unistd::gettid().as_raw()
}

#[test]
fn an_address_of_another_host_is_found_and_a_free_one_is_not() {
    with_cable("check", &["192.0.2.7/24", "2001:db8::7/64"], || {
        let mut check = AddressCheck::open().unwrap();
        let addresses: Vec<IpAddr> =
            ["192.0.2.7", "2001:db8::7", "192.0.2.8", "2001:db8::8"].map(|ip| ip.parse().unwrap()).into();
        let there = Some([2, 0, 0, 0, 0, 0x77]);
        // The link comes up while it is looked at.
        let found = |check: &mut AddressCheck| {
            addresses.iter().for_each(|ip| check.begin("near", *ip).unwrap());
            addresses.iter().map(|ip| check.finish("near", *ip).unwrap()).collect::<Vec<_>>()
        };
        gateway_testkit::wait::until("the other host", || {
            let found = found(&mut check);
            assert_eq!(found[2..], [None, None]);
            (found[..2] == [there, there]).then_some(())
        });
        assert!(check.begun.is_empty());
        assert_eq!(check.finish("lo", addresses[0]).unwrap(), None, "loopback has no neighbours");
        assert!(check.finish("none0", addresses[0]).is_err());
    });
}
