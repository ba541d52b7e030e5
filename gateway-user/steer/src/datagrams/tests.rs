use std::net::Ipv4Addr;

use gateway_ir::Transport;

use super::*;
use crate::sockets;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn datagrams() -> Datagrams {
    Datagrams::new(&SteerOptions::new(2, "datagrams".to_owned()), None)
}

/// A port that nobody has on any address, for as long as no other test takes it.
fn free_port() -> u16 {
    UdpSocket::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

fn any(port: u16) -> SteerBind {
    SteerBind::any(port).over(Transport::Udp)
}

fn here(port: u16) -> SteerBind {
    SteerBind::exact(SocketAddr::new(HERE, port)).over(Transport::Udp)
}

fn locals(sockets: &[UdpSocket]) -> BTreeSet<IpAddr> {
    sockets.iter().map(|socket| socket.local_addr().unwrap().ip()).collect()
}

#[test]
fn each_worker_has_a_socket_on_every_address_and_none_on_the_wildcard() {
    let (mut datagrams, port) = (datagrams(), free_port());
    let plan: SteerPlan = [any(port)].into_iter().collect();
    let (workers, refused) = datagrams.prepare(&plan);
    assert_eq!((workers.len(), refused), (2, Vec::new()));
    let [one, other] = workers.as_slice() else { panic!() };
    assert!(locals(one).contains(&HERE) && locals(one) == locals(other));
    assert!(locals(one).iter().all(|ip| !ip.is_unspecified()));
    datagrams.apply(&plan);
    assert!(datagrams.is_live(any(port)) && !datagrams.is_behind());
    assert_eq!(locals(&datagrams.refill(1).unwrap()), locals(other));
}

fn ports(sockets: &[UdpSocket]) -> Vec<u64> {
    sockets.iter().map(|socket| sockets::inode(socket).unwrap()).collect()
}

/// The next process with so many workers, and each worker's sockets of one address.
fn next(old: &Datagrams, workers: usize, plan: &SteerPlan) -> (Datagrams, Vec<Vec<u64>>) {
    let mut next = Datagrams::new(&SteerOptions::new(workers, "next".to_owned()), None);
    next.inherit(old.lend().unwrap());
    let (prepared, refused) = next.prepare(plan);
    assert!(prepared.iter().all(Vec::is_empty) && refused.is_empty(), "the old process receives");
    next.apply(plan);
    assert!(next.refill(0).unwrap().is_empty(), "also if a worker dies");
    let (workers, failed) = next.finish_takeover();
    assert!(failed.is_empty(), "{failed:?}");
    (next, workers.iter().map(|sockets| ports(sockets)).collect())
}

#[test]
fn the_sockets_of_the_process_before_stay_in_use_and_in_order() {
    let (mut first, port) = (datagrams(), free_port());
    let plan: SteerPlan = [here(port)].into_iter().collect();
    let workers = first.prepare(&plan).0;
    first.apply(&plan);
    let [one, other] = [0, 1].map(|slot| ports(&workers[slot])[0]);
    let (second, workers) = next(&first, 2, &plan);
    assert_eq!(workers, [vec![one], vec![other]]);
    let (third, workers) = next(&second, 1, &plan);
    assert_eq!(workers, [vec![one, other]]);
    assert_eq!(ports(&third.refill(0).unwrap()), [one, other]);
    let (_, workers) = next(&third, 3, &plan);
    assert_eq!(workers[..2], [vec![one], vec![other]]);
    assert_eq!(workers[2].len(), 1, "a new one for the worker that has none");
}

/// The address stays bound by the same sockets, whichever bind it is of.
#[test]
fn an_address_moves_to_a_bind_of_its_own_and_back() {
    let (mut datagrams, port) = (datagrams(), free_port());
    let first: SteerPlan = [any(port)].into_iter().collect();
    let held = datagrams.prepare(&first).0;
    datagrams.apply(&first);
    let both: SteerPlan = [any(port), here(port)].into_iter().collect();
    let (workers, refused) = datagrams.prepare(&both);
    assert!(workers.iter().all(Vec::is_empty) && refused.is_empty());
    assert_eq!(datagrams.retiring(&both), []);
    datagrams.apply(&both);
    assert!(datagrams.is_live(here(port)));
    let last: SteerPlan = [here(port)].into_iter().collect();
    let (workers, _) = datagrams.prepare(&last);
    assert!(workers.iter().all(Vec::is_empty));
    let gone: BTreeSet<IpAddr> = datagrams.retiring(&last).into_iter().map(|address| address.ip()).collect();
    let others = |all: &[UdpSocket]| locals(all).into_iter().filter(|ip| *ip != HERE).collect();
    assert_eq!(gone, others(&held[0]));
    datagrams.apply(&last);
    assert_eq!(datagrams.refill(0).unwrap().len(), 1);
}

#[test]
fn an_address_that_another_program_has_is_left_out_and_refused_if_it_is_all() {
    let taken = UdpSocket::bind((HERE, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut datagrams = datagrams();
    let plan: SteerPlan = [here(port)].into_iter().collect();
    let (workers, refused) = datagrams.prepare(&plan);
    assert!(workers.iter().all(Vec::is_empty));
    assert_eq!(refused.first().map(|one| one.reason), Some(RejectionReason::InUse));
    assert!(refused[0].message.contains(&format!("127.0.0.1:{port}")), "{refused:?}");
    let plan: SteerPlan = [any(port)].into_iter().collect();
    let (workers, refused) = datagrams.prepare(&plan);
    assert!(!locals(&workers[0]).contains(&HERE));
    assert_eq!(refused.is_empty(), !workers[0].is_empty(), "served on the others, if there are any");
}
