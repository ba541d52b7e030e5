//! Turns of handshakes: a signature takes as long as some hundred requests, so few are made in a row.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_io::spawn;

use crate::clock::pause;
use crate::signal::Signal;

/// Most costly steps of handshakes in one turn of the worker.
const STEPS_PER_TURN: u32 = 16;
/// No further step begins in a turn in which handshakes have taken so long: with RSA of 2,048 bits, the dearest of the
/// usual keys, after one.
const TIME_PER_TURN: Duration = Duration::from_micros(200);

/// The handshakes of one worker, with clients and with backends.
#[derive(Debug, Default)]
pub(crate) struct CryptoTurns(Rc<StepBudget>);

#[derive(Debug, Default)]
struct StepBudget {
    /// Steps of this turn, and the time that they took.
    steps: Cell<u32>,
    spent: Cell<Duration>,
    /// A task begins the next turn.
    is_counting: Cell<bool>,
    /// Handshakes that wait, the first one first.
    waiting: RefCell<VecDeque<Rc<Signal>>>,
}

/// The right to one costly step, which lasts until this is dropped. Not to be held across a wait.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    turns: &'a StepBudget,
    began: Instant,
}

impl CryptoTurns {
    /// Waits until a costly step may be made, in the order of the calls. Everything else that is ready runs in between.
    /// Dropping it gives the place back.
    pub(crate) async fn step(&self) -> Step<'_> {
        let turns = &*self.0;
        if !turns.is_counting.replace(true) {
            spawn(count(Rc::clone(&self.0)));
        }
        if turns.has_room() && turns.waiting.borrow().is_empty() {
            turns.steps.set(turns.steps.get() + 1);
        } else {
            let place = Rc::new(Signal::default());
            turns.waiting.borrow_mut().push_back(Rc::clone(&place));
            place.wait().await;
        }
        Step { turns, began: Instant::now() }
    }
}

impl StepBudget {
    fn has_room(&self) -> bool {
        self.steps.get() < STEPS_PER_TURN && self.spent.get() < TIME_PER_TURN
    }

    /// Lets the first go on that still waits, if the turn has room for it.
    fn next(&self) {
        while self.has_room() {
            let Some(next) = self.waiting.borrow_mut().pop_front() else { return };
            // Of one that waits no more this is the only hold.
            if Rc::strong_count(&next) > 1 {
                self.steps.set(self.steps.get() + 1);
                return next.raise();
            }
        }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.turns.spent.set(self.turns.spent.get() + self.began.elapsed());
        self.turns.next();
    }
}

/// Begins turn after turn, until one had no step.
async fn count(turns: Rc<StepBudget>) {
    while turns.steps.get() > 0 || !turns.waiting.borrow().is_empty() {
        pause().await;
        turns.steps.set(0);
        turns.spent.set(Duration::ZERO);
        turns.next();
    }
    turns.is_counting.set(false);
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;

    use gateway_io::{Driver, RuntimeOptions, run};

    use super::*;

    const HANDSHAKES: usize = 40;

    #[test]
    fn steps_are_made_in_order_and_no_turn_has_too_many() {
        run(&RuntimeOptions::new(Driver::Epoll), || async move {
            let turns = Rc::new(CryptoTurns::default());
            let made: Rc<RefCell<Vec<(usize, u32)>>> = Rc::default();
            for number in 0..HANDSHAKES {
                let (turns, made) = (Rc::clone(&turns), Rc::clone(&made));
                spawn(async move {
                    let step = turns.step().await;
                    made.borrow_mut().push((number, turns.0.steps.get()));
                    drop(step);
                });
            }
            while made.borrow().len() < HANDSHAKES {
                pause().await;
            }
            let made = made.borrow();
            assert!(made.iter().map(|(number, _)| *number).eq(0..HANDSHAKES), "{made:?}");
            assert!(made.iter().all(|(_, steps)| *steps <= STEPS_PER_TURN), "{made:?}");
            let turns_begun = made.iter().filter(|(_, steps)| *steps == 1).count();
            assert!(turns_begun >= HANDSHAKES.div_ceil(STEPS_PER_TURN as usize), "{made:?}");
        })
        .unwrap();
    }

    #[test]
    fn a_turn_that_took_its_time_has_no_further_step_and_who_leaves_keeps_nobody() {
        run(&RuntimeOptions::new(Driver::Epoll), || async move {
            let turns = CryptoTurns::default();
            let step = turns.step().await;
            std::thread::sleep(TIME_PER_TURN);
            drop(step);
            assert!(!turns.0.has_room());
            // One that is dropped while it waits, and one behind it.
            let mut gone = Box::pin(turns.step());
            assert!(
                std::future::poll_fn(|cx| std::task::Poll::Ready(gone.as_mut().poll(cx).is_pending())).await
            );
            drop(gone);
            drop(pin!(turns.step()).await);
        })
        .unwrap();
    }
}
