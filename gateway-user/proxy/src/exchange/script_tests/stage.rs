//! The point of a script at which its fault comes.

use std::cell::Cell;
use std::rc::Rc;

use super::case::Fault;
use crate::context::Control;

/// Shared by both sides of a script.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) reached: Cell<bool>,
    pub(super) half_closed: Cell<bool>,
    pub(super) fault: Option<Fault>,
    pub(super) control: Option<Rc<Control>>,
}

impl Stage {
    pub(super) fn reach(&self) {
        self.reached.set(true);
        if let (Some(Fault::DrainMax), Some(control)) = (self.fault, &self.control) {
            control.kill.raise();
        }
    }

    pub(super) fn is_reached(&self) -> bool {
        self.reached.get()
    }

    /// True if the rest may come: a client that finishes sending has done so.
    pub(super) fn has_passed(&self) -> bool {
        self.fault != Some(Fault::ClientFin) || self.half_closed.get()
    }
}
