//! Requests that are due, taken by connections in the order in which these fell idle.

use std::cell::RefCell;
use std::collections::VecDeque;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::id::RequestId;

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) id: RequestId,
    pub(super) due: Instant,
}

#[derive(Debug)]
pub(super) struct Queue {
    jobs: RefCell<VecDeque<Job>>,
    /// A permit per job; its waiters are served in turn.
    filled: Semaphore,
}

impl Default for Queue {
    fn default() -> Self {
        Self { jobs: RefCell::default(), filled: Semaphore::new(0) }
    }
}

impl Queue {
    pub(super) fn put(&self, job: Job) {
        self.jobs.borrow_mut().push_back(job);
        self.filled.add_permits(1);
    }

    /// No more jobs will come.
    pub(super) fn close(&self) {
        self.filled.close();
    }

    /// The next job; `None` once the queue is closed and empty. Dropping the future loses no job.
    pub(super) async fn take(&self) -> Option<Job> {
        // After close() nothing is acquired, and the jobs that are left can still be taken.
        if let Ok(permit) = self.filled.acquire().await {
            permit.forget();
        }
        self.jobs.borrow_mut().pop_front()
    }
}
