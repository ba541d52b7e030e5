//! The memory that the process may use: the tightest limit of its cgroups, else what the machine has.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::flags::bytes_text;

/// A limit and who sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    pub(crate) bytes: u64,
    /// The cgroup's directory; none if it is the machine's memory.
    pub(crate) cgroup: Option<PathBuf>,
}

/// Memory in bytes if nothing can be read: enough for a machine of which nothing is known.
const UNKNOWN: u64 = 1 << 30;

/// A mounted hierarchy of cgroups, and the file in each of its directories that holds the limit.
struct Hierarchy {
    /// The directory in the hierarchy that is mounted, which is not `/` in a container.
    root: PathBuf,
    mount: PathBuf,
    file: &'static str,
    /// True if it is cgroup v1's: a hierarchy of its own for memory.
    v1: bool,
}

impl MemoryLimit {
    /// Reads it below `root`, which is `/` but for tests: `proc/meminfo`, `proc/self/cgroup`,
    /// `proc/self/mountinfo`, and in the process's cgroup and each above it `memory.max` (v2) or
    /// `memory.limit_in_bytes` (v1). See Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
    pub(crate) fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let machine = machine(&text("proc/meminfo")).unwrap_or(UNKNOWN);
        let mut tightest = Self { bytes: machine, cgroup: None };
        let (mounts, own) = (text("proc/self/mountinfo"), text("proc/self/cgroup"));
        for hierarchy in mounts.lines().filter_map(Hierarchy::mounted) {
            for dir in
                own.lines().filter_map(|line| hierarchy.dir_of(line)).flat_map(|dir| hierarchy.above(&dir))
            {
                let file = root.join(dir.strip_prefix("/").unwrap_or(&dir)).join(hierarchy.file);
                // "max" is no number: no limit.
                let limit = fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u64>().ok());
                if let Some(bytes) = limit.filter(|bytes| *bytes < tightest.bytes) {
                    tightest = Self { bytes, cgroup: Some(dir) };
                }
            }
        }
        tightest
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whole units: a machine's memory is an odd number of KiB.
        let bytes = bytes_text(if self.bytes >= 1 << 20 { self.bytes >> 20 << 20 } else { self.bytes });
        match &self.cgroup {
            Some(cgroup) => write!(f, "{bytes} of cgroup {}", cgroup.display()),
            None => write!(f, "{bytes} of the machine"),
        }
    }
}

/// `MemTotal:       24683656 kB` in bytes.
fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

impl Hierarchy {
    /// From a line of proc_pid_mountinfo(5): `36 35 98:0 ROOT MOUNT options… - type source superoptions`.
    fn mounted(line: &str) -> Option<Self> {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, mount) = (fields.next()?, fields.next()?);
        let mut kind = kind.split(' ');
        let (file, v1) = match (kind.next()?, kind.nth(1).unwrap_or_default()) {
            ("cgroup2", _) => ("memory.max", false),
            ("cgroup", options) if options.split(',').any(|option| option == "memory") => {
                ("memory.limit_in_bytes", true)
            }
            _ => return None,
        };
        Some(Self { root: unescaped(root), mount: unescaped(mount), file, v1 })
    }

    /// Where the cgroup of a line of proc_pid_cgroup(5) is mounted: `0::/path` for v2, `4:memory:/path` for
    /// v1.
    fn dir_of(&self, line: &str) -> Option<PathBuf> {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let ours = if self.v1 {
            controllers.split(',').any(|name| name == "memory")
        } else {
            controllers.is_empty()
        };
        // A path outside what is mounted (`/..`) says nothing but that the mounted root is ours.
        let below = Path::new(path).strip_prefix(&self.root).unwrap_or(Path::new(""));
        let below =
            if below.components().any(|part| part.as_os_str() == "..") { Path::new("") } else { below };
        // Joining nothing would append a slash.
        let dir = if below.as_os_str().is_empty() { self.mount.clone() } else { self.mount.join(below) };
        ours.then_some(dir)
    }

    /// A directory and all above it, up to the mount.
    fn above(&self, dir: &Path) -> Vec<PathBuf> {
        dir.ancestors().take_while(|dir| dir.starts_with(&self.mount)).map(Path::to_owned).collect()
    }
}

/// Blanks, tabs, line ends and backslashes are `\040`, `\011`, `\012` and `\134` in mountinfo.
fn unescaped(field: &str) -> PathBuf {
    let mut text = field.to_owned();
    for (code, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(code, plain);
    }
    PathBuf::from(text)
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    const MEMINFO: &str = "MemTotal:       16777216 kB\nMemFree: 1 kB\n";
    const V2: &str = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    /// A root with these files; what the limit is and in which cgroup.
    fn limit(mounts: &str, own: &str, files: &[(&str, &str)]) -> (u64, Option<String>) {
        let root = Scratch::new("cgroup").unwrap();
        let common = [("proc/meminfo", MEMINFO), ("proc/self/mountinfo", mounts), ("proc/self/cgroup", own)];
        for (path, text) in common.iter().chain(files) {
            fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            fs::write(root.path().join(path), text).unwrap();
        }
        let limit = MemoryLimit::read(root.path());
        (limit.bytes, limit.cgroup.map(|dir| dir.display().to_string()))
    }

    #[test]
    fn the_tightest_limit_along_the_hierarchy_counts() {
        let files = [
            ("sys/fs/cgroup/pods/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/pods/sluice/memory.max", "max\n"),
            ("sys/fs/cgroup/pods/sluice/main/memory.max", "2147483648\n"),
        ];
        let found = limit(V2, "0::/pods/sluice/main\n", &files);
        assert_eq!(found, (1 << 30, Some("/sys/fs/cgroup/pods".to_owned())));
        // One that is not above it says nothing.
        let found = limit(V2, "0::/elsewhere\n", &files);
        assert_eq!(found, (16 << 30, None));
    }

    #[test]
    fn cgroup_v1_has_a_hierarchy_for_memory_and_a_huge_number_for_none() {
        let own = "4:memory:/box\n1:cpu:/\n0::/\n";
        let path = "sys/fs/cgroup/memory/box/memory.limit_in_bytes";
        let found = limit(HYBRID, own, &[(path, "268435456\n")]);
        assert_eq!(found, (256 << 20, Some("/sys/fs/cgroup/memory/box".to_owned())));
        assert_eq!(limit(HYBRID, own, &[(path, "9223372036854771712\n")]), (16 << 30, None));
    }

    #[test]
    fn in_a_container_the_mounted_part_is_what_is_read() {
        let mounts = "31 23 0:28 /kubepods/pod1/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let files = [("sys/fs/cgroup/memory.max", "536870912\n")];
        for own in ["0::/kubepods/pod1/abc\n", "0::/\n", "0::/../../other\n"] {
            assert_eq!(limit(mounts, own, &files), (512 << 20, Some("/sys/fs/cgroup".to_owned())), "{own}");
        }
    }

    #[test]
    fn without_cgroups_it_is_the_machines_memory() {
        assert_eq!(limit("", "", &[]), (16 << 30, None));
        let nothing = Scratch::new("cgroup").unwrap();
        assert_eq!(MemoryLimit::read(nothing.path()), MemoryLimit { bytes: UNKNOWN, cgroup: None });
        let limit = MemoryLimit { bytes: 24_683_656 << 10, cgroup: None };
        assert_eq!(limit.to_string(), "24105MiB of the machine");
    }
}
