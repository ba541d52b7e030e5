//! Loaded programs, whoever loaded them.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use gateway_common::{SteerGuard, SteerKey};

use crate::bpf::OwnPrograms;
use crate::gauge::Loads;
use crate::received::ReceivedPrograms;
use crate::{Counters, Helper, PinState, raw};

/// Programs that steer for this process.
pub(crate) enum Programs {
    /// It has loaded them.
    Own(Box<OwnPrograms>),
    /// A helper has, and goes on holding what takes a right.
    Lent(Box<HelperPrograms>),
}

/// Programs of a helper.
pub(crate) struct HelperPrograms {
    received: ReceivedPrograms,
    helper: Arc<dyn Helper>,
    /// Keeps `sk_lookup` attached though the helper ends.
    link: Option<OwnedFd>,
    pins: PinState,
}

impl Drop for HelperPrograms {
    fn drop(&mut self) {
        self.helper.detach();
    }
}

impl Programs {
    /// Loads programs for so many workers, or has a helper do it, which decides what they are never to steer.
    pub(crate) fn load(
        workers: u32,
        guard: &SteerGuard,
        helper: Option<&Arc<dyn Helper>>,
    ) -> Result<Self, String> {
        let Some(helper) = helper else {
            return OwnPrograms::load(workers, guard).map(|own| Self::Own(Box::new(own)));
        };
        let descriptors = helper.load(workers)?;
        let received = ReceivedPrograms::open(descriptors).inspect_err(|_| helper.detach())?;
        let pins = PinState::NotPinned("not attached yet".to_owned());
        Ok(Self::Lent(Box::new(HelperPrograms { received, helper: Arc::clone(helper), link: None, pins })))
    }

    /// Puts a worker's listening socket into its slot.
    pub(crate) fn set_slot(&mut self, slot: u32, socket: &TcpListener) -> Result<(), String> {
        match self {
            Self::Own(own) => own.set_slot(slot, socket),
            Self::Lent(lent) => lent.received.set_slot(slot, socket),
        }
    }

    /// Makes `sk_reuseport` what chooses within the socket's group, in place of any other program.
    pub(crate) fn choose_in_group_of(&mut self, socket: &TcpListener) -> Result<(), String> {
        match self {
            Self::Own(own) => own.choose_in_group_of(socket),
            Self::Lent(lent) => lent.received.choose_in_group_of(socket),
        }
    }

    /// Attaches `sk_lookup` to the network namespace: from here on binds are steered.
    pub(crate) fn attach(&mut self) -> Result<(), String> {
        match self {
            Self::Own(own) => own.attach(),
            Self::Lent(lent) => {
                let (link, pins) = lent.helper.attach()?;
                (lent.link, lent.pins) = (Some(link), pins);
                Ok(())
            }
        }
    }

    /// Has a helper keep a stand-by for these programs: see [`Helper::stand_by`]. Without one there is nobody who could.
    pub(crate) fn stand_by(&mut self, port: u16, backlog: u32) {
        if let Self::Lent(lent) = self
            && let Some(link) = &lent.link
        {
            let received = &mut lent.received;
            lent.helper.stand_by(link, port, backlog, &mut |socket| received.set_stand_by(socket));
        }
    }

    /// Ends that.
    pub(crate) fn dismiss(&self) {
        if let Self::Lent(lent) = self {
            lent.helper.dismiss();
        }
    }

    /// Has the helper let go of what it keeps of processes before this one.
    pub(crate) fn relieve(&self) {
        if let Self::Lent(lent) = self {
            lent.helper.relieve();
        }
    }

    /// Gives everything its name in `dir`. What a helper has, it has pinned itself.
    pub(crate) fn pin(&mut self, dir: &Path) -> Result<(), String> {
        match self {
            Self::Own(own) => own.pin(dir),
            Self::Lent(_) => Ok(()),
        }
    }

    /// Pins that a helper has made, if these are its programs.
    pub(crate) fn lent_pins(&self) -> Option<&PinState> {
        match self {
            Self::Own(_) => None,
            Self::Lent(lent) => Some(&lent.pins),
        }
    }

    /// True if `sk_lookup` steers, as far as this process knows.
    pub(crate) fn is_attached(&self) -> bool {
        match self {
            Self::Own(own) => own.is_attached(),
            Self::Lent(lent) => lent.link.is_some(),
        }
    }

    /// True if a helper has taken the programs off, which it does when the connection to it ends.
    pub(crate) fn is_detached(&self) -> bool {
        match self {
            Self::Own(_) => false,
            // A kernel that does not say has not been asked to take it off.
            Self::Lent(lent) => {
                lent.link.as_ref().is_some_and(|link| !raw::is_attached(link).unwrap_or(true))
            }
        }
    }

    pub(crate) fn add(&mut self, key: SteerKey) -> Result<(), String> {
        match self {
            Self::Own(own) => own.add(key),
            Self::Lent(lent) => lent.received.add(key),
        }
    }

    /// Removes a bind; one that is not there is as good as removed.
    pub(crate) fn remove(&mut self, key: SteerKey) -> Result<(), String> {
        match self {
            Self::Own(own) => own.remove(key),
            Self::Lent(lent) => lent.received.remove(key),
        }
    }

    pub(crate) fn counters(&self) -> Result<Counters, String> {
        match self {
            Self::Own(own) => own.counters(),
            Self::Lent(lent) => lent.received.counters(),
        }
    }

    pub(crate) fn loads(&self) -> Arc<Loads> {
        match self {
            Self::Own(own) => own.loads(),
            Self::Lent(lent) => lent.received.loads(),
        }
    }
}
