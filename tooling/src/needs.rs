//! Programs that a command calls, and getting those that are missing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Result, bail};
use nix::unistd::geteuid;

use crate::cargo::must_succeed;

/// A program and the Debian or Ubuntu package that has it.
#[derive(Clone, Copy)]
pub struct Need {
    program: &'static str,
    package: &'static str,
}

/// Network namespaces and links.
pub const IP: Need = Need { program: "ip", package: "iproute2" };
/// The client whose lines `run` prints and `run --check` runs.
pub const CURL: Need = Need { program: "curl", package: "curl" };
/// A client of few features.
pub const WGET: Need = Need { program: "wget", package: "wget" };
/// TLS by hand.
pub const OPENSSL: Need = Need { program: "openssl", package: "openssl" };
/// HTTP by hand; the netcat that can half-close.
pub const NETCAT: Need = Need { program: "nc.openbsd", package: "netcat-openbsd" };
/// HTTP by hand, over TLS as well.
pub const SOCAT: Need = Need { program: "socat", package: "socat" };
/// A browser.
pub const CHROMIUM: Need = Need { program: "chromium", package: "chromium" };
/// A client.
pub const JAVA: Need = Need { program: "java", package: "default-jdk-headless" };
/// A client.
pub const NODE: Need = Need { program: "node", package: "nodejs" };
/// The language of several clients.
pub const PYTHON: Need = Need { program: "python3", package: "python3-venv" };
/// The load that edits are made under.
pub const WRK: Need = Need { program: "wrk", package: "wrk" };
/// Boots in namespaces of its own, to run the unit file.
pub const SYSTEMD: Need = Need { program: "systemd-analyze", package: "systemd" };
/// Starts a program with limits of its own.
pub const PRLIMIT: Need = Need { program: "prlimit", package: "util-linux" };
/// Programs inside a cluster's namespaces.
pub const NSENTER: Need = Need { program: "nsenter", package: "util-linux" };
/// Runs a cluster's containers.
pub const CONTAINERD: Need = Need { program: "containerd", package: "containerd" };
/// Starts the containers of containerd.
pub const RUNC: Need = Need { program: "runc", package: "runc" };
/// Connects a cluster's pods; an absolute path stands for itself.
pub const CNI: Need = Need { program: "/usr/lib/cni/bridge", package: "containernetworking-plugins" };
/// Writes kube-proxy's rules.
pub const NFT: Need = Need { program: "nft", package: "nftables" };
/// Counts the instructions of a program.
pub const VALGRIND: Need = Need { program: "valgrind", package: "valgrind" };
/// Makes a root directory of another release.
pub const DEBOOTSTRAP: Need = Need { program: "debootstrap", package: "debootstrap" };
/// Package lists and packages of Debian.
pub const APT: Need = Need { program: "apt-get", package: "apt" };
/// Reads Debian's packages.
pub const DPKG_DEB: Need = Need { program: "dpkg-deb", package: "dpkg" };
/// Debian's keys, which other distributions have as a package.
pub const DEBIAN_KEYS: Need = Need { program: DEBIAN_KEYRING, package: "debian-archive-keyring" };
/// The file of [`DEBIAN_KEYS`].
pub const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Removes symbols.
pub const STRIP: Need = Need { program: "strip", package: "binutils" };
/// The same for another architecture.
pub const STRIP_ARM64: Need =
    Need { program: "aarch64-linux-gnu-strip", package: "binutils-aarch64-linux-gnu" };
/// Links programs for another architecture.
pub const GCC_ARM64: Need = Need { program: "aarch64-linux-gnu-gcc", package: "gcc-aarch64-linux-gnu" };
/// Runs programs of another architecture.
pub const QEMU_ARM64: Need = Need { program: "qemu-aarch64-static", package: "qemu-user-static" };
/// Starts a program in namespaces of its own.
pub const UNSHARE: Need = Need { program: "unshare", package: "util-linux" };
/// The load over HTTP/2.
pub const H2LOAD: Need = Need { program: "h2load", package: "nghttp2-client" };
/// A client of HTTP/2 alone.
pub const NGHTTP: Need = Need { program: "nghttp", package: "nghttp2-client" };
/// A client of UDPRoutes.
pub const DIG: Need = Need { program: "dig", package: "bind9-dnsutils" };
/// A server behind TCPRoutes, with its client.
pub const POSTGRES: Need = Need { program: "psql", package: "postgresql" };
/// A server behind TCPRoutes.
pub const REDIS: Need = Need { program: "redis-server", package: "redis-server" };
/// Its client.
pub const REDIS_CLI: Need = Need { program: "redis-cli", package: "redis-tools" };
/// Server and client that send as fast as they can.
pub const IPERF: Need = Need { program: "iperf3", package: "iperf3" };
/// A peer.
pub const NGINX: Need = Need { program: "nginx", package: "nginx-light" };
/// A peer.
pub const HAPROXY: Need = Need { program: "haproxy", package: "haproxy" };

/// Makes sure that every program is there: as root on Debian or Ubuntu by installing its package, else by an
/// error with the command to type.
///
/// # Errors
/// A program is missing and cannot be installed.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> = needs.iter().filter(|n| !on_path(n.program)).map(|n| n.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !geteuid().is_root() || !on_path("apt-get") {
        bail!("missing: {packages}; type this, then call again:\n    sudo apt-get install --yes {packages}");
    }
    println!("installing {packages}");
    install(&missing)
}

/// Installs Debian packages, which takes root.
///
/// # Errors
/// This process is not root, or apt-get fails.
pub fn install(packages: &[&str]) -> Result<()> {
    let _quiet = NoServices::new()?;
    let call = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "--yes"]);
        // Another one of us may be installing right now.
        command.args(["-o", "DPkg::Lock::Timeout=300"]);
        command.args(packages);
        command
    };
    if must_succeed(&mut call()).is_ok() {
        return Ok(());
    }
    // A machine that never fetched the package lists knows no package at all.
    must_succeed(Command::new("apt-get").arg("update"))?;
    must_succeed(&mut call())
}

/// Keeps packages from starting their services while they are installed: a peer that a test wants must not
/// begin to serve this machine's port 80. Debian asks this file (invoke-rc.d(8), deb-systemd-invoke(1p));
/// 101 is "do not".
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            // Left behind it would keep other packages' services off; there is no better moment to try again.
            let _ = fs::remove_file(POLICY);
        }
    }
}

impl Need {
    /// The program's name, or its absolute path.
    pub fn program(&self) -> &'static str {
        self.program
    }

    /// True if the program is there.
    pub fn is_there(&self) -> bool {
        on_path(self.program)
    }
}

fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
