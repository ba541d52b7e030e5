//! Programs that one side loads and the other steers by, with descriptors alone.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aya::maps::{Map, MapData, PerCpuArray, PerCpuValues};
use common::{Workers, ask, ask_times, one_each, options, plan, refused, response};
use gateway_ir::BindAddress;
use gateway_steer::{
    BindWay, EnterStandBy, Helper, LendOptions, LentDescriptors, LentPrograms, PinState, SteerOptions,
    Steering, SteeringMode, Verdict, bind_for, bind_udp_for,
};
use gateway_testkit::netns::{self, Inside};

/// A helper in the same process.
#[derive(Debug)]
struct Lender {
    options: LendOptions,
    programs: Mutex<Option<LentPrograms>>,
    /// Those of a process that was killed.
    orphaned: Mutex<Option<LentPrograms>>,
    /// A duplicate of the verdicts' descriptor that was lent last.
    verdicts: Mutex<Option<OwnedFd>>,
}

impl Lender {
    fn new(bpffs: &Path, reserved: &[u16], allowed: Option<&[u16]>) -> Arc<Self> {
        let options = LendOptions {
            reserved_ports: reserved.iter().copied().collect(),
            allowed_ports: allowed.map(|ports| ports.iter().copied().collect()),
            pool: Vec::new(),
            bpffs: bpffs.to_owned(),
            layout: gateway_steer::LAYOUT_VERSION,
        };
        let (programs, orphaned, verdicts) = Default::default();
        Arc::new(Self { options, programs, orphaned, verdicts })
    }

    /// From now on the process that steers by the programs ends as if it were killed.
    fn kill(&self) {
        *self.orphaned.lock().unwrap() = self.take();
    }

    /// Connections that were sent to the stand-by of the process that was killed.
    fn stood_by(&self) -> Option<u64> {
        self.orphaned.lock().unwrap().as_ref().unwrap().stood_by()
    }

    fn take(&self) -> Option<LentPrograms> {
        self.programs.lock().unwrap().take()
    }
}

impl Helper for Lender {
    fn bind(&self, way: BindWay, address: BindAddress, port: u16) -> io::Result<OwnedFd> {
        bind_for(0, way, address, port)
    }

    fn bind_udp(&self, address: BindAddress, port: u16) -> io::Result<OwnedFd> {
        bind_udp_for(0, address, port)
    }

    fn load(&self, workers: u32) -> Result<LentDescriptors, String> {
        let loaded = LentPrograms::load(&self.options, "lent", workers)?;
        let descriptors = loaded.descriptors()?;
        *self.verdicts.lock().unwrap() = Some(descriptors.verdicts.as_fd().try_clone_to_owned().unwrap());
        *self.programs.lock().unwrap() = Some(loaded);
        Ok(descriptors)
    }

    fn attach(&self) -> Result<(OwnedFd, PinState), String> {
        let mut programs = self.programs.lock().unwrap();
        let programs = programs.as_mut().unwrap();
        Ok((programs.attach()?, programs.pin_state()))
    }

    fn detach(&self) {
        if let Some(programs) = self.take() {
            programs.detach().unwrap();
        }
    }

    fn stand_by(&self, link: &OwnedFd, port: u16, backlog: u32, enter: EnterStandBy<'_>) {
        let mut programs = self.programs.lock().unwrap();
        let adopt = || LentPrograms::adopt(link.try_clone().unwrap()).unwrap();
        let socket = programs.get_or_insert_with(adopt).stand_by(0, port, backlog).unwrap();
        enter(&socket.into()).unwrap();
    }

    fn dismiss(&self) {
        if let Some(programs) = self.programs.lock().unwrap().as_mut() {
            programs.dismiss();
        }
    }

    fn orphan(&self) -> Option<TcpListener> {
        let orphaned = self.orphaned.lock().unwrap();
        Some(orphaned.as_ref()?.stand_by_socket()?.try_clone().unwrap())
    }

    fn relieve(&self) {
        if let Some(programs) = self.orphaned.lock().unwrap().take() {
            programs.detach().unwrap();
        }
    }
}

/// Steering whose own settings forbid nothing.
fn open(inside: &Inside, lender: &Arc<Lender>) -> Steering {
    let helper: Arc<dyn Helper> = lender.clone();
    let options =
        SteerOptions { helper: Some(helper), reserved_ports: BTreeSet::new(), ..options(inside, 2) };
    Steering::open(SteeringMode::Ebpf, options).unwrap()
}

fn pins(inside: &Inside) -> Vec<PathBuf> {
    let dir = std::fs::read_dir(inside.bpffs().join("sluice/v3/lent")).into_iter().flatten();
    dir.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_the_lender_reserves_is_not_steered_whatever_the_borrower_writes() {
    netns::run("lent", |inside| {
        let lender = Lender::new(inside.bpffs(), &[7022], Some(&[7022, 7080]));
        let mut steering = open(inside, &lender);
        let _workers = Workers::start(one_each(&mut steering));
        // By its own settings it could have all of them.
        steering.apply(&plan(&["*:7022", "*:7080", "*:7081"])).unwrap();
        assert!(ask("127.0.0.1:7080").is_ok() && ask("[::1]:7080").is_ok());
        refused("127.0.0.1:7022");
        refused("127.0.0.1:7081");
        let counters = steering.counters().unwrap();
        assert_eq!((counters.get(Verdict::Reserved), counters.get(Verdict::Steered)), (2, 2));
        assert_eq!(pins(inside).len(), 8, "five maps, two programs and the link");
        drop(steering);
        refused("127.0.0.1:7080");
        assert!(pins(inside).is_empty());
    });
}

#[test]
fn programs_outlive_a_lender_that_lets_go_and_end_with_one_that_takes_them_off() {
    netns::run("lent-ends", |inside| {
        let lender = Lender::new(inside.bpffs(), &[], None);
        let mut steering = open(inside, &lender);
        let _workers = Workers::start(one_each(&mut steering));
        steering.apply(&plan(&["*:7080"])).unwrap();
        // As when its process ends.
        drop(lender.take());
        assert!(ask("127.0.0.1:7080").is_ok() && !steering.is_detached());
        assert!(pins(inside).is_empty(), "names go with it");
        steering.apply(&plan(&["*:7081"])).unwrap();
        assert!(ask("127.0.0.1:7081").is_ok());
        drop(steering);
        let mut steering = open(inside, &lender);
        let _workers = Workers::start(one_each(&mut steering));
        steering.apply(&plan(&["*:7080"])).unwrap();
        assert!(ask("127.0.0.1:7080").is_ok() && !steering.is_detached());
        lender.detach();
        refused("127.0.0.1:7080");
        assert!(steering.is_detached());
    });
}

#[test]
fn verdicts_are_lent_to_read_alone_where_there_is_a_bpffs() {
    netns::run("lent-verdicts", |inside| {
        let none = inside.scratch().join("none");
        for (bpffs, writable) in [(inside.bpffs(), false), (none.as_path(), true)] {
            let lender = Lender::new(bpffs, &[], None);
            let steering = open(inside, &lender);
            let verdicts = lender.verdicts.lock().unwrap().take().unwrap();
            let map = Map::from_map_data(MapData::from_fd(verdicts).unwrap()).unwrap();
            let mut verdicts: PerCpuArray<MapData, u64> = map.try_into().unwrap();
            let read = verdicts.get(&0, 0).unwrap();
            let values = PerCpuValues::try_from(read.iter().map(|_| 7).collect::<Vec<u64>>()).unwrap();
            assert_eq!(verdicts.set(0, values, 0).is_ok(), writable, "{}", bpffs.display());
            assert_eq!(
                matches!(
                    steering.path(),
                    gateway_steer::SteeringPath::Ebpf { pins: PinState::Pinned(_), .. }
                ),
                !writable
            );
        }
    });
}

#[test]
fn a_map_of_another_kind_is_no_map_of_ours() {
    /// Lends the loads for the binds.
    #[derive(Debug)]
    struct Confused(Arc<Lender>);

    impl Helper for Confused {
        fn bind(&self, way: BindWay, address: BindAddress, port: u16) -> io::Result<OwnedFd> {
            self.0.bind(way, address, port)
        }

        fn bind_udp(&self, address: BindAddress, port: u16) -> io::Result<OwnedFd> {
            self.0.bind_udp(address, port)
        }

        fn load(&self, workers: u32) -> Result<LentDescriptors, String> {
            let lent = self.0.load(workers)?;
            let binds = lent.loads.as_fd().try_clone_to_owned().unwrap();
            Ok(LentDescriptors { binds, ..lent })
        }

        fn attach(&self) -> Result<(OwnedFd, PinState), String> {
            self.0.attach()
        }

        fn detach(&self) {
            self.0.detach();
        }

        fn stand_by(&self, link: &OwnedFd, port: u16, backlog: u32, enter: EnterStandBy<'_>) {
            self.0.stand_by(link, port, backlog, enter);
        }

        fn dismiss(&self) {
            self.0.dismiss();
        }

        fn orphan(&self) -> Option<TcpListener> {
            self.0.orphan()
        }

        fn relieve(&self) {
            self.0.relieve();
        }
    }

    netns::run("lent-kind", |inside| {
        let helper: Arc<dyn Helper> = Arc::new(Confused(Lender::new(inside.bpffs(), &[], None)));
        let options = SteerOptions { helper: Some(helper), ..options(inside, 1) };
        let error = Steering::open(SteeringMode::Ebpf, options).unwrap_err().to_string();
        assert!(error.contains("map BINDS as it was received"), "{error}");
    });
}

/// Connections that nobody has accepted yet.
fn connect(count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect("127.0.0.1:7080").unwrap()).collect()
}

#[test]
fn connections_to_a_killed_process_wait_for_the_next_one() {
    netns::run("lent-killed", |inside| {
        let lender = Lender::new(inside.bpffs(), &[], None);
        let mut killed = open(inside, &lender);
        let sockets = one_each(&mut killed);
        killed.apply(&plan(&["*:7080"])).unwrap();
        // Some wait in the queues of its workers, some come while there is no process, some while the next one starts.
        let mut waiting = connect(20);
        assert_eq!(killed.counters().unwrap().get(Verdict::StoodBy), 0, "its workers have sockets");
        lender.kill();
        drop((killed, sockets));
        assert_eq!(lender.stood_by(), Some(20));
        waiting.extend(connect(20));
        let mut next = open(inside, &lender);
        let workers = Workers::start(one_each(&mut next));
        waiting.extend(connect(20));
        assert_eq!((lender.stood_by(), workers.accepted()), (Some(60), vec![0, 0]), "it knows no bind yet");
        next.apply(&plan(&["*:7080"])).unwrap();
        for stream in waiting {
            response(stream).unwrap();
        }
        let accepted = workers.accepted();
        assert!(
            accepted.iter().sum::<u64>() == 60 && accepted.iter().all(|count| *count > 10),
            "{accepted:?}"
        );
        assert!(lender.orphaned.lock().unwrap().is_none(), "the lender is relieved");
        ask_times(20, "127.0.0.1:7080");
        let counters = next.counters().unwrap();
        assert_eq!((counters.get(Verdict::Steered), counters.get(Verdict::Picked)), (20, 20));
        assert_eq!((counters.get(Verdict::Migrated), counters.get(Verdict::StoodBy)), (60, 0));
    });
}

#[test]
fn a_process_that_lets_go_of_its_sockets_has_connections_refused() {
    netns::run("lent-dismissed", |inside| {
        let lender = Lender::new(inside.bpffs(), &[], None);
        let mut steering = open(inside, &lender);
        let workers = Workers::start(one_each(&mut steering));
        steering.apply(&plan(&["*:7080"])).unwrap();
        ask("127.0.0.1:7080").unwrap();
        steering.release();
        drop(workers);
        refused("127.0.0.1:7080");
        assert_eq!(steering.counters().unwrap().get(Verdict::StoodBy), 0);
    });
}

#[test]
fn connections_that_no_worker_could_have_move_to_the_next_one() {
    netns::run("lent-refill", |inside| {
        let lender = Lender::new(inside.bpffs(), &[], None);
        let mut steering = open(inside, &lender);
        let sockets = one_each(&mut steering);
        steering.apply(&plan(&["*:7080"])).unwrap();
        // Both workers die.
        drop(sockets);
        let waiting = connect(10);
        let _workers = Workers::start(vec![steering.refill(0).unwrap()]);
        for stream in waiting {
            response(stream).unwrap();
        }
        assert_eq!(steering.counters().unwrap().get(Verdict::StoodBy), 10);
        ask_times(10, "127.0.0.1:7080");
    });
}

#[test]
fn a_lender_that_comes_anew_keeps_what_the_one_before_has_loaded() {
    netns::run("lent-adopted", |inside| {
        let lender = Lender::new(inside.bpffs(), &[], None);
        let mut killed = open(inside, &lender);
        let workers = Workers::start(one_each(&mut killed));
        killed.apply(&plan(&["*:7080"])).unwrap();
        // As when its process ends, and another one is started.
        drop(lender.take());
        killed.renew_stand_by();
        ask_times(10, "127.0.0.1:7080");
        lender.kill();
        drop((killed, workers));
        let waiting = connect(20);
        assert_eq!(lender.stood_by(), None, "who has not loaded them cannot say");
        let mut next = open(inside, &lender);
        let _workers = Workers::start(one_each(&mut next));
        next.apply(&plan(&["*:7080"])).unwrap();
        for stream in waiting {
            response(stream).unwrap();
        }
        assert_eq!(next.counters().unwrap().get(Verdict::Migrated), 20);
    });
}

#[test]
fn only_the_link_of_a_lookup_is_adopted() {
    netns::run("lent-link", |inside| {
        let lender = Lender::new(inside.bpffs(), &[], None);
        let _steering = open(inside, &lender);
        let map = lender.verdicts.lock().unwrap().take().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap().into();
        for descriptor in [map, socket] {
            let error = LentPrograms::adopt(descriptor).unwrap_err();
            assert!(error.contains("no link"), "{error}");
        }
    });
}
