//! What the reconciler asks of steering.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gateway_steer::{Prepared, Refusal, SteerError, SteerPlan, Steering};

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

/// [`Steering`] shared with those who read its counters.
impl Steer for std::sync::Arc<Mutex<Steering>> {
    fn check(&mut self, plan: &SteerPlan) -> Vec<Refusal> {
        locked(self).check(plan)
    }

    fn prepare(&mut self, plan: &SteerPlan) -> Prepared {
        locked(self).prepare(plan)
    }

    fn retiring(&mut self, plan: &SteerPlan) -> Vec<SocketAddr> {
        locked(self).retiring(plan)
    }

    fn apply(&mut self, plan: &SteerPlan) -> Result<(), SteerError> {
        locked(self).apply(plan).map(drop)
    }
}

/// The lock, also after a panic elsewhere: the kernel's maps are what counts, and they are whole at any time.
fn locked(steering: &Mutex<Steering>) -> MutexGuard<'_, Steering> {
    steering.lock().unwrap_or_else(PoisonError::into_inner)
}
