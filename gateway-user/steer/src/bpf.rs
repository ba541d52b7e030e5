//! The loaded kernel programs and their maps. Everything that names aya is here.

// `aya::Pod` is an unsafe trait: its types may be copied to and from map memory byte by byte.
#![allow(unsafe_code)]

use std::borrow::{Borrow, BorrowMut};
use std::error::Error;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, SockMap};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{ProgramError, SkLookup, SkReuseport};
use aya::{Ebpf, EbpfLoader, Pod};
use gateway_common::{
    IPPROTO_TCP, STAND_BY, STATE_SERVE, SteerConfig, SteerGuard, SteerKey, SteerValue, Verdict, globals,
    maps, programs,
};

use crate::gauge::Loads;
use crate::{Counters, LentDescriptors, object, raw};

/// A value of `gateway-common` in map memory.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct MapValue<T: Copy>(T);

// SAFETY: `repr(C)`, integers only, no padding (asserted in gateway-common): every bit pattern is a value.
unsafe impl Pod for MapValue<SteerKey> {}
// SAFETY: as above.
unsafe impl Pod for MapValue<SteerValue> {}
// SAFETY: as above.
unsafe impl Pod for MapValue<SteerConfig> {}
// SAFETY: as above.
unsafe impl Pod for MapValue<SteerGuard> {}

/// Programs that this process loads, attached to the calling thread's network namespace until this is dropped
/// and its pins are removed.
pub(crate) struct OwnPrograms {
    loads: Arc<Loads>,
    /// Holds programs and maps, so that they can be pinned at any time.
    ebpf: Ebpf,
    link: Option<LookupLink>,
}

/// The map of what is steered.
pub(crate) type Binds<M> = HashMap<M, MapValue<SteerKey>, MapValue<SteerValue>>;

/// Link that keeps `sk_lookup` attached: dropping it detaches, unless a pin holds on to the link as well. aya
/// tracks a pinned link by a type of its own; neither is looked into.
enum LookupLink {
    Unpinned(FdLink),
    Pinned(#[allow(dead_code, reason = "kept for its Drop")] PinnedLink),
}

impl OwnPrograms {
    /// Loads the programs for so many workers, with what they are never to steer frozen into them; attaches
    /// and pins nothing yet. An error says what the system refused, for people.
    pub(crate) fn load(workers: u32, guard: &SteerGuard) -> Result<Self, String> {
        let guard = MapValue(*guard);
        let mut loader = EbpfLoader::new();
        // Read-only data is a map that aya fills, makes read-only for programs and freezes (BPF_MAP_FREEZE).
        loader.override_global(globals::GUARD, &guard, true);
        let mut ebpf = loader.load(&object::object()?).map_err(|e| explain(&e))?;
        let lookup: &mut SkLookup = program(&mut ebpf, programs::SK_LOOKUP)?;
        lookup.load().map_err(|e| refused_program(programs::SK_LOOKUP, &e))?;
        let reuse: &mut SkReuseport = program(&mut ebpf, programs::SK_REUSEPORT)?;
        reuse.load().map_err(|e| refused_program(programs::SK_REUSEPORT, &e))?;
        let mut config: Array<&mut MapData, MapValue<SteerConfig>> = map_mut(&mut ebpf, maps::CONFIG)?;
        config.set(0, MapValue(SteerConfig { slots: workers }), 0).map_err(|e| explain(&e))?;
        let loads = match ebpf.map(maps::LOADS) {
            Some(Map::Array(data)) => {
                Loads::map(data.fd().as_fd()).map_err(|e| format!("mmap of gauges: {e}"))?
            }
            _ => return Err(format!("map {} of the object is not an array", maps::LOADS)),
        };
        let mut programs = Self { loads, ebpf, link: None };
        // A bind that no connection asks for: a map that takes none is better found now than with the first
        // listener.
        let nobodys = SteerKey::any(0, IPPROTO_TCP);
        programs.add(nobodys)?;
        programs.remove(nobodys)?;
        Ok(programs)
    }

    /// Puts a worker's listening socket into its slot.
    pub(crate) fn set_slot(&mut self, slot: u32, socket: &TcpListener) -> Result<(), String> {
        self.loads.store(slot, 0);
        let sockets: SockMap<&mut MapData> = map_mut(&mut self.ebpf, maps::SOCKETS)?;
        put_socket(sockets, slot, socket)
    }

    /// Makes `sk_reuseport` what chooses within the socket's group, in place of any other program.
    pub(crate) fn choose_in_group_of(&mut self, socket: &TcpListener) -> Result<(), String> {
        let reuse: &mut SkReuseport = program(&mut self.ebpf, programs::SK_REUSEPORT)?;
        let what = || format!("attaching {} to the workers' sockets", programs::SK_REUSEPORT);
        reuse.attach(socket).map_err(|e| at(what(), &e))
    }

    /// Attaches `sk_lookup` to the calling thread's network namespace: from here on binds are steered.
    pub(crate) fn attach(&mut self) -> Result<(), String> {
        let netns = File::open("/proc/thread-self/ns/net").map_err(|e| format!("network namespace: {e}"))?;
        let lookup: &mut SkLookup = program(&mut self.ebpf, programs::SK_LOOKUP)?;
        let what = || format!("attaching {} to the network namespace", programs::SK_LOOKUP);
        let id = lookup.attach(netns).map_err(|e| at(what(), &e))?;
        self.link = Some(LookupLink::Unpinned(FdLink::from(lookup.take_link(id).map_err(|e| explain(&e))?)));
        Ok(())
    }

    /// Gives every map and every program its name in `dir`.
    pub(crate) fn pin_maps_and_programs(&mut self, dir: &Path) -> Result<(), String> {
        pin(&mut self.ebpf, dir)
    }

    /// Gives every map, every program and the attached link its name in `dir`, the link last: a name for it
    /// without the others would keep steering alive that nobody can read.
    pub(crate) fn pin(&mut self, dir: &Path) -> Result<(), String> {
        self.pin_maps_and_programs(dir)?;
        if let Some(LookupLink::Unpinned(link)) = self.link.take() {
            match link.pin(dir.join(programs::SK_LOOKUP_LINK)) {
                Ok(link) => self.link = Some(LookupLink::Pinned(link)),
                Err(e) => {
                    // The attempt took the link along; steering goes on without a pin.
                    self.attach()?;
                    return Err(at(format!("pinning {}", programs::SK_LOOKUP_LINK), &e));
                }
            }
        }
        Ok(())
    }

    /// True if `sk_lookup` steers.
    pub(crate) fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    pub(crate) fn add(&mut self, key: SteerKey) -> Result<(), String> {
        let binds: Binds<&mut MapData> = map_mut(&mut self.ebpf, maps::BINDS)?;
        add_bind(binds, key)
    }

    /// Removes a bind; one that is not there is as good as removed.
    pub(crate) fn remove(&mut self, key: SteerKey) -> Result<(), String> {
        let binds: Binds<&mut MapData> = map_mut(&mut self.ebpf, maps::BINDS)?;
        remove_bind(binds, key)
    }

    pub(crate) fn counters(&self) -> Result<Counters, String> {
        let verdicts = self.ebpf.map(maps::VERDICTS).ok_or_else(|| no_map(maps::VERDICTS))?;
        let verdicts: PerCpuArray<&MapData, u64> = verdicts.try_into().map_err(|e: MapError| explain(&e))?;
        sum(&verdicts)
    }

    pub(crate) fn loads(&self) -> Arc<Loads> {
        Arc::clone(&self.loads)
    }

    /// Duplicates of the descriptors, for another process. Its descriptor of the verdicts is `to_read`, where
    /// that is given.
    pub(crate) fn lend(&self, to_read: Option<OwnedFd>) -> Result<LentDescriptors, String> {
        let duplicate = |name: &str| -> Result<OwnedFd, String> {
            let map = match self.ebpf.map(name) {
                Some(Map::HashMap(map) | Map::SockMap(map) | Map::Array(map) | Map::PerCpuArray(map)) => map,
                _ => return Err(no_map(name)),
            };
            duplicate(map.fd())
        };
        Ok(LentDescriptors {
            binds: duplicate(maps::BINDS)?,
            sockets: duplicate(maps::SOCKETS)?,
            loads: duplicate(maps::LOADS)?,
            verdicts: to_read.map_or_else(|| duplicate(maps::VERDICTS), Ok)?,
            chooser: self.program_descriptor(programs::SK_REUSEPORT)?,
        })
    }

    /// Attaches `sk_lookup` to the calling thread's network namespace for whoever gets the link.
    pub(crate) fn attach_for(&self) -> Result<OwnedFd, String> {
        let netns = File::open("/proc/thread-self/ns/net").map_err(|e| format!("network namespace: {e}"))?;
        let program = self.program_descriptor(programs::SK_LOOKUP)?;
        let what = || format!("attaching {} to the network namespace", programs::SK_LOOKUP);
        raw::attach(&program, &netns).map_err(|e| at(what(), &e))
    }

    fn program_descriptor(&self, name: &str) -> Result<OwnedFd, String> {
        let no_program = || format!("the object has no program {name}");
        let program = self.ebpf.program(name).ok_or_else(no_program)?;
        duplicate(program.fd().map_err(|e| explain(&e))?)
    }
}

fn duplicate(object: &impl AsFd) -> Result<OwnedFd, String> {
    object.as_fd().try_clone_to_owned().map_err(|e| format!("no descriptor is left: {e}"))
}

pub(crate) fn put_socket<M: BorrowMut<MapData>>(
    mut sockets: impl BorrowMut<SockMap<M>>,
    index: u32,
    socket: &TcpListener,
) -> Result<(), String> {
    let put = sockets.borrow_mut().set(index, socket, 0);
    let whose = || if index == STAND_BY { "stand-by".to_owned() } else { format!("worker {index}") };
    put.map_err(|e| at(format!("putting the socket of {} into map {}", whose(), maps::SOCKETS), &e))
}

pub(crate) fn add_bind<M: BorrowMut<MapData>>(
    mut binds: impl BorrowMut<Binds<M>>,
    key: SteerKey,
) -> Result<(), String> {
    let entered = binds.borrow_mut().insert(MapValue(key), MapValue(SteerValue { state: STATE_SERVE }), 0);
    entered.map_err(|e| at(format!("writing to map {}", maps::BINDS), &e))
}

pub(crate) fn remove_bind<M: BorrowMut<MapData>>(
    mut binds: impl BorrowMut<Binds<M>>,
    key: SteerKey,
) -> Result<(), String> {
    match binds.borrow_mut().remove(&MapValue(key)) {
        Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        done => done.map_err(|e| at(format!("writing to map {}", maps::BINDS), &e)),
    }
}

pub(crate) fn sum<M: Borrow<MapData>>(verdicts: &PerCpuArray<M, u64>) -> Result<Counters, String> {
    let mut counters = Counters::default();
    for verdict in Verdict::ALL {
        let per_cpu = verdicts.get(&verdict.index(), 0).map_err(|e| explain(&e))?;
        counters.set(verdict, per_cpu.iter().sum());
    }
    Ok(counters)
}

/// Pins every map and program under its own name.
fn pin(ebpf: &mut Ebpf, dir: &Path) -> Result<(), String> {
    let failed = |name: &str, e: &(dyn Error + 'static)| {
        format!("pinning {}: {}", dir.join(name).display(), explain(e))
    };
    for name in maps::ALL {
        let map = ebpf.map(name).ok_or_else(|| no_map(name))?;
        map.pin(dir.join(name)).map_err(|e| failed(name, &e))?;
    }
    for name in [programs::SK_LOOKUP, programs::SK_REUSEPORT] {
        let program = ebpf.program_mut(name).ok_or_else(|| format!("the object has no program {name}"))?;
        program.pin(dir.join(name)).map_err(|e| failed(name, &e))?;
    }
    Ok(())
}

fn map_mut<'a, M: TryFrom<&'a mut Map, Error = MapError>>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<M, String> {
    ebpf.map_mut(name).ok_or_else(|| no_map(name))?.try_into().map_err(|e: MapError| explain(&e))
}

fn no_map(name: &str) -> String {
    format!("the object has no map {name}")
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, String>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or_else(|| format!("the object has no program {name}"))?;
    program.try_into().map_err(|e| explain(&e))
}

/// One line for people: at what the kernel refused, why, and what would change its mind.
pub(crate) fn at(what: String, error: &(dyn Error + 'static)) -> String {
    format!("{what}: {}", explain(error))
}

/// The same where nothing has a name yet.
fn explain(error: &(dyn Error + 'static)) -> String {
    let errno = chain(error).find_map(|e| e.downcast_ref::<io::Error>()?.raw_os_error());
    match errno {
        Some(libc::EPERM) => {
            "no right to use BPF: needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and a \
                              seccomp profile that allows bpf(2)"
                .to_owned()
        }
        Some(libc::ENOSYS) => "this kernel has no bpf(2)".to_owned(),
        _ => {
            let mut text: Vec<String> = chain(error).map(ToString::to_string).collect();
            text.dedup_by(|later, earlier| earlier.contains(later.as_str()));
            text.join(": ")
        }
    }
}

/// Reason why a program was not loaded: in its verifier's words, if it has any.
fn refused_program(name: &str, error: &(dyn Error + 'static)) -> String {
    let rejection = chain(error).find_map(|e| match e.downcast_ref::<ProgramError>() {
        Some(ProgramError::LoadError { io_error, verifier_log }) => Some((io_error, verifier_log)),
        _ => None,
    });
    let Some((cause, log)) = rejection.filter(|(cause, _)| cause.raw_os_error() != Some(libc::EPERM)) else {
        return at(format!("loading {name}"), error);
    };
    let needs = "Linux 5.14 or later is needed";
    match last_line(&log.to_string()) {
        // Without CAP_PERFMON the verifier guards against speculation, which our pointers into
        // maps do not pass.
        Some(line) if line.contains("prohibited for !root") => {
            format!("no right to use BPF: CAP_PERFMON is missing, without which the verifier refuses {name}")
        }
        // A log that was cut off ends anywhere.
        Some(line) if cause.raw_os_error() != Some(libc::ENOSPC) => {
            format!("the verifier refused {name}: {line} ({needs})")
        }
        _ => format!("the kernel refused {name} without a word of its verifier: {cause} ({needs})"),
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |e: &&(dyn Error + 'static)| (*e).source())
}

/// The verifier's complaint: its last line that is no statistic.
fn last_line(log: &str) -> Option<String> {
    let statistic = |line: &&str| {
        ["processed ", "verification time ", "stack depth "].iter().any(|start| line.starts_with(start))
    };
    let line = log.lines().map(str::trim).rfind(|l| !l.is_empty() && !statistic(l))?;
    Some(line.to_owned())
}

#[cfg(test)]
mod tests {
    use aya::EbpfError;

    use super::*;

    #[test]
    fn the_verifiers_complaint_is_its_last_line_but_statistics() {
        let log = "0: (b7) r0 = 1\nR1 invalid mem access 'scalar'\nprocessed 12 insns (limit 1000000)\n\n";
        assert_eq!(last_line(log).as_deref(), Some("R1 invalid mem access 'scalar'"));
        assert_eq!(last_line("processed 0 insns"), None);
    }

    #[test]
    fn a_refused_right_names_the_rights_to_give() {
        let refused = MapError::CreateError {
            name: "BINDS".into(),
            io_error: io::Error::from_raw_os_error(libc::EPERM),
        };
        assert!(explain(&EbpfError::from(refused)).contains("CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"));
    }
}
