//! The watched directory against everything that changes files: editors, the kubelet, people.
#![allow(missing_docs)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_control::source::file::{Tree, TreeFile, Watcher, read};
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait::until;

/// A directory under watch, with the number of events so far.
struct WatchedDirectory {
    dir: Scratch,
    watcher: Watcher,
    events: Arc<AtomicU64>,
}

impl WatchedDirectory {
    fn new() -> Self {
        let dir = Scratch::new("directory").unwrap();
        let events = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&events);
        let watcher = Watcher::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
        let mut watched = Self { dir, watcher, events };
        watched.follow();
        watched
    }

    fn follow(&mut self) -> Tree {
        let tree = read(self.dir.path()).unwrap();
        assert_eq!(self.watcher.follow(&tree.fingerprint), 0, "every directory can be watched");
        tree
    }

    /// Runs `change`, waits until it is noticed, and gives what is there then.
    fn after(&mut self, change: impl FnOnce(&Path)) -> Vec<(String, String)> {
        let before = self.events.load(Ordering::SeqCst);
        change(self.dir.path());
        until("an event", || (self.events.load(Ordering::SeqCst) > before).then_some(()));
        let root = format!("{}/", self.dir.path().display());
        let text = |file: &TreeFile| match file {
            TreeFile::Text(text) => text.to_string(),
            TreeFile::Unusable(why) => panic!("{why}"),
        };
        let tree = self.follow();
        tree.files.iter().map(|(path, file)| (path.replace(&root, ""), text(file))).collect()
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn an_editor_that_moves_a_new_file_over_the_old_one_is_noticed_every_time() {
    let mut watched = WatchedDirectory::new();
    for round in 0..5 {
        let text = format!("version {round}");
        let seen = watched.after(|dir| {
            fs::write(dir.join(".a.yaml.swp"), &text).unwrap();
            fs::rename(dir.join(".a.yaml.swp"), dir.join("a.yaml")).unwrap();
        });
        assert_eq!(seen, pairs(&[("a.yaml", &text)]));
    }
}

#[test]
fn a_config_map_swap_is_noticed_every_time() {
    let mut watched = WatchedDirectory::new();
    watched.after(|dir| {
        fs::create_dir(dir.join("..0")).unwrap();
        fs::write(dir.join("..0/a.yaml"), "0").unwrap();
        symlink("..0", dir.join("..data")).unwrap();
        symlink("..data/a.yaml", dir.join("a.yaml")).unwrap();
    });
    for round in 1..4 {
        // As the kubelet's AtomicWriter does it: a new directory, a new link beside the old one, one rename.
        let seen = watched.after(|dir| {
            let version = format!("..{round}");
            fs::create_dir(dir.join(&version)).unwrap();
            fs::write(dir.join(&version).join("a.yaml"), round.to_string()).unwrap();
            symlink(&version, dir.join("..data_tmp")).unwrap();
            fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
            fs::remove_dir_all(dir.join(format!("..{}", round - 1))).unwrap();
        });
        assert_eq!(seen, pairs(&[("a.yaml", &round.to_string())]));
    }
}

#[test]
fn directories_that_come_later_are_watched_too_and_again_after_they_were_made_anew() {
    let mut watched = WatchedDirectory::new();
    for round in 0..3 {
        watched.after(|dir| fs::create_dir(dir.join("team")).unwrap());
        let text = format!("version {round}");
        let seen = watched.after(|dir| fs::write(dir.join("team/a.yaml"), &text).unwrap());
        assert_eq!(seen, pairs(&[("team/a.yaml", &text)]));
        let seen = watched.after(|dir| fs::remove_dir_all(dir.join("team")).unwrap());
        assert!(seen.is_empty());
    }
}

#[test]
fn reading_does_not_wake_the_watcher() {
    let mut watched = WatchedDirectory::new();
    watched.after(|dir| fs::write(dir.join("a.yaml"), "one").unwrap());
    // The last event of the write itself may still be under way.
    let mut settled = watched.events.load(Ordering::SeqCst);
    until("the events to end", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = watched.events.load(Ordering::SeqCst);
        (std::mem::replace(&mut settled, now) == now).then_some(())
    });
    for _ in 0..10 {
        watched.follow();
    }
    // A sentinel shows that earlier events, had there been any, have arrived: inotify keeps their order.
    watched.after(|dir| fs::create_dir(dir.join("sentinel")).unwrap());
    let after = watched.events.load(Ordering::SeqCst);
    assert!(after - settled <= 2, "{} events for one new directory", after - settled);
}

#[test]
fn what_cannot_be_read_costs_itself_also_when_it_comes_later() {
    let mut watched = WatchedDirectory::new();
    watched.after(|dir| fs::write(dir.join("a.yaml"), "one").unwrap());
    let mut spoil = |change: &dyn Fn(&Path)| {
        let before = watched.events.load(Ordering::SeqCst);
        change(watched.dir.path());
        until("an event", || (watched.events.load(Ordering::SeqCst) > before).then_some(()));
        let tree = watched.follow();
        let root = format!("{}/", watched.dir.path().display());
        let shown = |(path, file): (&Arc<str>, &TreeFile)| match file {
            TreeFile::Text(text) => format!("{}={text}", path.replace(&root, "")),
            TreeFile::Unusable(_) => format!("{} unusable", path.replace(&root, "")),
        };
        tree.files.iter().map(shown).collect::<Vec<_>>()
    };
    let link = |target: &'static str| move |dir: &Path| symlink(target, dir.join("x.yaml")).unwrap();
    assert_eq!(spoil(&link("/nonexistent")), ["a.yaml=one", "x.yaml unusable"]);
    assert_eq!(
        spoil(&|dir| fs::write(dir.join("a.yaml"), "two").unwrap()),
        ["a.yaml=two", "x.yaml unusable"]
    );
    assert_eq!(spoil(&|dir| fs::remove_file(dir.join("x.yaml")).unwrap()), ["a.yaml=two"]);
    assert_eq!(spoil(&link("x.yaml")), ["a.yaml=two", "x.yaml unusable"]);
    let pipe = |dir: &Path| {
        fs::remove_file(dir.join("x.yaml")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.join("x.yaml")).status().unwrap();
        assert!(made.success());
    };
    assert_eq!(spoil(&pipe), ["a.yaml=two", "x.yaml unusable"]);
    let file = |dir: &Path| {
        fs::remove_file(dir.join("x.yaml")).unwrap();
        fs::write(dir.join("x.yaml"), "three").unwrap();
    };
    assert_eq!(spoil(&file), ["a.yaml=two", "x.yaml=three"]);
}
