//! The file thread, through io_uring and through plain writes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{fs, path::Path, thread, time::Duration};

use common::WAIT_TIMEOUT;
use gateway_io::{
    IoMode,
    file::{FileDriver, FileTarget, FileThread, LogSink},
};
use gateway_testkit::scratch::Scratch;

const MODES: [(IoMode, FileDriver); 2] =
    [(IoMode::Uring, FileDriver::Uring), (IoMode::Epoll, FileDriver::Plain)];

fn start(path: &Path, mode: IoMode) -> FileThread {
    FileThread::start(FileTarget::Path(path.to_owned()), mode).unwrap()
}

fn push(sink: &LogSink, lines: &str) {
    let mut batch = sink.buffer();
    assert!(batch.is_empty());
    batch.extend_from_slice(lines.as_bytes());
    while let Err(back) = sink.try_push(batch) {
        batch = back;
        thread::yield_now();
    }
}

#[test]
fn lines_of_all_workers_are_written_whole_and_in_each_workers_order() {
    for (mode, driver) in MODES {
        let scratch = Scratch::new("log-lines").unwrap();
        let path = scratch.join("access.log");
        fs::write(&path, "kept\n").unwrap();
        let log = start(&path, mode);
        assert_eq!(log.driver(), driver);
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let sink = log.sink();
                thread::spawn(move || {
                    for batch in 0..500 {
                        push(&sink, &format!("{worker} {batch} a\n{worker} {batch} b\n"));
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let sink = log.sink();
        assert!(log.stop(WAIT_TIMEOUT));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("kept\n"));
        for worker in 0..4 {
            let prefix = format!("{worker} ");
            let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&prefix)).collect();
            let expected: Vec<_> =
                (0..500).flat_map(|b| [format!("{worker} {b} a"), format!("{worker} {b} b")]).collect();
            assert_eq!(lines, expected);
        }
        let stats = sink.stats();
        assert_eq!(stats.written_bytes, text.len() as u64 - 5);
        assert_eq!((stats.write_errors, stats.lost_bytes), (0, 0));
        assert!(sink.try_push(b"late\n".to_vec()).is_err(), "nobody writes any more");
    }
}

/// A pipe nobody reads: the queue fills, then batches come back at once, and stop gives up in time.
#[test]
fn a_stuck_reader_never_blocks_the_worker() {
    for (mode, _) in MODES {
        let scratch = Scratch::new("log-stuck").unwrap();
        let path = scratch.join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Opened for both, so that opening for writing does not wait; never read until the end.
        let mut reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let log = start(&path, mode);
        let sink = log.sink();
        let mut accepted = 0;
        let refused = loop {
            match sink.try_push(vec![b'x'; 64 * 1024]) {
                Ok(()) => accepted += 1,
                Err(back) => break back,
            }
            assert!(accepted < 10_000, "the queue has no bound");
        };
        assert_eq!(refused.len(), 64 * 1024);
        assert_eq!(sink.stats().refused_batches, 1);
        assert!(!log.stop(Duration::from_millis(50)), "the write is stuck");
        // Let it end: all that was accepted arrives, and then the thread is gone.
        let mut left = accepted * 64 * 1024;
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            left -= std::io::Read::read(&mut reader, &mut buffer).unwrap();
        }
        common::on_thread("the thread ends", move || {
            while sink.try_push(vec![b'x']).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
    }
}

#[test]
fn reopening_after_rotation_loses_no_line_and_closes_the_old_file() {
    for (mode, _) in MODES {
        let scratch = Scratch::new("log-rotate").unwrap();
        let (path, old) = (scratch.join("access.log"), scratch.join("access.log.1"));
        let log = start(&path, mode);
        let sink = log.sink();
        push(&sink, "one\n");
        futures(log.flushed());
        fs::rename(&path, &old).unwrap();
        push(&sink, "two\n");
        log.reopen();
        push(&sink, "three\n");
        futures(log.flushed());
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(openings(&old), 0);
        assert_eq!(openings(&path), 1);
        assert!(log.stop(WAIT_TIMEOUT));
        assert_eq!(openings(&path), 0);
    }
}

/// A full disk, as /dev/full plays it: counted, not fatal.
#[test]
fn write_errors_are_counted_and_writing_goes_on() {
    for (mode, _) in MODES {
        let log = start(Path::new("/dev/full"), mode);
        let sink = log.sink();
        for _ in 0..3 {
            push(&sink, "lost\n");
            futures(log.flushed());
        }
        let stats = log.stats();
        assert_eq!((stats.write_errors, stats.lost_bytes, stats.written_bytes), (3, 15, 0));
        assert!(log.stop(WAIT_TIMEOUT));
    }
}

#[test]
fn it_ends_by_itself_when_all_sinks_are_gone() {
    for (mode, _) in MODES {
        let scratch = Scratch::new("log-gone").unwrap();
        let path = scratch.join("access.log");
        let log = start(&path, mode);
        let sink = log.sink();
        drop(log);
        push(&sink, "last\n");
        drop(sink);
        let closed = path.clone();
        common::on_thread("the thread ends", move || {
            while openings(&closed) > 0 {
                thread::sleep(Duration::from_millis(1));
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "last\n");
    }
}

#[test]
fn off_writes_nothing_and_a_bad_path_is_named() {
    let off = FileThread::start(FileTarget::Off, IoMode::Auto).unwrap();
    assert!(off.sink().is_off());
    assert_eq!(off.driver(), FileDriver::Off);
    off.sink().try_push(b"gone\n".to_vec()).unwrap();
    assert!(off.stop(WAIT_TIMEOUT));
    let scratch = Scratch::new("log-path").unwrap();
    let missing = scratch.join("no/such/access.log");
    let error = FileThread::start(FileTarget::Path(missing), IoMode::Auto).unwrap_err();
    assert!(error.to_string().contains("no/such/access.log"), "{error}");
}

/// Descriptors of this process that refer to the file.
fn openings(path: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).filter(|link| link == path).count()
}

/// Waits for a future on this thread.
fn futures<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
