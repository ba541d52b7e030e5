//! A warm worker allocates nothing per message.
#![allow(clippy::unwrap_used, unsafe_code, reason = "tests; a counting allocator")]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read as _, Write as _},
    thread,
    time::Duration,
};

use common::{options, pair, with_every_driver};
use gateway_io::{Chunk, Driver, RuntimeOptions};

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: the system's allocator does the work; counting touches no heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + 1));
        // SAFETY: passed on as it came.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: passed on as it came.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// No tick in between: the sweep's own timer is not what is measured.
fn still(driver: Driver) -> RuntimeOptions {
    RuntimeOptions { tick: Duration::from_secs(3600), ..options(driver) }
}

#[test]
fn receiving_and_sending_allocate_nothing_once_warm() {
    with_every_driver(still, |_| async {
        const WARM: u32 = 200;
        const ROUNDS: u32 = 2000;
        let (mut ours, mut peer) = pair();
        let client = thread::spawn(move || {
            let mut response = [0; 10];
            for _ in 0..WARM + ROUNDS {
                peer.write_all(b"ping").unwrap();
                peer.read_exact(&mut response).unwrap();
            }
            response
        });
        let mut before = 0;
        for round in 0..WARM + ROUNDS {
            if round == WARM {
                before = ALLOCATED.get();
            }
            ours.recv.set_deadline(Some(Duration::from_secs(60)));
            let body = ours.recv.recv().await.unwrap().unwrap();
            let mut head = Chunk::take();
            head.extend_from_slice(b"head: ").unwrap();
            ours.send.queue(head);
            ours.send.queue(body);
            ours.send.flush().await.unwrap();
        }
        assert_eq!(ALLOCATED.get() - before, 0, "allocations in {ROUNDS} rounds");
        assert_eq!(&client.join().unwrap(), b"head: ping");
    });
}
