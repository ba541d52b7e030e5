use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// Quiet time of these tests in milliseconds; times are milliseconds since the start.
const QUIET: u64 = 100;

/// Makes an event of how the file looks when it arrives.
type MakeEvent = fn(Stamp) -> FileEvent;

/// Files as the kernel has them, and what is told of them.
struct TestFiles {
    start: Instant,
    now: u64,
    /// Stamp, and whether the content is whole.
    files: BTreeMap<PathBuf, (Stamp, bool)>,
    /// Events that are on their way: when they arrive, of which file, and which.
    events: VecDeque<(u64, PathBuf, MakeEvent)>,
    writes: PendingWrites,
    /// When the next look is, because of an event and because of a deadline.
    looks: [Option<u64>; 2],
    /// Events that say that a file was closed are sent.
    tells_close: bool,
    next: u64,
    notes: Vec<String>,
    /// Reading of a file that was half written.
    half: Option<String>,
}

impl TestFiles {
    fn new(files: &[(&str, u64)]) -> Self {
        let mut world = Self {
            start: Instant::now(),
            now: 0,
            files: BTreeMap::new(),
            events: VecDeque::new(),
            writes: PendingWrites::new(WriteDelays::patient(Duration::from_millis(QUIET))),
            looks: [None; 2],
            tells_close: true,
            next: 1,
            notes: Vec::new(),
            half: None,
        };
        for (path, size) in files {
            let id = world.id();
            world.set(path, id, *size, true);
        }
        world.look(false);
        world
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn set(&mut self, path: &str, inode: u64, size: u64, whole: bool) {
        let version = i64::try_from(self.id()).unwrap();
        self.files.insert(path.into(), (Stamp::made_up(inode, size, version), whole));
    }

    fn inode(&self, path: &str) -> Option<u64> {
        self.files.get(Path::new(path)).map(|(stamp, _)| stamp.identity().1)
    }

    fn size(&self, path: &str) -> Option<u64> {
        self.writes.accepted_size(Path::new(path))
    }

    /// Queues an event, which arrives after a delay and after those before it.
    fn tell(&mut self, path: &str, delay: u64, event: MakeEvent) {
        let earliest = self.events.back().map_or(0, |(at, ..)| *at);
        self.events.push_back((earliest.max(self.now + delay), path.into(), event));
    }

    /// Lets time pass; what is due meanwhile happens.
    fn pass(&mut self, time: u64) {
        let end = self.now + time;
        loop {
            let event = self.events.front().map(|(at, ..)| *at);
            let next = [event, self.looks[0], self.looks[1]].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if event == Some(next) {
                let (_, path, of) = self.events.pop_front().unwrap();
                // As the watcher does it: the file is looked at when the event arrives.
                let event = self.files.get(&path).map_or(FileEvent::Removed, |(stamp, _)| of(*stamp));
                if self.writes.event(event, self.instant()) {
                    self.looks[0] = Some(self.now + QUIET);
                }
            } else {
                self.look(false);
            }
        }
        self.now = end;
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn look(&mut self, hurry: bool) {
        let found = self.files.iter().map(|(path, (stamp, _))| (path.clone(), *stamp)).collect();
        let look = self.writes.look(&found, hurry, self.instant());
        for path in &look.ready {
            let (stamp, whole) = self.files[path];
            // A new file without content takes nothing away.
            if !whole && (stamp.size() > 0 || self.size(&path.to_string_lossy()).is_some_and(|size| size > 0))
            {
                self.half.get_or_insert(format!("{} at {}", path.display(), self.now));
            }
        }
        self.notes.extend(look.notes.iter().map(|note| format!("{}: {note}", note.path.display())));
        self.writes.accept(&found, &look, self.instant());
        let due = look.due.map(|due| u64::try_from((due - self.start).as_millis()).unwrap());
        self.looks = [None, due];
    }

    /// Every file was read as it is now.
    fn has_converged(&self) -> bool {
        let read = self.writes.accepted.as_ref().unwrap();
        let now: BTreeMap<_, _> =
            self.files.iter().map(|(path, (stamp, _))| (path.clone(), *stamp)).collect();
        *read == now
    }

    /// `> path`: empties the file, or makes it.
    fn truncate(&mut self, path: &str, delay: u64) {
        match self.inode(path) {
            Some(inode) => {
                self.set(path, inode, 0, false);
                self.tell(path, delay, FileEvent::Written);
            }
            None => {
                let inode = self.id();
                self.set(path, inode, 0, false);
                self.tell(path, delay, FileEvent::created);
            }
        }
    }

    fn write(&mut self, path: &str, size: u64, whole: bool, delay: u64) {
        let inode = self.inode(path).unwrap();
        self.set(path, inode, size, whole);
        self.tell(path, delay, FileEvent::Written);
    }

    fn close(&mut self, path: &str, delay: u64) {
        if self.tells_close {
            self.tell(path, delay, FileEvent::Closed);
        }
    }

    fn rename_over(&mut self, path: &str, size: u64, delay: u64) {
        let inode = self.id();
        self.set(path, inode, size, true);
        self.tell(path, delay, FileEvent::Replaced);
    }

    fn remove(&mut self, path: &str, delay: u64) {
        self.files.remove(Path::new(path));
        self.tell(path, delay, |_| FileEvent::Removed);
    }
}

#[test]
fn a_file_that_was_emptied_is_read_once_it_was_written_and_closed() {
    let mut world = TestFiles::new(&[("a", 600)]);
    world.truncate("a", 1);
    world.pass(4_000);
    assert_eq!(world.size("a"), Some(600));
    world.write("a", 700, true, 1);
    world.pass(1);
    world.close("a", 1);
    world.pass(QUIET + 1);
    assert_eq!((world.size("a"), world.half.clone()), (Some(700), None));
    let [note] = &world.notes[..] else { panic!("{:?}", world.notes) };
    assert!(note.starts_with("a: open for writing and empty, 600 before"), "{note}");
}

#[test]
fn a_file_held_open_is_read_five_seconds_after_its_last_change() {
    let mut world = TestFiles::new(&[("a", 600)]);
    world.truncate("a", 0);
    world.pass(3_000);
    world.write("a", 100, false, 0);
    world.pass(4_999);
    assert_eq!(world.size("a"), Some(600));
    world.pass(1);
    assert_eq!(world.size("a"), Some(100));
    assert!(world.notes.last().unwrap().contains("still open for writing, but unchanged for 5s"));
    assert_eq!(world.notes.len(), 2, "{:?}", world.notes);
}

#[test]
fn an_empty_or_shorter_file_waits_two_seconds_and_is_named() {
    for size in [0, 599] {
        let mut world = TestFiles::new(&[("a", 600), ("b", 1)]);
        world.truncate("a", 0);
        world.write("a", size, false, 0);
        world.close("a", 0);
        world.pass(1_999);
        assert_eq!(world.size("a"), Some(600));
        world.rename_over("b", 2, 0);
        world.pass(QUIET);
        assert_eq!((world.size("a"), world.size("b")), (Some(size), Some(2)));
        let [note] = &world.notes[..] else { panic!("{:?}", world.notes) };
        assert!(note.starts_with("a: now ") && note.contains("unchanged for 2s"), "{note}");
    }
}

#[test]
fn what_a_rename_brings_is_whole() {
    let mut world = TestFiles::new(&[("a", 600)]);
    world.rename_over("a", 1, 0);
    world.pass(QUIET);
    assert_eq!((world.size("a"), world.notes.len()), (Some(1), 0));
}

#[test]
fn what_a_swap_around_it_brings_is_whole_and_not_waited_for() {
    let mut world = TestFiles::new(&[("a", 600)]);
    // As the kubelet does it: no event names the file.
    let inode = world.id();
    world.set("a", inode, 1, true);
    assert!(world.writes.event(FileEvent::Swapped, world.instant()));
    world.now += QUIET;
    world.look(false);
    assert_eq!(world.size("a"), Some(1));
}

#[test]
fn a_file_that_changes_without_events_is_read_once_it_stays_as_it_is() {
    let mut world = TestFiles::new(&[("a", 600)]);
    for size in [610, 620, 630] {
        let inode = world.inode("a").unwrap();
        world.set("a", inode, size, size == 630);
        world.look(false);
        world.pass(QUIET / 2);
    }
    assert_eq!(world.size("a"), Some(600));
    world.pass(QUIET / 2);
    assert_eq!((world.size("a"), world.half.clone()), (Some(630), None));
}

#[test]
fn files_that_are_removed_are_gone_after_the_quiet_time_unless_they_come_back() {
    let mut world = TestFiles::new(&[("a", 600)]);
    world.remove("a", 0);
    world.look(false);
    assert_eq!(world.size("a"), Some(600));
    world.pass(QUIET / 2);
    world.rename_over("a", 500, 0);
    world.pass(QUIET);
    assert_eq!(world.size("a"), Some(500));
    world.remove("a", 0);
    world.pass(QUIET);
    assert_eq!(world.size("a"), None);
}

#[test]
fn a_reload_reads_shorter_files_and_none_that_is_open() {
    let mut world = TestFiles::new(&[("a", 600), ("b", 600)]);
    for path in ["a", "b"] {
        world.truncate(path, 0);
        world.write(path, 10, path == "a", 0);
    }
    world.close("a", 0);
    world.pass(1);
    world.look(true);
    assert_eq!((world.size("a"), world.size("b")), (Some(10), Some(600)));
}

#[test]
fn a_link_waits_for_the_file_behind_it() {
    let mut world = TestFiles::new(&[("a", 600)]);
    let behind = world.files[Path::new("a")];
    world.files.insert("link".into(), behind);
    world.look(false);
    world.pass(QUIET);
    world.truncate("a", 0);
    let half = world.files[Path::new("a")];
    world.files.insert("link".into(), half);
    world.pass(3_000);
    assert_eq!((world.size("a"), world.size("link")), (Some(600), Some(600)));
}

#[test]
fn quiet_time_alone_decides_where_that_is_asked_for() {
    let mut world = TestFiles::new(&[("a", 600)]);
    world.writes.delays = WriteDelays::quiet_only(Duration::from_millis(QUIET));
    world.truncate("a", 0);
    world.pass(QUIET);
    assert_eq!(world.size("a"), Some(0));
}

/// One thing that somebody does to a file: pauses within it are shorter than what is waited for.
#[derive(Clone, Debug)]
enum Step {
    InPlace {
        chunks: Vec<(u64, u64)>,
    },
    /// Written over from the front, never emptied: `rsync --inplace`.
    Over {
        chunks: Vec<u64>,
        size: u64,
    },
    Rename {
        size: u64,
    },
    Anew {
        gap: u64,
        size: u64,
    },
    Mode,
    Remove,
    FileWork,
}

fn step() -> impl Strategy<Value = Step> {
    let chunks = || prop::collection::vec((1_u64..500, 0_u64..4_500), 0..4);
    prop_oneof![
        chunks().prop_map(|chunks| Step::InPlace { chunks }),
        (prop::collection::vec(0_u64..4_500, 1..4), 1_u64..900)
            .prop_map(|(chunks, size)| Step::Over { chunks, size }),
        (1_u64..900).prop_map(|size| Step::Rename { size }),
        (0_u64..QUIET / 2, 1_u64..900).prop_map(|(gap, size)| Step::Anew { gap, size }),
        Just(Step::Mode),
        Just(Step::Remove),
        Just(Step::FileWork),
    ]
}

fn act(world: &mut TestFiles, path: &str, step: &Step, delay: u64) {
    let exists = world.inode(path).is_some();
    match step {
        Step::InPlace { chunks } => {
            world.truncate(path, delay);
            let mut size = 0;
            for (at, (more, gap)) in chunks.iter().enumerate() {
                world.pass(*gap);
                size += more;
                world.write(path, size, at + 1 == chunks.len(), delay);
            }
            if chunks.is_empty() {
                world.files.get_mut(Path::new(path)).unwrap().1 = true;
            }
            world.close(path, delay);
        }
        Step::Over { chunks, size } if exists => {
            for (at, gap) in chunks.iter().enumerate() {
                let now = world.files[Path::new(path)].0.size();
                let last = at + 1 == chunks.len();
                world.write(path, if last { *size } else { now }, last, delay);
                if !last {
                    world.pass(*gap);
                }
            }
            world.close(path, delay);
        }
        Step::Rename { size } => world.rename_over(path, *size, delay),
        Step::Anew { gap, size } if exists => {
            world.remove(path, delay);
            world.pass(*gap);
            world.truncate(path, delay);
            world.pass(*gap);
            world.write(path, *size, true, delay);
            world.close(path, delay);
        }
        Step::Mode if exists => {
            let (stamp, whole) = world.files[Path::new(path)];
            world.set(path, stamp.identity().1, stamp.size(), whole);
            world.tell(path, delay, FileEvent::Touched);
        }
        Step::Remove if exists => world.remove(path, delay),
        _ => world.look(false),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: where closes are told of, no file is read half, and in the end all
    /// is as on disk.
    #[test]
    fn nothing_is_read_half_and_everything_in_the_end(
        steps in prop::collection::vec((any::<bool>(), step(), 0_u64..QUIET / 2, 0_u64..3_000), 1..12),
        tells_close in any::<bool>(),
    ) {
        let mut world = TestFiles::new(&[("a", 600), ("b", 300)]);
        world.tells_close = tells_close;
        for (first, step, delay, pause) in &steps {
            act(&mut world, if *first { "a" } else { "b" }, step, *delay);
            world.pass(*pause);
        }
        if tells_close {
            prop_assert_eq!(&world.half, &None);
        }
        world.pass(5_000 + 2 * QUIET);
        prop_assert!(world.has_converged(), "{:?} {:?}", world.writes, world.files);
        prop_assert!(world.looks == [None; 2], "it never ends");
    }
}
