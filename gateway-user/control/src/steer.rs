//! The reconciler's interface to steering, and steering that several threads share.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use gateway_steer::{
    Counters, FinishedTakeover, Gauge, PlaceholderState, Prepared, Rejection, SteerError, SteerPlan, Steering,
};

/// Steering, as far as a new plan needs it; tests replace it by a recorder.
pub trait Steer {
    /// Binds that must be left out, each with its reason.
    fn check(&mut self, plan: &SteerPlan) -> Vec<Rejection>;

    /// Sockets for new binds.
    fn prepare(&mut self, plan: &SteerPlan) -> Prepared;

    /// Sockets that workers close because their binds are not in the plan.
    fn retiring(&mut self, plan: &SteerPlan) -> Vec<SocketAddr>;

    /// Sockets for datagrams that workers close, likewise.
    fn retiring_datagrams(&mut self, plan: &SteerPlan) -> Vec<SocketAddr>;

    /// True if the plan should be prepared and applied again since the node's addresses are others.
    fn is_behind(&mut self) -> bool;

    /// Forgets what was prepared last: it does not go live.
    fn abandon(&mut self);

    /// Listening sockets for the successor of a worker that died.
    ///
    /// # Errors
    /// The system gives no socket.
    fn refill(&mut self, worker: usize) -> Result<Vec<TcpListener>, SteerError>;

    /// Sockets for datagrams for such a successor.
    ///
    /// # Errors
    /// The system gives no socket.
    fn refill_datagrams(&mut self, worker: usize) -> Result<Vec<UdpSocket>, SteerError>;

    /// Makes the plan what is steered. Returns the binds that the kernel has no room for.
    ///
    /// # Errors
    /// The kernel refuses another change.
    fn apply(&mut self, plan: &SteerPlan) -> Result<Vec<Rejection>, SteerError>;

    /// Tries again to keep other programs from what is steered, where that was not possible. Called every few
    /// seconds.
    fn retry_placeholders(&mut self) {}
}

/// [`Steering`] for the compiler thread, which changes it, and for others, who read its counters. Cloning
/// shares it. After [`SharedSteering::close`] nothing is steered and every call returns an empty result.
#[derive(Clone, Debug)]
pub struct SharedSteering(Arc<Mutex<Option<Steering>>>);

impl SharedSteering {
    /// Shares it.
    pub fn new(steering: Steering) -> Self {
        Self(Arc::new(Mutex::new(Some(steering))))
    }

    /// Also after a panic elsewhere: what counts are the kernel's maps, and they are whole at any time.
    fn lock(&self) -> MutexGuard<'_, Option<Steering>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Verdicts of the kernel programs so far; `None` if the kernel does not give them.
    pub fn counters(&self) -> Option<Counters> {
        self.lock().as_ref()?.counters().ok()
    }

    /// Steered ports that other programs are kept from: see [`Steering::placeholders`].
    pub fn placeholders(&self) -> Option<PlaceholderState> {
        self.lock().as_ref()?.placeholders()
    }

    /// The sockets that keep others from steered ports, for a process that takes over: see
    /// [`Steering::lend_placeholders`].
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn lend_placeholders(&self) -> std::io::Result<Vec<TcpListener>> {
        self.lock().as_mut().map_or(Ok(Vec::new()), Steering::lend_placeholders)
    }

    /// The sockets for datagrams, for a process that takes over: see [`Steering::lend_datagrams`].
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn lend_datagrams(&self) -> std::io::Result<Vec<UdpSocket>> {
        self.lock().as_ref().map_or(Ok(Vec::new()), Steering::lend_datagrams)
    }

    /// Keeps other processes out of the lent sockets again, after a take-over that failed.
    pub fn seal(&self) {
        if let Some(steering) = self.lock().as_mut() {
            steering.seal();
        }
    }

    /// True if a helper has taken its programs off: see [`Steering::is_detached`]. `None` while they are being
    /// changed, for which this does not wait, and after the close.
    pub fn is_detached(&self) -> Option<bool> {
        let steering = match self.0.try_lock() {
            Ok(steering) => steering,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        steering.as_ref().map(Steering::is_detached)
    }

    /// Has a helper that has come anew keep the stand-by: see [`Steering::renew_stand_by`]. False while steering is being
    /// changed, for which this does not wait.
    pub fn renew_stand_by(&self) -> bool {
        let mut steering = match self.0.try_lock() {
            Ok(steering) => steering,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if let Some(steering) = steering.as_mut() {
            steering.renew_stand_by();
        }
        true
    }

    /// The load gauge of a worker; `None` after the close.
    ///
    /// # Errors
    /// There is no such slot.
    pub fn gauge(&self, slot: usize) -> Result<Option<Gauge>, SteerError> {
        self.lock().as_ref().map(|steering| steering.gauge(slot)).transpose()
    }

    /// Lets go of what is kept for successors of workers, which are about to close their sockets for good.
    pub fn release(&self) {
        if let Some(steering) = self.lock().as_mut() {
            steering.release();
        }
    }

    /// Ends a take-over from another process: see [`Steering::finish_takeover`]. Nothing after the close.
    pub fn finish_takeover(&self) -> FinishedTakeover {
        self.lock().as_mut().map(Steering::finish_takeover).unwrap_or_default()
    }

    /// Steers alone again after a process that was to take over failed: see [`Steering::reclaim`].
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn reclaim(&self, socket: &TcpListener) -> Result<(), SteerError> {
        self.lock().as_mut().map_or(Ok(()), |steering| steering.reclaim(socket))
    }

    /// Takes programs off and removes pins. Workers must have accepted what was queued for them.
    pub fn close(&self) {
        let steering = self.lock().take();
        drop(steering);
    }
}

impl Steer for SharedSteering {
    fn check(&mut self, plan: &SteerPlan) -> Vec<Rejection> {
        self.lock().as_ref().map(|steering| steering.check(plan)).unwrap_or_default()
    }

    fn prepare(&mut self, plan: &SteerPlan) -> Prepared {
        self.lock().as_mut().map(|steering| steering.prepare(plan)).unwrap_or_default()
    }

    fn retiring(&mut self, plan: &SteerPlan) -> Vec<SocketAddr> {
        self.lock().as_mut().map(|steering| steering.retiring(plan)).unwrap_or_default()
    }

    fn retiring_datagrams(&mut self, plan: &SteerPlan) -> Vec<SocketAddr> {
        self.lock().as_mut().map(|steering| steering.retiring_datagrams(plan)).unwrap_or_default()
    }

    fn is_behind(&mut self) -> bool {
        self.lock().as_ref().is_some_and(Steering::is_behind)
    }

    fn abandon(&mut self) {
        if let Some(steering) = self.lock().as_mut() {
            steering.abandon();
        }
    }

    /// Listening sockets for the successor of a worker that died.
    ///
    /// # Errors
    /// The system gives no socket.
    fn refill(&mut self, worker: usize) -> Result<Vec<TcpListener>, SteerError> {
        self.lock().as_mut().map_or(Ok(Vec::new()), |steering| steering.refill(worker))
    }

    fn refill_datagrams(&mut self, worker: usize) -> Result<Vec<UdpSocket>, SteerError> {
        self.lock().as_ref().map_or(Ok(Vec::new()), |steering| steering.refill_datagrams(worker))
    }

    /// Makes the plan what is steered. Returns the binds that the kernel has no room for.
    ///
    /// # Errors
    /// The kernel refuses another change.
    fn apply(&mut self, plan: &SteerPlan) -> Result<Vec<Rejection>, SteerError> {
        let mut steering = self.lock();
        steering.as_mut().map_or(Ok(Vec::new()), |steering| steering.apply(plan).map(|done| done.refused))
    }

    fn retry_placeholders(&mut self) {
        if let Some(steering) = self.lock().as_mut() {
            steering.retry_placeholders();
        }
    }
}
