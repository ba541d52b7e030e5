//! The helper's side: programs that it loads for another process.

use std::collections::BTreeSet;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use gateway_common::Verdict;
use gateway_common::maps::VERDICTS;
use gateway_common::programs::SK_LOOKUP_LINK;
use gateway_ir::BindAddress;
use ipnet::IpNet;

use crate::bpf::OwnPrograms;
use crate::pins::{PinError, Pins};
use crate::{LentDescriptors, PinState, SteerOptions, raw, sockets};

/// Settings of the programs that a helper lends: its own, whatever the other process would like.
#[derive(Clone, Debug)]
pub struct LendOptions {
    /// Ports that the programs never steer on an address of the node.
    pub reserved_ports: BTreeSet<u16>,
    /// Ports that may be steered; `None` is all.
    pub allowed_ports: Option<BTreeSet<u16>>,
    /// Networks on whose addresses any port may be steered.
    pub pool: Vec<IpNet>,
    /// Directory that bpffs is mounted at.
    pub bpffs: PathBuf,
    /// Version of the maps' layout, as in [`SteerOptions`].
    pub layout: u32,
}

/// Programs that were loaded for another process. Dropping it lets go of them without taking them off: the
/// other process may hold the link.
pub struct LentPrograms {
    /// `None` if another process has loaded them.
    programs: Option<OwnPrograms>,
    pins: Result<Pins, String>,
    link: Option<OwnedFd>,
    stand_by: Option<TcpListener>,
}

impl LentPrograms {
    /// Loads programs for so many workers under the name of `instance`.
    ///
    /// # Errors
    /// The kernel refuses; one line for people.
    pub fn load(options: &LendOptions, instance: &str, workers: u32) -> Result<Self, String> {
        let mut reserved_ports = options.reserved_ports.clone();
        if let Some(allowed) = &options.allowed_ports {
            reserved_ports.extend((0..=u16::MAX).filter(|port| !allowed.contains(port)));
        }
        let (pool, bpffs) = (options.pool.clone(), options.bpffs.clone());
        let usual = SteerOptions::new(1, instance);
        let options = SteerOptions { reserved_ports, pool, bpffs, layout: options.layout, ..usual };
        options.validate().map_err(|error| error.to_string())?;
        let guard = options.guard().ok_or("the pool has too many networks")?;
        let pins = match Pins::claim(&options.bpffs, options.layout, instance) {
            Ok(pins) => Ok(pins),
            Err(PinError::NoPlace(reason)) => Err(reason),
            Err(PinError::Busy { dir, .. }) => Err(format!("{} is in use", dir.display())),
        };
        let mut programs = OwnPrograms::load(workers, &guard)?;
        let pins = pins.and_then(|pins| programs.pin_maps_and_programs(&pins.place()).map(|()| pins));
        Ok(Self { programs: Some(programs), pins, link: None, stand_by: None })
    }

    /// Programs that a lender before this one has loaded and attached, by the link that the other process has of it: they
    /// stay attached as long as this is there, too.
    ///
    /// # Errors
    /// It is not the link of such programs.
    pub fn adopt(link: OwnedFd) -> Result<Self, String> {
        match raw::is_lookup(&link) {
            Ok(true) => {
                let pins = Err("the helper that loaded them is gone".to_owned());
                Ok(Self { programs: None, pins, link: Some(link), stand_by: None })
            }
            Ok(false) => Err("it is no link of programs that steer".to_owned()),
            Err(error) => Err(format!("it is no link: {error}")),
        }
    }

    fn loaded(&self) -> Result<&OwnPrograms, String> {
        self.programs.as_ref().ok_or_else(|| "another helper has loaded them".to_owned())
    }

    /// Descriptors for the other process.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn descriptors(&self) -> Result<LentDescriptors, String> {
        let to_read =
            self.pins.as_ref().ok().and_then(|pins| raw::open_to_read(&pins.place().join(VERDICTS)).ok());
        self.loaded()?.lend(to_read)
    }

    /// Attaches the programs to the calling thread's network namespace and gives the link.
    ///
    /// # Errors
    /// The kernel refuses; one line for people.
    pub fn attach(&mut self) -> Result<OwnedFd, String> {
        let link = self.loaded()?.attach_for()?;
        let given =
            link.as_fd().try_clone_to_owned().map_err(|error| format!("no descriptor is left: {error}"));
        // Without the name the link is found by its number alone (`bpftool link`).
        let named = self.pins.as_ref().map_err(Clone::clone);
        let named = named.and_then(|pins| {
            let path = pins.place().join(SK_LOOKUP_LINK);
            raw::pin(&link, &path).map_err(|error| format!("pinning {SK_LOOKUP_LINK}: {error}"))
        });
        if let Err(reason) = named {
            self.pins = Err(reason);
        }
        self.link = Some(link);
        given
    }

    /// Makes the stand-by, in place of one that there is: a listening socket of `uid`, in the group of the other process's
    /// workers on `port`. Once that process has entered the duplicate in its map, connections wait there, up to `backlog`
    /// of them, while no worker has a socket. Those that wait in the one before move to workers.
    ///
    /// # Errors
    /// The system refuses the socket.
    pub fn stand_by(&mut self, uid: u32, port: u16, backlog: u32) -> io::Result<OwnedFd> {
        let socket = sockets::bind_as(BindAddress::Any, port, Some(uid))?;
        sockets::start(&socket, backlog)?;
        let duplicate = socket.as_fd().try_clone_to_owned()?;
        self.stand_by = Some(socket);
        Ok(duplicate)
    }

    /// Closes the stand-by. What waits there moves to whoever has sockets in the group, or is reset.
    pub fn dismiss(&mut self) {
        self.stand_by = None;
    }

    /// The stand-by, if there is one.
    pub fn stand_by_socket(&self) -> Option<&TcpListener> {
        self.stand_by.as_ref()
    }

    /// Number of connections that were sent to a stand-by so far; `None` if nobody can say.
    pub fn stood_by(&self) -> Option<u64> {
        let counters = self.loaded().and_then(OwnPrograms::counters).ok()?;
        Some(counters.get(Verdict::StoodBy))
    }

    /// True if the programs are attached.
    pub fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    /// Names of the programs on bpffs.
    pub fn pin_state(&self) -> PinState {
        match &self.pins {
            Ok(pins) => PinState::Pinned(pins.dir().to_owned()),
            Err(reason) => PinState::NotPinned(reason.clone()),
        }
    }

    /// Takes the programs off, whoever holds the link, and then closes the stand-by: nothing new may wait there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach(self) -> io::Result<()> {
        self.link.as_ref().map_or(Ok(()), raw::detach)
    }
}

impl std::fmt::Debug for LentPrograms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LentPrograms").field("pins", &self.pin_state()).finish_non_exhaustive()
    }
}
