//! Programs of another process, by their descriptors.

use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use aya::maps::{Map, MapData, MapError, PerCpuArray, SockMap};
use gateway_common::{IPPROTO_TCP, STAND_BY, SteerKey, maps, programs};

use crate::bpf::{Binds, add_bind, at, put_socket, remove_bind, sum};
use crate::gauge::Loads;
use crate::{Counters, LentDescriptors, raw};

/// Programs that another process has loaded for this one, which has no right: maps by their descriptors.
pub(crate) struct ReceivedPrograms {
    loads: Arc<Loads>,
    binds: Binds<MapData>,
    sockets: SockMap<MapData>,
    verdicts: PerCpuArray<MapData, u64>,
    chooser: OwnedFd,
}

impl ReceivedPrograms {
    /// The objects that the descriptors lead to.
    pub(crate) fn open(descriptors: LentDescriptors) -> Result<Self, String> {
        let LentDescriptors { binds, sockets, loads, verdicts, chooser } = descriptors;
        let loads = Loads::map(loads.as_fd()).map_err(|e| format!("mmap of gauges: {e}"))?;
        let (binds, sockets) = (received(binds, maps::BINDS)?, received(sockets, maps::SOCKETS)?);
        let mut received =
            Self { loads, binds, sockets, verdicts: received(verdicts, maps::VERDICTS)?, chooser };
        // As `OwnPrograms` does, and here it is what kernels before 5.19 may refuse to those without rights.
        let nobodys = SteerKey::any(0, IPPROTO_TCP);
        received.add(nobodys)?;
        received.remove(nobodys)?;
        received.counters()?;
        Ok(received)
    }

    pub(crate) fn set_slot(&mut self, slot: u32, socket: &TcpListener) -> Result<(), String> {
        self.loads.store(slot, 0);
        put_socket(&mut self.sockets, slot, socket)
    }

    /// Makes a socket the stand-by, in place of another one.
    pub(crate) fn set_stand_by(&mut self, socket: &TcpListener) -> Result<(), String> {
        put_socket(&mut self.sockets, STAND_BY, socket)
    }

    pub(crate) fn choose_in_group_of(&self, socket: &TcpListener) -> Result<(), String> {
        let what = || format!("attaching {} to the workers' sockets", programs::SK_REUSEPORT);
        raw::choose_by(&self.chooser, socket).map_err(|e| at(what(), &e))
    }

    pub(crate) fn add(&mut self, key: SteerKey) -> Result<(), String> {
        add_bind(&mut self.binds, key)
    }

    pub(crate) fn remove(&mut self, key: SteerKey) -> Result<(), String> {
        remove_bind(&mut self.binds, key)
    }

    pub(crate) fn counters(&self) -> Result<Counters, String> {
        sum(&self.verdicts)
    }

    pub(crate) fn loads(&self) -> Arc<Loads> {
        Arc::clone(&self.loads)
    }
}

/// A map by its descriptor, which must be of the kind that the name says.
fn received<M: TryFrom<Map, Error = MapError>>(descriptor: OwnedFd, name: &str) -> Result<M, String> {
    let map = MapData::from_fd(descriptor).and_then(Map::from_map_data).and_then(M::try_from);
    map.map_err(|e| at(format!("map {name} as it was received"), &e))
}
