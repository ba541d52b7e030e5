//! A second machine for a test: a network namespace with a thread in it that does what it is told.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part, and there is nobody to publish to

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use gateway_testkit::netns::{self, Inside};

type Call = Box<dyn FnOnce(&Inside) + Send>;

/// One network namespace. It is gone with the value.
pub struct Place {
    calls: Option<Sender<Call>>,
    thread: Option<JoinHandle<()>>,
}

impl Place {
    pub fn new(label: &str) -> Self {
        let (calls, called) = channel::<Call>();
        let label = label.to_owned();
        let run = move || netns::run(&label, move |inside| called.iter().for_each(|call| call(inside)));
        Self { calls: Some(calls), thread: Some(std::thread::spawn(run)) }
    }

    /// Does it there: what it connects to and what it starts is there.
    pub fn run<T: Send + 'static>(&self, what: impl FnOnce(&Inside) -> T + Send + 'static) -> T {
        let (tells, told) = channel();
        let call = move |inside: &Inside| drop(tells.send(what(inside)));
        self.calls.as_ref().unwrap().send(Box::new(call)).unwrap();
        told.recv().expect("what panicked there says why above")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.calls.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
