//! The helper's side: programs that it loads for another process.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use gateway_common::maps::VERDICTS;
use gateway_common::programs::SK_LOOKUP_LINK;
use ipnet::IpNet;

use crate::bpf::OwnPrograms;
use crate::pins::{PinError, Pins};
use crate::{LentDescriptors, PinState, SteerOptions, raw};

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
    programs: OwnPrograms,
    pins: Result<Pins, String>,
    link: Option<OwnedFd>,
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
        Ok(Self { programs, pins, link: None })
    }

    /// Descriptors for the other process.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn descriptors(&self) -> Result<LentDescriptors, String> {
        let to_read =
            self.pins.as_ref().ok().and_then(|pins| raw::open_to_read(&pins.place().join(VERDICTS)).ok());
        self.programs.lend(to_read)
    }

    /// Attaches the programs to the calling thread's network namespace and gives the link.
    ///
    /// # Errors
    /// The kernel refuses; one line for people.
    pub fn attach(&mut self) -> Result<OwnedFd, String> {
        let link = self.programs.attach_for()?;
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

    /// Takes the programs off, whoever holds the link.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach(self) -> std::io::Result<()> {
        self.link.as_ref().map_or(Ok(()), raw::detach)
    }
}

impl std::fmt::Debug for LentPrograms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LentPrograms").field("pins", &self.pin_state()).finish_non_exhaustive()
    }
}
