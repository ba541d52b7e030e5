//! Fairness between connections where waiting does not always wait.

use gateway_io::{Driver, pause};

use crate::context::WorkerContext;

/// Steps between two pauses: with the default buffers a megabyte of a body.
const BUDGET: u32 = 64;

/// Counts the steps of one task. With epoll a receive or send that can be done is done at once, so a task whose peers
/// are fast enough never waits, and no other runs; with io_uring every operation waits for its completion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoopBudget {
    left: u32,
    counts: bool,
}

impl CoopBudget {
    pub(crate) fn of(context: &WorkerContext) -> Self {
        Self { left: BUDGET, counts: context.driver == Driver::Epoll }
    }

    /// Takes a step; lets all others run when it was the last one of a turn.
    pub(crate) async fn take(&mut self) {
        if !self.counts {
            return;
        }
        self.left -= 1;
        if self.left == 0 {
            self.left = BUDGET;
            pause().await;
        }
    }
}
