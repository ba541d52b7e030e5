//! Steering by kernel programs: one listening socket per worker, and binds that are map entries.

mod group;
mod stand_by;

use std::collections::BTreeSet;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use gateway_ir::BindAddress;

use self::group::{sockets_after, spare, worker_sockets};
use crate::gauge::Loads;
use crate::pins::{PinError, Pins};
use crate::placeholder::{PlaceholderState, Placeholders};
use crate::programs::Programs;
use crate::{
    Applied, Counters, PinState, Rejection, RejectionReason, SteerBind, SteerError, SteerOptions, SteerPlan,
    sockets,
};

/// Loaded programs, attached unless a take-over is not that far yet. Fields are dropped in this order: pins
/// first, since a pinned link outlives its handle.
pub(crate) struct Kernel {
    pins: Result<Pins, String>,
    programs: Programs,
    port: u16,
    backlog: u32,
    live: BTreeSet<SteerBind>,
    /// Keep others from binding what is live.
    placeholders: Placeholders,
    /// Sockets that no worker has yet, by slot.
    untaken: Vec<TcpListener>,
    /// A duplicate of the only worker's socket: when it dies there is nobody for its queue to move to, so it
    /// must stay. Of several workers none is kept: it would keep a socket open whose worker died.
    spare: Option<TcpListener>,
    /// The place for pins that a take-over claims at its beginning: later this process may not be able to.
    claimed: Option<Result<Pins, String>>,
    /// Number of worker sockets that the process before us accepts from as well, from the first on; the
    /// others are in no slot.
    shared: usize,
    stage: TakeoverStage,
    /// The stand-by of a killed process, until this one serves: its programs steer, and choose in the group of its workers
    /// and ours.
    orphan: Option<TcpListener>,
    /// True until a helper has let go of what it keeps of processes before this one.
    relieves: bool,
    /// Number of connections at our own stand-by when it was made.
    stood_by: u64,
    /// True once workers close their sockets for good.
    is_released: bool,
}

/// Stage of a take-over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakeoverStage {
    /// The process before us steers. Our programs are attached and know no bind.
    Waiting,
    /// Both steer, to the sockets that both have.
    Beside,
    /// We alone; also where nobody was taken over from.
    Alone,
}

/// Reasons why kernel programs do not steer.
pub(crate) enum OpenError {
    /// Kernel programs cannot be used here; another backend may work.
    Unavailable(String),
    /// No backend would work.
    Fatal(SteerError),
}

impl Kernel {
    pub(crate) fn open(options: &SteerOptions) -> Result<Self, OpenError> {
        let pins = match claim(options) {
            Ok(pins) => Ok(pins),
            Err(PinError::NoPlace(reason)) => Err(reason),
            Err(PinError::Busy { dir, pid }) => {
                return Err(OpenError::Fatal(SteerError::InstanceBusy { dir, pid }));
            }
        };
        let mut programs = load(options)?;
        let orphan = options.helper.as_ref().and_then(|helper| helper.orphan());
        let (port, untaken, orphan) = sockets_after(options, orphan).map_err(OpenError::Fatal)?;
        enter_slots(&mut programs, &untaken, orphan.is_none())?;
        programs.attach().map_err(OpenError::Unavailable)?;
        programs.stand_by(port, options.backlog);
        // Names can be done without; those that were given go with the directory.
        let pins = pins.and_then(|pins| programs.pin(&pins.place()).map(|()| pins));
        if let (Err(reason), false) = (&pins, programs.is_attached()) {
            return Err(OpenError::Unavailable(reason.clone()));
        }
        let (backlog, live) = (options.backlog, BTreeSet::new());
        let spare = spare(&untaken);
        let placeholders = Placeholders::new(options, Vec::new());
        let (claimed, shared, stage) = (None, 0, TakeoverStage::Alone);
        let kernel = Self {
            pins,
            programs,
            port,
            backlog,
            live,
            placeholders,
            untaken,
            spare,
            claimed,
            shared,
            stage,
            orphan,
            relieves: true,
            stood_by: 0,
            is_released: false,
        };
        Ok(kernel)
    }

    /// Loads and attaches programs for the sockets of the process that is taken over from, by slot, so that
    /// all that the kernel may refuse is refused here. Missing sockets are made: they join the group, and get
    /// nothing as long as they are in no slot. Superfluous ones are let go of: what that process does not
    /// accept from them moves on when it closes them.
    pub(crate) fn take_over(
        options: &SteerOptions,
        inherited: Vec<TcpListener>,
        placeholders: Vec<TcpListener>,
    ) -> Result<Self, OpenError> {
        let mut programs = load(options)?;
        let shared = inherited.len().min(options.workers);
        let (port, untaken) = worker_sockets(options, inherited).map_err(OpenError::Fatal)?;
        if shared == 0 {
            enter_slots(&mut programs, &untaken, true)?;
        } else {
            for (slot, socket) in (0..).zip(&untaken).take(shared) {
                programs.set_slot(slot, socket).map_err(OpenError::Unavailable)?;
            }
            try_to_choose(&mut programs)?;
        }
        programs.attach().map_err(OpenError::Unavailable)?;
        programs.stand_by(port, options.backlog);
        let claimed = match claim(options) {
            Ok(pins) => Ok(pins),
            Err(PinError::NoPlace(reason)) => Err(reason),
            Err(PinError::Busy { dir, .. }) => Err(format!("{} is in use", dir.display())),
        };
        Ok(Self {
            claimed: Some(claimed),
            pins: Err("not before the take-over is complete".to_owned()),
            programs,
            port,
            backlog: options.backlog,
            live: BTreeSet::new(),
            placeholders: Placeholders::new(options, placeholders),
            spare: spare(&untaken),
            untaken,
            shared,
            stage: TakeoverStage::Waiting,
            orphan: None,
            relieves: true,
            stood_by: 0,
            is_released: false,
        })
    }

    /// True if nothing may reach us yet: the process before us has none of our sockets, so what waited in
    /// those would be lost if this one died.
    fn is_withheld(&self) -> bool {
        self.stage != TakeoverStage::Alone && self.shared == 0
    }

    /// The process before us lets go: takes what it could not have a part in, pins, and gives the workers'
    /// sockets, one for each, with what the kernel refused.
    pub(crate) fn finish_takeover(&mut self) -> (Vec<TcpListener>, Vec<SteerError>) {
        let withheld = self.is_withheld();
        self.stage = TakeoverStage::Alone;
        self.placeholders.seal();
        let sockets = std::mem::take(&mut self.untaken);
        let mut failed = Vec::new();
        if withheld {
            for bind in &self.live {
                let added = self.programs.add(bind.key());
                failed.extend(added.err().map(|reason| SteerError::Bind { bind: *bind, reason }));
            }
        } else {
            for (slot, socket) in (0..).zip(&sockets).skip(self.shared) {
                let entered = self.programs.set_slot(slot, socket);
                let what = || format!("slot of worker {slot}");
                failed.extend(entered.err().map(|reason| SteerError::Kernel { what: what(), reason }));
            }
        }
        if let Some(claimed) = self.claimed.take() {
            self.pins = claimed.and_then(|pins| self.programs.pin(&pins.place()).map(|()| pins));
        }
        self.relieve();
        (sockets, failed)
    }

    /// Makes the workers' sockets and the pins `uid`'s.
    pub(crate) fn give_to(&self, uid: u32) -> io::Result<()> {
        let pins = self.pins.as_ref().ok().into_iter();
        let claimed = self.claimed.iter().filter_map(|claimed| claimed.as_ref().ok());
        pins.chain(claimed).try_for_each(|pins| pins.give_to(uid))?;
        self.untaken.iter().chain(&self.spare).try_for_each(|socket| sockets::give(socket, uid))
    }

    /// Chooses in the group again, after a process that was to take over failed.
    pub(crate) fn reclaim(&mut self, socket: &TcpListener) -> Result<(), SteerError> {
        let what = "taking back the choice of workers".to_owned();
        self.programs.choose_in_group_of(socket).map_err(|reason| SteerError::Kernel { what, reason })
    }

    pub(crate) fn take_sockets(&mut self) -> Vec<TcpListener> {
        match self.stage {
            // The process before us accepts until it lets go.
            TakeoverStage::Waiting | TakeoverStage::Beside => Vec::new(),
            TakeoverStage::Alone => std::mem::take(&mut self.untaken),
        }
    }

    /// A new socket for a slot whose worker is gone; the old one, if it was kept.
    pub(crate) fn refill(&mut self, slot: u32) -> Result<TcpListener, SteerError> {
        let failed = |source| SteerError::Socket { what: format!("socket of worker {slot}"), source };
        if let Some(spare) = &self.spare {
            return spare.try_clone().map_err(failed);
        }
        let socket = sockets::listen(BindAddress::Any, self.port, self.backlog).map_err(failed)?;
        self.programs
            .set_slot(slot, &socket)
            .and_then(|()| self.programs.choose_in_group_of(&socket))
            .map_err(|reason| SteerError::Kernel { what: format!("slot of worker {slot}"), reason })?;
        self.empty_stand_by();
        Ok(socket)
    }

    /// The workers are about to close their sockets for good.
    pub(crate) fn release(&mut self) {
        self.spare = None;
        self.is_released = true;
        self.programs.dismiss();
    }

    /// Adds what is new, then removes what is gone: a bind that only moves between "every address" and a
    /// particular one is never without an entry. A bind that the kernel has no room for is refused alone; but
    /// in a take-over the process before us goes on, which has it.
    pub(crate) fn apply(&mut self, plan: &SteerPlan) -> Result<Applied, SteerError> {
        let new: Vec<SteerBind> = plan.binds.difference(&self.live).copied().collect();
        let removed: Vec<SteerBind> = self.live.difference(&plan.binds).copied().collect();
        let withheld = self.is_withheld();
        let (mut added, mut refused) = (Vec::new(), Vec::new());
        for bind in new {
            let done = if withheld { Ok(()) } else { self.programs.add(bind.key()) };
            match done {
                Ok(()) => added.push(bind),
                Err(reason) if self.stage == TakeoverStage::Waiting => {
                    return Err(SteerError::Bind { bind, reason });
                }
                Err(reason) => {
                    let message = format!("{reason}; it is tried again");
                    refused.push(Rejection { bind, reason: RejectionReason::KernelRefused, message });
                }
            }
        }
        self.live.extend(&added);
        if self.stage == TakeoverStage::Waiting {
            let socket = self.untaken.first().filter(|_| !withheld);
            let what = "steering beside the process that is taken over from".to_owned();
            socket
                .map_or(Ok(()), |socket| self.programs.choose_in_group_of(socket))
                .map_err(|reason| SteerError::Kernel { what, reason })?;
            self.stage = TakeoverStage::Beside;
        }
        if self.stage == TakeoverStage::Alone {
            self.succeed_orphan()?;
        }
        for bind in &removed {
            self.programs.remove(bind.key()).map_err(|reason| SteerError::Bind { bind: *bind, reason })?;
            self.live.remove(bind);
        }
        self.placeholders.follow(&self.live);
        Ok(Applied { added, removed, refused })
    }

    /// Tries again to hold what could not be held.
    pub(crate) fn retry_placeholders(&mut self) {
        self.placeholders.retry_placeholders(&self.live);
    }

    /// The placeholders, for its caller to lend or to seal.
    pub(crate) fn placeholders(&mut self) -> &mut Placeholders {
        &mut self.placeholders
    }

    pub(crate) fn placeholder_state(&self) -> PlaceholderState {
        self.placeholders.state()
    }

    /// True if the plan that was applied last has this bind.
    pub(crate) fn is_live(&self, bind: SteerBind) -> bool {
        self.live.contains(&bind)
    }

    pub(crate) fn counters(&self) -> Result<Counters, SteerError> {
        self.programs
            .counters()
            .map_err(|reason| SteerError::Kernel { what: "counters of the kernel programs".into(), reason })
    }

    pub(crate) fn loads(&self) -> Arc<Loads> {
        self.programs.loads()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// True if somebody else has taken the programs off.
    pub(crate) fn is_detached(&self) -> bool {
        self.programs.is_detached()
    }

    pub(crate) fn pin_state(&self) -> PinState {
        if let Some(pins) = self.programs.lent_pins() {
            return pins.clone();
        }
        match &self.pins {
            Ok(pins) => PinState::Pinned(Path::to_owned(pins.dir())),
            Err(reason) => PinState::NotPinned(reason.clone()),
        }
    }
}

/// The place for pins, unless a helper has one of its own.
fn claim(options: &SteerOptions) -> Result<Pins, PinError> {
    match &options.helper {
        Some(_) => Err(PinError::NoPlace("the helper pins".to_owned())),
        None => Pins::claim(&options.bpffs, options.layout, &options.instance),
    }
}

/// Loads the programs with what they are never to steer.
fn load(options: &SteerOptions) -> Result<Programs, OpenError> {
    let too_many = || OpenError::Unavailable("the pool has too many networks".to_owned());
    let guard = options.guard().ok_or_else(too_many)?;
    Programs::load(slots(options), &guard, options.helper.as_ref()).map_err(OpenError::Unavailable)
}

fn slots(options: &SteerOptions) -> u32 {
    u32::try_from(options.workers).unwrap_or(u32::MAX)
}

/// Slots before the choice, so that the program never chooses among none. With `choose` it chooses from now on; else it
/// is tried whether it may.
fn enter_slots(programs: &mut Programs, sockets: &[TcpListener], choose: bool) -> Result<(), OpenError> {
    for (slot, socket) in (0..).zip(sockets) {
        programs.set_slot(slot, socket).map_err(OpenError::Unavailable)?;
    }
    match sockets.first() {
        Some(socket) if choose => programs.choose_in_group_of(socket).map_err(OpenError::Unavailable),
        _ => try_to_choose(programs),
    }
}

/// Has the program choose for a socket of nobody, so that it is not refused that when it matters.
fn try_to_choose(programs: &mut Programs) -> Result<(), OpenError> {
    let nobodys = sockets::listen(BindAddress::Any, 0, 1)
        .map_err(|e| OpenError::Unavailable(format!("a socket to try the choice with: {e}")))?;
    programs.choose_in_group_of(&nobodys).map_err(OpenError::Unavailable)
}
