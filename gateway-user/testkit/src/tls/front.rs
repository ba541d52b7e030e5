//! A server of TLS in front of a backend in clear text, with a record of its handshakes.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection};

use super::{Authority, SelfSigned, Versions};
use crate::wait::WAIT_TIMEOUT;

/// A server of TLS that passes on to a backend what it decrypts, and back. Dropping it ends its connections.
pub struct TlsFront {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

/// Settings of a [`TlsFront`].
#[derive(Clone, Default)]
pub struct FrontOptions<'a> {
    /// The only version; both if `None`.
    pub version: Option<Versions>,
    /// Protocols that it speaks by ALPN; none does no ALPN.
    pub protocols: &'a [&'a [u8]],
    /// The authority of the client certificates that it asks for.
    pub clients: Option<&'a Authority>,
}

/// One handshake that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The server name that was sent.
    pub server_name: Option<String>,
    /// It resumed a session.
    pub resumed: bool,
    /// The client's certificate in DER.
    pub client: Option<Vec<u8>>,
    /// The protocol that was agreed on.
    pub protocol: Option<Vec<u8>>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    handshakes: Mutex<Vec<Handshake>>,
    open: Mutex<Vec<TcpStream>>,
}

impl TlsFront {
    /// Shows this certificate, and passes on to `backend`.
    ///
    /// # Panics
    /// The certificate cannot be shown, or there is no port.
    pub fn start(identity: &SelfSigned, backend: SocketAddr, options: &FrontOptions<'_>) -> Self {
        let config = config(identity, options);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let accepting = thread::spawn(move || accept(&listener, &shared, &config, backend));
        Self { address, state, accepting: Some(accepting) }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The handshakes so far.
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.state.handshakes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // Wakes the accept call, which then sees the flag.
        let _ = TcpStream::connect_timeout(&self.address, WAIT_TIMEOUT);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

fn config(identity: &SelfSigned, options: &FrontOptions<'_>) -> Arc<ServerConfig> {
    let versions = match options.version {
        Some(Versions::Old) => &[&rustls::version::TLS12][..],
        Some(Versions::New) => &[&rustls::version::TLS13],
        None => rustls::ALL_VERSIONS,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("versions of the provider");
    let builder = match options.clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let der = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate");
            roots.add(der).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("an authority"))
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let mut config = builder.with_single_cert(chain, key).expect("a certificate and its key");
    config.alpn_protocols = options.protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn accept(listener: &TcpListener, state: &Arc<State>, config: &Arc<ServerConfig>, backend: SocketAddr) {
    let mut threads = Vec::new();
    while let Ok((client, _)) = listener.accept() {
        if state.stop.load(Ordering::SeqCst) {
            break;
        }
        if let Ok(copy) = client.try_clone() {
            state.open.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        }
        let (state, config) = (Arc::clone(state), Arc::clone(config));
        threads.push(thread::spawn(move || {
            // A client that is refused, or goes away, is what some tests are about.
            let _ = serve(&client, &state, config, backend);
            let _ = client.shutdown(Shutdown::Both);
        }));
    }
    for client in state.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        let _ = client.shutdown(Shutdown::Both);
    }
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

fn serve(
    mut client: &TcpStream,
    state: &State,
    config: Arc<ServerConfig>,
    backend: SocketAddr,
) -> io::Result<()> {
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.set_write_timeout(Some(WAIT_TIMEOUT))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut client)?;
    }
    let seen = Handshake {
        server_name: tls.server_name().map(str::to_owned),
        resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        client: tls.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec())),
        protocol: tls.alpn_protocol().map(<[u8]>::to_vec),
    };
    state.handshakes.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    let backend = TcpStream::connect_timeout(&backend, WAIT_TIMEOUT)?;
    backend.set_nodelay(true)?;
    relay(client, &mut tls, &backend)
}

/// Passes bytes both ways until either side ends.
fn relay(mut client: &TcpStream, tls: &mut ServerConnection, mut backend: &TcpStream) -> io::Result<()> {
    let mut piece = [0; 16 * 1024];
    let (mut client_open, mut backend_open) = (true, true);
    loop {
        // The end of the handshake may have brought content.
        let content = loop {
            match tls.reader().read(&mut piece) {
                Ok(0) => break Some(()),
                Ok(count) => backend.write_all(piece.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break None,
                Err(error) => return Err(error),
            }
        };
        if content.is_some() && client_open {
            client_open = false;
            backend.shutdown(Shutdown::Write)?;
        }
        while tls.wants_write() {
            tls.write_tls(&mut client)?;
        }
        if !backend_open {
            return Ok(());
        }
        let mut ready = vec![PollFd::new(&backend, PollFlags::IN), PollFd::new(&client, PollFlags::IN)];
        ready.truncate(if client_open { 2 } else { 1 });
        poll(&mut ready, None)?;
        let is_ready = |at: usize| ready.get(at).is_some_and(|one| !one.revents().is_empty());
        let (from_backend, from_client) = (is_ready(0), is_ready(1));
        if from_backend {
            match backend.read(&mut piece)? {
                0 => {
                    backend_open = false;
                    tls.send_close_notify();
                }
                count => tls.writer().write_all(piece.get(..count).unwrap_or_default())?,
            }
        }
        if from_client {
            tls.read_tls(&mut client)?;
            let processed = tls.process_new_packets();
            while processed.is_err() && tls.wants_write() {
                tls.write_tls(&mut client)?;
            }
            processed.map_err(io::Error::other)?;
        }
    }
}
