//! What the reconciler asks of steering, and steering that several threads share.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_steer::{Counters, Gauge, Prepared, Refusal, SteerError, SteerPlan, Steering};

/// Steering, as far as a new plan needs it; tests put a notebook in its place.
pub trait Steer {
    /// Binds that must be left out, each with its reason.
    fn check(&mut self, plan: &SteerPlan) -> Vec<Refusal>;

    /// Sockets for new binds.
    fn prepare(&mut self, plan: &SteerPlan) -> Prepared;

    /// Sockets that workers close because their binds are not in the plan.
    fn retiring(&mut self, plan: &SteerPlan) -> Vec<SocketAddr>;

    /// Makes the plan what is steered.
    ///
    /// # Errors
    /// The kernel refuses.
    fn apply(&mut self, plan: &SteerPlan) -> Result<(), SteerError>;
}

/// [`Steering`] for the compiler thread, which changes it, and for others, who read its counters and refill slots.
/// Cloning shares it. After [`SharedSteering::close`] nothing is steered and every request is answered with nothing.
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

    /// What the kernel programs decided so far; `None` if the kernel does not say.
    pub fn counters(&self) -> Option<Counters> {
        self.lock().as_ref()?.counters().ok()
    }

    /// The load gauge of a worker; `None` after the close.
    ///
    /// # Errors
    /// There is no such slot.
    pub fn gauge(&self, slot: usize) -> Result<Option<Gauge>, SteerError> {
        self.lock().as_ref().map(|steering| steering.gauge(slot)).transpose()
    }

    /// A new socket for the slot of a worker that died, if workers have steering sockets.
    ///
    /// # Errors
    /// The system gives no socket.
    pub fn refill(&self, slot: usize) -> Result<Option<TcpListener>, SteerError> {
        self.lock().as_mut().map_or(Ok(None), |steering| steering.refill(slot))
    }

    /// Ends a take-over from another process: see [`Steering::settle`]. Gives the path as it is now, for people.
    pub fn settle(&self) -> Option<String> {
        let mut steering = self.lock();
        let steering = steering.as_mut()?;
        steering.settle();
        Some(steering.path().to_string())
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
    fn check(&mut self, plan: &SteerPlan) -> Vec<Refusal> {
        self.lock().as_ref().map(|steering| steering.check(plan)).unwrap_or_default()
    }

    fn prepare(&mut self, plan: &SteerPlan) -> Prepared {
        self.lock().as_mut().map(|steering| steering.prepare(plan)).unwrap_or_default()
    }

    fn retiring(&mut self, plan: &SteerPlan) -> Vec<SocketAddr> {
        self.lock().as_ref().map(|steering| steering.retiring(plan)).unwrap_or_default()
    }

    fn apply(&mut self, plan: &SteerPlan) -> Result<(), SteerError> {
        self.lock().as_mut().map_or(Ok(()), |steering| steering.apply(plan).map(drop))
    }
}
