//! QUIC through a UDPRoute: transfers over both families, and over hot restarts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gateway_testkit::tls::{SelfSigned, Versions, client};
use gateway_testkit::wait;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::line::{ended_well, with_line};
use crate::udp;

const NAME: &str = "echo.example";
/// Bytes of a transfer in one direction.
const LENGTH: usize = 4 << 20;
/// Where the machine is busy a packet may be on its way for long.
const IDLE: Duration = Duration::from_secs(30);

/// Runs on a runtime of its own, in this thread's network namespace.
fn run<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(IDLE.try_into().unwrap()));
    Arc::new(transport)
}

/// Starts a server that echoes every stream. It notes each connection that it sees at another address than before.
fn start_server(certificate: &SelfSigned) -> Arc<AtomicU64> {
    let key = PrivatePkcs8KeyDer::from(certificate.key_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der()], key.into())
        .unwrap();
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    config.transport_config(transport());
    let moves = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&moves);
    thread::spawn(move || {
        run(async move {
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, udp::UDP_SERVER));
            let endpoint = Endpoint::server(config, at).unwrap();
            while let Some(incoming) = endpoint.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let Ok(connection) = incoming.await else { return };
                    echo(&connection, &seen).await;
                });
            }
        });
    });
    moves
}

async fn echo(connection: &Connection, moves: &Arc<AtomicU64>) {
    let first = connection.remote_address();
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let (connection, moves) = (connection.clone(), Arc::clone(moves));
        tokio::spawn(async move {
            while let Ok(Some(chunk)) = receive.read_chunk(64 << 10, true).await {
                if send.write_all(&chunk.bytes).await.is_err() {
                    return;
                }
                if connection.remote_address() != first {
                    moves.fetch_add(1, Ordering::Relaxed);
                }
            }
            let _ = send.finish();
        });
    }
}

/// A client that has one transfer after the other echoed, by one connection, until it is told to end.
fn start_client(
    to: IpAddr,
    certificate: &SelfSigned,
    done: watch::Receiver<bool>,
    count: &Arc<AtomicU64>,
) -> JoinHandle<()> {
    let tls = rustls::ClientConfig::clone(&client(&[certificate], Versions::New));
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(transport());
    let count = Arc::clone(count);
    thread::spawn(move || {
        run(async move {
            let any =
                if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { IpAddr::from(Ipv6Addr::LOCALHOST) };
            let endpoint = Endpoint::client((any, 0).into()).unwrap();
            let connecting = endpoint.connect_with(config, (to, 53).into(), NAME).unwrap();
            let connection = connecting.await.expect("a connection");
            let data: Vec<u8> = (0..LENGTH).map(|n| (n % 251) as u8).collect();
            while !*done.borrow() {
                let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
                let sending = async {
                    send.write_all(&data).await.expect("room for the transfer");
                    send.finish().unwrap();
                };
                let (back, ()) = tokio::join!(receive.read_to_end(LENGTH), sending);
                assert!(back.expect("the whole transfer") == data, "other bytes");
                count.fetch_add(1, Ordering::Relaxed);
            }
            connection.close(0_u32.into(), b"done");
            endpoint.wait_idle().await;
        });
    })
}

fn transfers_go_on(label: &str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        let certificate = SelfSigned::new(&[NAME]);
        let moves = start_server(&certificate);
        line.running.config.write("udp.yaml", &udp::resources("team2")).unwrap();
        let (tell, done) = watch::channel(false);
        let families: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let counts = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let start = |(to, count)| start_client(to, &certificate, done.clone(), count);
        let clients: Vec<_> = families.into_iter().zip(&counts).map(start).collect();
        let more = |what: &str| {
            for count in &counts {
                let before = count.load(Ordering::Relaxed);
                let has_more = || count.load(Ordering::Relaxed) > before;
                wait::until(what, || {
                    (has_more() || clients.iter().any(JoinHandle::is_finished)).then_some(())
                });
            }
        };
        more("transfers");
        for _ in 0..2 {
            let old = line.begin_upgrade(flags);
            more("transfers after a hot restart");
            ended_well(old);
        }
        tell.send(true).unwrap();
        clients.into_iter().for_each(|client| client.join().unwrap());
        assert_eq!(moves.load(Ordering::Relaxed), 0, "the server sees the address that it saw first");
    });
}

#[test]
fn transfers_go_on_ebpf_uring() {
    transfers_go_on("take-quic-eu", &["--steering", "ebpf", "--io", "uring", "--ring-entries", "256"]);
}

#[test]
fn transfers_go_on_ebpf_epoll() {
    transfers_go_on("take-quic-ee", &["--steering", "ebpf", "--io", "epoll"]);
}

#[test]
fn transfers_go_on_reuseport_uring() {
    transfers_go_on("take-quic-ru", &["--steering", "reuseport", "--io", "uring", "--ring-entries", "256"]);
}

#[test]
fn transfers_go_on_reuseport_epoll() {
    transfers_go_on("take-quic-re", &["--steering", "reuseport", "--io", "epoll"]);
}
