//! The start of a testbed: certificate and backend, and waits until the proxy serves.

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use gateway_testkit::tls::{self, SelfSigned, Versions};

use super::scenario::{Key, Scenario};
use super::target::Target;
use crate::peers::resources::{HOST, SERVER_NAME};
use crate::peers::{self, BackendTls, Pass, Setup, Traffic, file_server};
use crate::process::{Process, until};
use crate::testbed::{BACKEND_ADDRESS, LISTEN_ADDRESS, wait_for_response, wait_until_listening};

/// Starts the backend of a scenario, on the CPU of the load.
pub(super) fn start_backend(setup: &Setup, scenario: &Scenario, bench: &Path, cpu: usize) -> Result<Process> {
    let traffic = scenario.traffic;
    let echo = |protocol: &str| {
        let mut command = peers::program(bench, Some(cpu));
        command.args(["echo", "--listen", BACKEND_ADDRESS, "--protocol", protocol]);
        Process::spawn("backend", &setup.dir, &mut command)
    };
    if traffic.pass == Some(Pass::Udp) {
        let mut backend = echo("datagrams")?;
        wait_for_echo(&mut backend, setup.backend)?;
        return Ok(backend);
    }
    if let Some(conversation) = scenario.conversation() {
        let mut backend = echo(conversation.name())?;
        wait_until_listening(&mut backend, "echo", BACKEND_ADDRESS)?;
        return Ok(backend);
    }
    let mut command = file_server::file_server(setup, cpu)?;
    let mut backend = Process::spawn("backend", &setup.dir, &mut command)?;
    match traffic {
        // The first handshakes there are those that are measured.
        Traffic { backend_tls: Some(BackendTls::Resumed), .. } => {
            wait_until_listening(&mut backend, "the backend", BACKEND_ADDRESS)?;
        }
        Traffic { backend_tls: Some(_), .. } | Traffic { pass: Some(Pass::Sni), .. } => {
            wait_for_handshake(&mut backend, setup, setup.backend, "/100")?;
        }
        _ => wait_for_response(&mut backend, setup.backend, HOST, "/100")?,
    }
    Ok(backend)
}

/// Waits until a datagram comes back.
fn wait_for_echo(process: &mut Process, to: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    until("datagrams are sent back", || {
        process.ensure_running()?;
        let mut piece = [0; 64];
        let sent = socket.send_to(&[0; 64], to).and_then(|_| socket.recv(&mut piece));
        Ok(sent.is_ok().then_some(()))
    })
}

/// Waits until the proxy reaches its backend.
pub(super) fn wait_until_served(
    proxy: &mut Process,
    setup: &Setup,
    scenario: &Scenario,
    target: Target,
) -> Result<()> {
    let Scenario { traffic, request_path, .. } = scenario;
    if target == Target::Floor && traffic.http2 {
        // It speaks nothing else.
        return wait_until_listening(proxy, "floor", LISTEN_ADDRESS);
    }
    if traffic.pass == Some(Pass::Udp) {
        return wait_for_echo(proxy, setup.listen);
    }
    let small = match traffic.pass {
        Some(_) => "/100",
        None if scenario.is_many() => "/app/0/100",
        None => "/app/100",
    };
    if traffic.is_secured() {
        return wait_for_handshake(proxy, setup, setup.listen, small);
    }
    if traffic.websocket {
        return wait_for_websocket(proxy, setup, request_path);
    }
    wait_for_response(proxy, setup.listen, HOST, small)
}

/// Waits until a WebSocket is opened.
fn wait_for_websocket(proxy: &mut Process, setup: &Setup, request_path: &str) -> Result<()> {
    until("WebSockets are served", || {
        proxy.ensure_running()?;
        let url = format!("ws://{HOST}{request_path}");
        let opened =
            TcpStream::connect(setup.listen).ok().and_then(|socket| tungstenite::client(url, socket).ok());
        Ok(opened.map(drop))
    })
}

/// Makes the files of the listener's certificate.
pub(super) fn write_certificate(setup: &Setup, key: Key) -> Result<()> {
    // wrk asks for the address that it connects to, or the name that it is given.
    let names = [HOST, SERVER_NAME, &setup.listen.ip().to_string()];
    let made = match key {
        Key::P256 => SelfSigned::new(&names),
        Key::Rsa2048 => SelfSigned::rsa(&names),
    };
    fs::write(setup.certificate(), &made.certificate)?;
    Ok(fs::write(setup.key(), &made.key)?)
}

/// Waits until a handshake and a request succeed.
fn wait_for_handshake(process: &mut Process, setup: &Setup, to: SocketAddr, path: &str) -> Result<()> {
    let [certificate, key] = [setup.certificate(), setup.key()].map(fs::read_to_string);
    let client = tls::client(&[&SelfSigned { certificate: certificate?, key: key? }], Versions::New);
    until("TLS is served", || {
        process.ensure_running()?;
        let response = TcpStream::connect(to)
            .and_then(|socket| tls::over(socket, SERVER_NAME, &client))
            .and_then(|mut client| client.get(HOST, path));
        Ok(response.is_ok_and(|response| response.status == 200).then_some(()))
    })
}
