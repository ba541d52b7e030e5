//! systemd itself, as process 1 of namespaces of its own, with Sluice installed as `deploy/systemd` says.
#![allow(dead_code, unreachable_pub)] // nobody to publish to

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::common;
use gateway_testkit::netns::Inside;
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A running systemd; it and all it started end when this is dropped.
pub struct Systemd {
    booted: Option<Guarded>,
    pid: u32,
    cgroups: PathBuf,
    ours: PathBuf,
}

fn tests() -> PathBuf {
    std::path::absolute("tests").unwrap()
}

/// The files that are installed.
pub fn units() -> PathBuf {
    std::path::absolute("../../deploy/systemd").unwrap()
}

impl Systemd {
    /// Boots it in the calling thread's network namespace.
    pub fn boot(inside: &Inside) -> Self {
        let cgroups = inside.scratch().join("cgroups");
        std::fs::create_dir(&cgroups).unwrap();
        mount(Some("cgroup2"), &cgroups, Some("cgroup2"), MsFlags::empty(), None::<&str>).unwrap();
        let ours = cgroups.join(format!("sluice-test-{}-{}", std::process::id(), nix::unistd::gettid()));
        std::fs::create_dir(&ours).unwrap();
        let top = inside.scratch().join("root");
        std::fs::create_dir(&top).unwrap();
        let mut command = Command::new("sh");
        command.arg(tests().join("common/systemd.sh")).args([&ours, &top]).arg(common::SLUICE);
        let booted = Guarded::spawn(command.arg(units()).arg(common::example())).unwrap();
        let mut systemd = Self { booted: Some(booted), pid: 0, cgroups, ours };
        systemd.pid = wait::until(&format!("systemd to boot: {}", systemd.log()), || {
            let booted = systemd.booted.as_mut().unwrap();
            assert!(booted.try_wait().unwrap().is_none(), "it did not boot:\n{}", booted.output());
            let (of, comm) = (booted.pid(), |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")));
            let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
            let pid = children.split_ascii_whitespace().next()?.parse().ok()?;
            (comm(pid).ok()?.trim_end() == "systemd").then_some(pid)
        });
        wait::until(&format!("systemd to listen: {}", systemd.log()), || {
            systemd.run(&["systemctl", "is-active", "idle.target"]).status.success().then_some(())
        });
        systemd
    }

    /// Its output so far.
    pub fn log(&self) -> String {
        self.booted.as_ref().map(Guarded::output).unwrap_or_default()
    }

    /// Runs a command where it lives.
    pub fn run(&self, words: &[&str]) -> Output {
        let target = self.pid.to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &target, "--mount", "--pid", "--cgroup", "--root", "--wd=/", "--"]);
        command.args(words).output().unwrap()
    }

    /// Runs `systemctl` and expects it to succeed.
    #[track_caller]
    pub fn systemctl(&self, words: &[&str]) {
        let done = self.run(&[&["systemctl"], words].concat());
        if !done.status.success() {
            let state = common::text(&self.run(&["systemctl", "status", "--no-pager", "sluice"]));
            panic!("{words:?}: {}\n{state}\n{}\n{}", common::text(&done), self.log(), self.sluice_log());
        }
    }

    /// A property of the service.
    pub fn property(&self, name: &str) -> String {
        let done = self.run(&["systemctl", "show", "--value", "--property", name, "sluice"]);
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// The service's main process, by its id in our own namespace.
    pub fn main_pid(&self) -> u32 {
        let inner = self.property("MainPID");
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_it = |pid: &u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let nested = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            let nested: Vec<&str> = nested.split_ascii_whitespace().collect();
            let same = |ns| {
                let of = |pid| std::fs::read_link(format!("/proc/{pid}/ns/{ns}")).ok();
                of(*pid).is_some() && of(*pid) == of(self.pid)
            };
            nested.len() > 1 && nested.last() == Some(&inner.as_str()) && same("pid")
        };
        ids.find(is_it).unwrap_or_else(|| panic!("no main process {inner}:\n{}", self.sluice_log()))
    }

    /// The gateway's output so far.
    pub fn sluice_log(&self) -> String {
        common::text(&self.run(&["cat", "/run/sluice.log"]))
    }

    /// Puts text into a file.
    pub fn write(&self, path: &str, text: &str) {
        let done = self.run(&["sh", "-c", "printf '%s\\n' \"$1\" > \"$2\"", "sh", text, path]);
        assert!(done.status.success(), "{path}: {}", common::text(&done));
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // With process 1 the kernel takes every process of its namespace.
        drop(self.booted.take());
        // They leave their cgroups a moment after that.
        for _ in 0..500 {
            remove(&self.ours);
            if !self.ours.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = umount2(&self.cgroups, MntFlags::MNT_DETACH);
    }
}

/// Removes a cgroup with those below it; files in them are the kernel's.
fn remove(cgroup: &Path) {
    for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(cgroup);
}
