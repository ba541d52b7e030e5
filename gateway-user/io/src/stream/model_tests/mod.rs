//! A model of the two pumps: the real halves, pumps, link and timer table over a socket and a kernel that are
//! played, in every order of the first steps and in many long random ones. Miri runs it too
//! (`cargo xtask miri`): no system call is needed, and what the kernel writes is written through the pointer
//! that it was given, while the pump is suspended.

mod kernel;
mod world;

use world::{Step, World};

/// Steps of which every order is tried.
const DEPTH: usize = if cfg!(miri) { 2 } else { 5 };
/// Long random runs.
const RUNS: u64 = if cfg!(miri) { 12 } else { 4_000 };
/// Steps of each.
const LENGTH: usize = 40;

fn replay(steps: &[Step]) -> World {
    let mut world = World::new();
    for step in steps {
        world.apply(*step);
    }
    world
}

/// Every order of steps that is possible behind these, `depth` more of them; says how many there were.
fn explore(steps: &mut Vec<Step>, depth: usize) -> usize {
    let world = replay(steps);
    let possible = world.possible();
    world.finish();
    let mut tried = 1;
    if depth > 0 {
        for step in possible {
            steps.push(step);
            tried += explore(steps, depth - 1);
            steps.pop();
        }
    }
    tried
}

#[test]
fn in_every_order_of_steps_no_byte_is_lost_and_the_socket_is_closed_once() {
    let tried = explore(&mut Vec::new(), DEPTH);
    assert!(tried > if cfg!(miri) { 20 } else { 5_000 }, "only {tried} orders");
}

#[test]
fn long_random_runs_lose_no_byte_and_close_the_socket_once() {
    // splitmix64: the runs are the same each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    };
    let mut vectored = 0;
    for _ in 0..RUNS {
        let mut world = World::new();
        for _ in 0..LENGTH {
            let possible = world.possible();
            if possible.is_empty() {
                break;
            }
            // Ends are possible all the time; taken as often as the rest, they would cut every run short.
            let step = possible[random(possible.len())];
            if step.is_end() && random(10) != 0 {
                continue;
            }
            world.apply(step);
        }
        vectored += world.vectored_sends();
        world.finish();
    }
    assert!(vectored > 0, "no run sent several chunks at once");
}

#[test]
fn a_receive_and_a_send_under_way_at_once_have_handles_of_their_own() {
    let mut world = World::new();
    for step in [Step::Receive, Step::Queue, Step::Flush] {
        world.apply(step);
    }
    let [recv, send] = world.handles();
    assert_ne!(recv, send, "both operations were begun through a reference to the same handle");
    world.finish();
}
