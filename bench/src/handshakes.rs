//! TLS connections one after the other, each with one handshake and one request.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use crate::response_length::response_length;
use crate::timed::{Counts, TIMEOUT, TimedReport};

/// The connections of a run.
#[derive(Clone, Debug)]
pub struct HandshakesSpec {
    /// Address of the proxy.
    pub to: SocketAddr,
    /// The server name and the Host field.
    pub host: String,
    /// Path and query of each request.
    pub target: String,
    /// The server's certificate, or that of its authority, in PEM.
    pub trusted: Vec<u8>,
    /// Every handshake resumes the session of the one before on its thread; else each is a full one.
    pub resumed: bool,
    /// Connections at a time.
    pub connections: usize,
    /// How long new ones are opened.
    pub time: Duration,
}

/// Opens connections over TLS 1.3 with keys by X25519 for so long. Calls `ready` before the first that counts: where
/// sessions are resumed, each client has one by then.
///
/// # Errors
/// The certificate is none, or a thread cannot be started.
pub fn handshakes(spec: &HandshakesSpec, ready: impl FnOnce()) -> Result<TimedReport> {
    let trusted = certificate(&spec.trusted)?;
    let start = Arc::new(Barrier::new(spec.connections + 1));
    let clients: Vec<_> = (0..spec.connections)
        .map(|_| {
            let (spec, trusted, start) = (spec.clone(), trusted.clone(), Arc::clone(&start));
            let config = client_config(trusted, spec.resumed, &rustls::version::TLS13)?;
            Ok(thread::Builder::new().spawn(move || client(&spec, &config, &start))?)
        })
        .collect::<Result<_>>()?;
    start.wait();
    ready();
    let began = Instant::now();
    let mut counts = Counts::new()?;
    for client in clients {
        counts.merge(client.join().map_err(|_| anyhow!("a client panicked"))??)?;
    }
    Ok(counts.report(began.elapsed()))
}

/// One connection after the other.
fn client(spec: &HandshakesSpec, config: &Arc<ClientConfig>, start: &Barrier) -> Result<Counts> {
    let wanted = if spec.resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
    // The session that the first one resumes.
    let session = if spec.resumed { connection(spec, config).map(|_| ()) } else { Ok(()) };
    start.wait();
    let began = Instant::now();
    let mut counts = Counts::new()?;
    fail(&mut counts, session);
    while began.elapsed() < spec.time {
        let at = Instant::now();
        let made = connection(spec, config).and_then(|kind| {
            ensure!(kind == wanted, "a handshake of the kind {kind:?}");
            counts.add(at.elapsed());
            Ok(())
        });
        fail(&mut counts, made);
    }
    Ok(counts)
}

fn fail(counts: &mut Counts, made: Result<()>) {
    if let Err(error) = made {
        counts.fail(&error);
        // Not as fast as it can, where nobody accepts.
        thread::sleep(Duration::from_millis(1));
    }
}

/// The certificate in a text of PEM.
pub(crate) fn certificate(text: &[u8]) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(text).map_err(|e| anyhow!("the certificate: {e}"))
}

/// Settings of clients that trust one certificate, agree on keys by X25519 and speak one version. With TLS 1.2 they know the
/// curve of the usual certificates, too (RFC 8422 section 5.1.1).
pub(crate) fn client_config(
    trusted: CertificateDer<'static>,
    resumed: bool,
    version: &'static SupportedProtocolVersion,
) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted)?;
    // One way of agreeing on keys for all: servers that prefer another that was named as well would ask for it first.
    let mut kx_groups = vec![kx_group::X25519];
    if version.version == ProtocolVersion::TLSv1_2 {
        kx_groups.push(kx_group::SECP256R1);
    }
    let provider = CryptoProvider { kx_groups, ..rustls::crypto::aws_lc_rs::default_provider() };
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[version])?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = if resumed { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
    Ok(Arc::new(config))
}

/// A connection that is to be secured: the handshake is made by the first [`exchange`].
pub(crate) fn secured(
    to: SocketAddr,
    host: &str,
    config: &Arc<ClientConfig>,
) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let socket = TcpStream::connect_timeout(&to, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from(host.to_owned())?;
    Ok(StreamOwned::new(ClientConnection::new(Arc::clone(config), name)?, socket))
}

fn connection(spec: &HandshakesSpec, config: &Arc<ClientConfig>) -> Result<HandshakeKind> {
    let mut stream = secured(spec.to, &spec.host, config)?;
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", spec.target, spec.host);
    exchange(&mut stream, &request)?;
    stream.conn.handshake_kind().context("no handshake")
}

/// Sends a request and reads its response, which must be a 200.
pub(crate) fn exchange(stream: &mut StreamOwned<ClientConnection, TcpStream>, request: &str) -> Result<()> {
    stream.write_all(request.as_bytes()).context("the handshake and the request")?;
    let (mut response, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).context("reading the response")?;
        ensure!(count > 0, "closed before the end of the response");
        response.extend_from_slice(&piece[..count]);
        if let Some((status, length)) = response_length(&response)? {
            ensure!(status == 200, "status {status}");
            if response.len() >= length {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection};

    use super::*;

    /// Serves connections until the test ends, the first one after a delay; one in `refused` gets status 503.
    fn server(refused: usize, delay: Duration) -> (SocketAddr, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config =
            builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
        let to = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (n, socket) in (1..).zip(listener.incoming()) {
                thread::sleep(if n == 1 { delay } else { Duration::ZERO });
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(session, socket.unwrap());
                let mut request = [0; 256];
                if stream.read(&mut request).is_err() {
                    continue;
                }
                let status = if n % refused == 0 { "503 No" } else { "200 OK" };
                let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        (to, made.cert.pem().into_bytes())
    }

    fn spec(refused: usize, resumed: bool) -> HandshakesSpec {
        let (to, trusted) = server(refused, Duration::ZERO);
        let time = Duration::from_millis(300);
        HandshakesSpec {
            to,
            host: "a.example".to_owned(),
            target: "/".to_owned(),
            trusted,
            resumed,
            connections: 2,
            time,
        }
    }

    #[test]
    fn each_handshake_is_of_its_kind() {
        for resumed in [false, true] {
            let report = handshakes(&spec(usize::MAX, resumed), || ()).unwrap();
            assert!(report.done > 0 && report.failed == 0 && report.p50_us > 2, "{report:?}");
        }
    }

    #[test]
    fn the_time_begins_once_sessions_are_there() {
        let (to, trusted) = server(usize::MAX, Duration::from_millis(800));
        let report = handshakes(&HandshakesSpec { to, trusted, ..spec(1, true) }, || ()).unwrap();
        assert!(report.done > 0 && report.failed == 0, "first handshakes took all of it: {report:?}");
    }

    #[test]
    fn failures_are_counted() {
        let report = handshakes(&spec(2, false), || ()).unwrap();
        assert!(report.failed > 0, "{report:?}");
        let another =
            handshakes(&HandshakesSpec { host: "b.example".to_owned(), ..spec(usize::MAX, false) }, || ())
                .unwrap();
        assert!(another.done == 0 && another.failed > 0, "the certificate is another's: {another:?}");
    }
}
