//! Copies of bodies: bounds, memory, mirrors and other attempts.

use std::rc::Rc;
use std::sync::Arc;

use gateway_io::Driver;

use super::*;
use crate::ProxyConfig;
use crate::context::WorkerContext;

fn piece(len: usize, finished: bool) -> Piece {
    Piece { data: Some(copy(&vec![b'x'; len])), received: len, finished }
}

#[test]
fn mirrors_get_a_body_that_came_whole_whatever_became_of_the_attempt() {
    let replay = Replay::new(false, true);
    replay.keep(&piece(MAX_MIRRORED - 1, false), || false);
    assert!(replay.take().is_none(), "the rest would be lost");
    replay.give_up();
    replay.keep(&piece(1, true), || false);
    replay.give_up();
    let sizes = replay.take().map(|body| body.iter().map(|piece| piece.len()).collect());
    assert_eq!(sizes, Some(vec![MAX_MIRRORED - 1, 1]));

    let long = Replay::new(true, true);
    long.keep(&piece(MAX_MIRRORED, false), || false);
    long.keep(&piece(1, true), || false);
    assert!(long.take().is_none());
    let broken = Replay::new(false, true);
    broken.keep(&piece(1, false), || false);
    broken.spend();
    assert!(broken.take().is_none());
    assert_eq!(Replay::new(false, true).take().map(|body| body.len()), Some(0), "without content");
}

#[test]
fn mirrors_leave_a_body_for_another_attempt() {
    let replay = Replay::new(true, true);
    replay.keep(&piece(3, true), || false);
    assert_eq!(replay.take().map(|body| body.len()), Some(1));
    assert!(replay.is_ready() && replay.count() == 1);
}

#[test]
fn a_body_is_kept_until_it_is_long_or_has_trailers() {
    let replay = Replay::new(true, false);
    assert!(replay.is_ready(), "nothing was taken");
    replay.keep(&piece(10_000, false), || false);
    assert!(!replay.is_ready(), "the rest would be lost");
    replay.keep(&piece(6_384, true), || false);
    assert!(replay.is_ready());
    assert_eq!((replay.count(), replay.get(1).map(|piece| piece.len())), (2, Some(6_384)));
    replay.give_up();
    assert!(!replay.is_ready() && replay.count() == 0);

    let long = Replay::new(true, false);
    long.keep(&piece(MAX_KEPT, false), || false);
    long.keep(&piece(1, true), || false);
    assert!(!long.is_ready() && long.count() == 0, "memory is given back");
    let with_trailers = Replay::new(true, false);
    with_trailers.keep(&piece(1, true), || true);
    assert!(!with_trailers.is_ready());
    assert!(!Replay::new(false, false).is_ready());
}
#[test]
fn a_body_that_comes_byte_by_byte_is_kept_in_few_pieces() {
    let replay = Replay::new(true, true);
    (1..=MAX_MIRRORED).for_each(|at| replay.keep(&piece(1, at == MAX_MIRRORED), || false));
    assert!(replay.is_ready());
    let lens: Vec<_> = (0..replay.count()).filter_map(|at| Some(replay.get(at)?.len())).collect();
    assert_eq!((lens.iter().sum::<usize>(), lens.len()), (MAX_MIRRORED, 8), "{lens:?}");
    let capacities: usize = replay.kept.borrow().pieces.iter().map(Chunk::capacity).sum();
    assert!(capacities < MAX_MIRRORED + MOST_PIECE);
}

/// Memory for retries of which a namespace may have so much.
fn account(bytes: usize) -> ReplayAccount {
    let config = ProxyConfig { buffer_limit: bytes * 16 * 4, ..ProxyConfig::default() };
    let context = WorkerContext::new(Arc::new(config), Driver::Epoll, Box::new(|_| Ok(())));
    let shared = context.shares.of("team", "listener");
    ReplayAccount::new(&Rc::new(context), shared.id().namespace())
}

#[test]
fn memory_is_charged_as_it_is_held() {
    let account = account(10_000);
    let replay = Replay::within(&account, false);
    replay.keep(&piece(1, false), || false);
    assert!(!account.take(10_000 - LEAST_PIECE), "room for more of the body is held, too");
    replay.keep(&piece(9_990, false), || false);
    replay.keep(&piece(1, true), || false);
    assert!(!replay.is_ready() && account.take(10_000), "no room, and what was taken is given back");
}

#[test]
fn mirrors_get_a_body_though_there_is_no_room_to_send_it_again() {
    let account = account(100);
    let replay = Replay::within(&account, true);
    replay.keep(&piece(2_000, false), || false);
    replay.keep(&piece(3_000, true), || false);
    assert!(!replay.is_ready());
    let len = replay.take().map(|body| body.iter().map(|piece| piece.len()).sum());
    assert_eq!((len, replay.count()), (Some(5_000), 0));
}

#[test]
fn what_mirrors_have_got_goes_with_the_last_attempt() {
    let account = account(20_000);
    let replay = Replay::within(&account, true);
    replay.keep(&piece(9_000, true), || false);
    assert!(replay.take().is_some() && replay.is_ready());
    replay.give_up();
    assert!(replay.count() == 0 && account.take(20_000));
}
