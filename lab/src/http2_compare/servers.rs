//! The servers: Sluice and HAProxy before a backend, nghttpd and Go's by themselves.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::Result;
use gateway_testkit::netns::Inside;

use crate::peers::programs::{Program, Programs};
use crate::peers::sluice;
use crate::peers::{Role, Setup, Traffic, resources};
use crate::process::Process;
use crate::testbed::{BACKEND_ADDRESS, LISTEN_ADDRESS, wait_until_listening};

/// A server by its name.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// It serves files, of which most are not there.
    pub(super) serves_files: bool,
    /// Its responses are the heads that it has read, or passed on.
    pub(super) tells_heads: bool,
    process: Process,
}

impl Server {
    /// An error if it has ended.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        self.process.ensure_running()
    }
}

const HAPROXY: &str = "127.0.0.1:8081";
const NGHTTPD: &str = "127.0.0.1:8082";
const GO: &str = "127.0.0.1:8083";

/// Starts all of them, Sluice first.
pub(super) fn start(sluice: &Path, go: &Path, peers: &Programs, inside: &Inside) -> Result<Vec<Server>> {
    peers.enter(inside)?;
    let dir = inside.scratch().path();
    thread::spawn({
        let listener = TcpListener::bind(BACKEND_ADDRESS)?;
        move || backend(&listener)
    });
    let mut servers = Vec::new();
    let mut add = |name, listen: &str, mut command: Command| {
        let mut process = Process::spawn(name, dir, &mut command)?;
        wait_until_listening(&mut process, name, listen)?;
        let is_proxy = matches!(name, "sluice" | "haproxy");
        servers.push(Server {
            name,
            address: listen.parse()?,
            serves_files: name == "nghttpd",
            tells_heads: is_proxy || name == "go",
            process,
        });
        anyhow::Ok(())
    };
    let setup = Setup {
        dir: dir.to_owned(),
        bpffs: inside.bpffs().to_owned(),
        listen: LISTEN_ADDRESS.parse()?,
        backend: BACKEND_ADDRESS.parse()?,
        cpu: None,
        role: Role::Measured(Traffic::PLAIN),
        peers: peers.clone(),
    };
    let resources = resources::pass_everything(setup.listen, setup.backend);
    add("sluice", LISTEN_ADDRESS, sluice::measured(&setup, sluice, &resources)?)?;
    let config = dir.join("compare.cfg");
    fs::write(&config, haproxy())?;
    let mut command = peers.call(Program::Haproxy, None);
    command.args(["-db", "-f"]).arg(config);
    add("haproxy", HAPROXY, command)?;
    let files = dir.join("files");
    fs::create_dir_all(&files)?;
    fs::write(files.join("text"), "text")?;
    let mut command = peers.call(Program::Nghttpd, None);
    command.args(["--no-tls", "--address=127.0.0.1", "--htdocs"]).arg(files).arg("8082");
    add("nghttpd", NGHTTPD, command)?;
    let mut command = Command::new(go);
    command.arg(GO);
    add("go", GO, command)?;
    Ok(servers)
}

fn haproxy() -> String {
    format!(
        "global
    no strict-limits
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend in
    bind {HAPROXY}
    default_backend out
backend out
    server one {BACKEND_ADDRESS}
"
    )
}

/// Each response is the head of its request.
fn backend(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        thread::spawn(move || {
            let mut head = Vec::new();
            let mut buffer = [0; 4096];
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(count @ 1..) => head.extend_from_slice(&buffer[..count]),
                    _ => return,
                }
            }
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                head.len()
            );
            let _ = stream.write_all(&head);
        });
    }
}
