//! Chunks as their users see them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;

use gateway_io::{
    Chunk, ChunkFull, DEFAULT_CHUNK_SIZE, Driver, HEADROOM, RuntimeOptions, pool_stats, run, trim_pool,
};

fn filled(bytes: &[u8]) -> Chunk {
    let mut chunk = Chunk::take();
    chunk.extend_from_slice(bytes).unwrap();
    chunk
}

#[test]
fn a_fresh_chunk_is_empty_and_takes_its_size_exactly() {
    let mut chunk = Chunk::take();
    assert!(chunk.is_empty());
    assert_eq!(chunk.capacity(), DEFAULT_CHUNK_SIZE);
    chunk.extend_from_slice(&vec![7; DEFAULT_CHUNK_SIZE]).unwrap();
    assert_eq!(chunk.extend_from_slice(b"x"), Err(ChunkFull { wanted: 1, spare: 0 }));
    assert_eq!(chunk.append(b"x"), 0);
    assert!(write!(chunk, "x").is_err());
    assert_eq!(chunk.len(), DEFAULT_CHUNK_SIZE);
}

#[test]
fn ranges_are_clamped_and_never_panic() {
    let mut chunk = filled(b"hello world");
    chunk.advance(6);
    assert_eq!(&*chunk, b"world");
    chunk.truncate(100);
    chunk.truncate(3);
    assert_eq!(&*chunk, b"wor");
    chunk.as_mut_slice()[0] = b'W';
    chunk.advance(100);
    assert!(chunk.is_empty());
    chunk.spare()[..2].copy_from_slice(b"hi");
    chunk.commit(2);
    assert_eq!(&*chunk, b"hi");
    chunk.commit(usize::MAX);
    assert_eq!(chunk.spare_len(), 0);
    chunk.clear();
    assert_eq!((chunk.len(), chunk.spare_len()), (0, DEFAULT_CHUNK_SIZE));
}

#[test]
fn headroom_takes_a_frame_head() {
    let mut chunk = filled(b"body");
    chunk.prepend(b"4\r\n").unwrap();
    assert_eq!(&*chunk, b"4\r\nbody");
    let full = chunk.prepend(&[0; HEADROOM]).unwrap_err();
    assert_eq!(full, ChunkFull { wanted: HEADROOM, spare: HEADROOM - 3 });
    assert_eq!(&*chunk, b"4\r\nbody");
}

#[test]
fn a_head_that_trickles_in_grows_to_its_limit_only() {
    let mut head = Chunk::take();
    let piece = [b'h'; 1000];
    let refused = loop {
        match head.reserve(piece.len(), 64_000) {
            Ok(()) => head.extend_from_slice(&piece).unwrap(),
            Err(full) => break full,
        }
    };
    assert_eq!(refused.wanted, 1000);
    assert_eq!(head.len(), 64_000);
    assert!(head.iter().all(|&byte| byte == b'h'));
    // Room is found in front before a larger buffer is taken.
    let mut moved = filled(&[1; DEFAULT_CHUNK_SIZE]);
    moved.advance(DEFAULT_CHUNK_SIZE - 10);
    let lent = pool_stats().allocated;
    moved.reserve(1000, DEFAULT_CHUNK_SIZE).unwrap();
    assert_eq!(pool_stats().allocated, lent);
    assert_eq!(&*moved, [1; 10]);
    assert!(moved.spare_len() >= 1000);
}

#[test]
fn split_off_copies_the_tail() {
    let mut first = filled(b"GET / HTTP/1.1\r\n\r\nnext");
    let next = first.split_off(18);
    assert_eq!((&*first, &*next), (&b"GET / HTTP/1.1\r\n\r\n"[..], &b"next"[..]));
    assert!(first.split_off(1000).is_empty());
}

#[test]
fn little_data_moves_out_of_a_large_buffer_and_much_stays() {
    let before = pool_stats().lent_bytes;
    let mut chunk = filled(b"xxlittle");
    chunk.advance(2);
    let mut small = chunk.compact();
    assert_eq!(*small, *b"little");
    assert_eq!((pool_stats().lent_bytes - before, small.spare_len()), (HEADROOM + 6, 0));
    small.prepend(b"a ").unwrap();
    assert_eq!(*small, *b"a little");
    drop(small);
    assert_eq!(pool_stats().lent_bytes, before);
    let much = vec![7; DEFAULT_CHUNK_SIZE / 2];
    let at = |chunk: &Chunk| chunk.as_ptr();
    let chunk = filled(&much);
    let place = at(&chunk);
    assert_eq!(at(&chunk.compact()), place);
}

#[test]
fn buffers_are_reused_and_big_ones_freed() {
    let before = pool_stats();
    drop((Chunk::take(), Chunk::take()));
    let warm = pool_stats();
    assert_eq!((warm.lent, warm.idle), (before.lent, 2));
    for _ in 0..100 {
        drop((Chunk::take(), Chunk::take()));
    }
    assert_eq!(pool_stats(), warm);
    let big = Chunk::with_capacity(DEFAULT_CHUNK_SIZE + 1);
    assert_eq!(big.capacity(), DEFAULT_CHUNK_SIZE + 1);
    drop(big);
    assert_eq!(pool_stats().idle, 2, "a big buffer is not kept");
}

#[test]
fn a_worker_sets_its_size_and_keeps_no_more_than_its_cap() {
    let options = RuntimeOptions { chunk_size: 1000, idle_chunks: 3, ..RuntimeOptions::new(Driver::Epoll) };
    let stats = run(&options, || async {
        let chunks: Vec<_> = (0..10).map(|_| Chunk::take()).collect();
        assert!(chunks.iter().all(|chunk| chunk.capacity() == 1000));
        drop(chunks);
        trim_pool();
        pool_stats()
    });
    let stats = stats.unwrap();
    assert_eq!((stats.chunk_size, stats.lent, stats.idle), (1000, 0, 3));
}
