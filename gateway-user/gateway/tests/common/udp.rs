//! Resources of UDP listeners and their routes, servers behind them, and clients.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Asks a server for the port that a datagram comes from.
#[allow(dead_code)] // each test binary uses a part
pub(crate) const PORT_PLEASE: &[u8] = b"which port?";

/// Ports of the servers.
pub(crate) const UDP_SERVER: u16 = 15353;
const TCP_SERVER: u16 = 15432;

/// Gateway `udp` with a UDP and a TCP listener on port 53, and a UDP listener without a route on port 5353.
const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: udp, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: dns, protocol: UDP, port: 53, allowedRoutes: {namespaces: {from: All}}}
  - {name: dns-tcp, protocol: TCP, port: 53, allowedRoutes: {namespaces: {from: All}}}
  - {name: empty, protocol: UDP, port: 5353}
";

/// That Gateway, and routes of both protocols from port 53 to Service `dns` of a namespace, whose endpoints are the servers.
pub(crate) fn resources(namespace: &str) -> String {
    let (udp, tcp) = (UDP_SERVER, TCP_SERVER);
    format!(
        "{GATEWAY}---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {{name: dns, namespace: {namespace}}}
spec:
  parentRefs: [{{name: udp, namespace: ingress, sectionName: dns}}]
  rules: [{{backendRefs: [{{name: dns, port: 53, weight: 1}}, {{name: missing, port: 1, weight: 0}}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {{name: dns, namespace: {namespace}}}
spec:
  parentRefs: [{{name: udp, namespace: ingress, sectionName: dns-tcp}}]
  rules: [{{backendRefs: [{{name: dns, port: 53}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: dns, namespace: {namespace}}}
spec: {{ports: [{{name: dns, port: 53, protocol: UDP}}, {{name: dns-tcp, port: 53}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: dns-1, namespace: {namespace}, labels: {{kubernetes.io/service-name: dns}}}}
addressType: IPv4
ports: [{{name: dns, port: {udp}, protocol: UDP}}, {{name: dns-tcp, port: {tcp}}}]
endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]
"
    )
}

/// Starts servers of this network namespace, until the process ends: one responds to queries for names below `example` and
/// echoes other datagrams but [`PORT_PLEASE`], one echoes what comes by connections, one after the other. Gives the first one's
/// socket.
pub(crate) fn start_servers() -> UdpSocket {
    let datagrams = UdpSocket::bind(("127.0.0.1", UDP_SERVER)).unwrap();
    let server = datagrams.try_clone().unwrap();
    thread::spawn(move || {
        let mut room = vec![0; 65_536];
        loop {
            // An error is of a client that has gone.
            if let Ok((length, from)) = datagrams.recv_from(&mut room) {
                let data = &room[..length];
                let is_query = data.windows(7).any(|part| part == b"example");
                let response = match data {
                    PORT_PLEASE => from.port().to_string().into_bytes(),
                    data if is_query => dns_response(data),
                    data => data.to_vec(),
                };
                let _ = datagrams.send_to(&response, from);
            }
        }
    });
    let listener = TcpListener::bind(("127.0.0.1", TCP_SERVER)).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut back = stream.try_clone().unwrap();
            let _ = io::copy(&mut stream, &mut back);
        }
    });
    server
}

/// The response to a DNS query: address 192.0.2.53 for whatever name it asks for (RFC 1035 section 4).
fn dns_response(query: &[u8]) -> Vec<u8> {
    let name = query[12..].iter().position(|byte| *byte == 0).unwrap();
    let question = &query[12..12 + name + 5];
    let mut all = query[..2].to_vec();
    // A response with recursion, to one question, with one record and nothing else.
    all.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    all.extend(question);
    // The question's name, type A, class IN, 60 s, four bytes.
    all.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 53]);
    all
}

/// A client with a port of its own.
pub(crate) fn client(to: SocketAddr) -> UdpSocket {
    let any = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket
}

/// The response to a datagram.
pub(crate) fn ask(socket: &UdpSocket, data: &[u8]) -> io::Result<Vec<u8>> {
    socket.send(data)?;
    let mut room = vec![0; 65_536];
    let length = socket.recv(&mut room)?;
    room.truncate(length);
    Ok(room)
}

/// The address that `dig` finds by the gateway. Where it is not installed that is printed.
#[expect(clippy::print_stdout, reason = "for who reads why a test did nothing")]
#[allow(dead_code)] // each test binary uses a part
pub(crate) fn digs() {
    let dig =
        Command::new("dig").args(["@127.0.0.1", "+short", "+tries=1", "+noedns", "www.example"]).output();
    match dig {
        Ok(said) => assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "192.0.2.53"),
        Err(error) => println!("dig (bind9-dnsutils) is not installed: not run: {error}"),
    }
}
