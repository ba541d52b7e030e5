//! Limits that follow from the memory of a real cgroup.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gateway_testkit::process::Guarded;
use gateway_testkit::{netns, wait};

use crate::common::{example, gateway_command, start_backend, wait_until_ready};

/// A cgroup below our own, taken away again.
struct Cgroup(PathBuf);

impl Cgroup {
    /// With that limit of memory; an error says why there is none to be had here.
    fn with_limit(bytes: u64) -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = |kind: &str| own.lines().find_map(|line| line.split_once(kind)).map(|(_, path)| path);
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (parent, file) = match (path(":memory:"), path("0::")) {
            (Some(path), _) if v1.exists() => (below(v1, path), "memory.limit_in_bytes"),
            (_, Some(path)) => (below(Path::new("/sys/fs/cgroup"), path), "memory.max"),
            _ => return Err("no hierarchy of cgroups".to_owned()),
        };
        let dir = parent.join(format!("sluice-test-{}", std::process::id()));
        let say = |error: std::io::Error| format!("{}: {error}", dir.display());
        fs::create_dir(&dir).map_err(say)?;
        let cgroup = Self(dir.clone());
        fs::write(dir.join(file), bytes.to_string()).map_err(say)?;
        Ok(cgroup)
    }
}

/// Where a cgroup is mounted; in a container its path may be one that is not seen here.
fn below(mount: &Path, path: &str) -> PathBuf {
    let dir = mount.join(path.trim_start_matches('/'));
    if dir.exists() { dir } else { mount.to_owned() }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes have been waited for, but leave it a moment later.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        eprintln!("{} stays", self.0.display());
    }
}

#[test]
fn the_memory_of_the_cgroup_bounds_connections_and_buffers() {
    netns::run("capacity", |inside| {
        let cgroup = match Cgroup::with_limit(256 << 20) {
            Ok(cgroup) => cgroup,
            // On such a machine the unit tests of `capacity/cgroup.rs` are what there is.
            Err(why) => return eprintln!("not run: no memory cgroup can be made: {why}"),
        };
        let _backend = start_backend();
        let gateway = gateway_command(inside, &example(), &["--workers", "2"], &[]);
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""]).arg(&cgroup.0);
        command.arg(gateway.get_program()).args(gateway.get_args());
        let mut gateway = Guarded::spawn(&mut command).unwrap();
        wait_until_ready(&mut gateway);
        let line = "each worker holds at most 2048 connections (16KiB each of a quarter of 256MiB of cgroup ";
        wait::until("the line at the start", || gateway.output().contains(line).then_some(()));
        let line = "and 32MiB of buffers (a quarter of 256MiB of cgroup ";
        assert!(gateway.output().contains(line), "{}", gateway.output());
        drop(gateway);
        drop(cgroup);
    });
}
