//! The backend over TLS: a connection for each request, and a full handshake for each connection.

use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use super::{Backend, accept};

/// Serves until dropped, with this certificate and key, in PEM.
///
/// # Errors
/// Those of [`super::serve`], or certificate and key cannot be used.
pub async fn serve_secured(listener: TcpListener, certificate: &[u8], key: &[u8]) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(config(certificate, key)?));
    let backend = Rc::new(Backend::default());
    let serve = |stream| {
        let (acceptor, backend) = (acceptor.clone(), Rc::clone(&backend));
        tokio::task::spawn_local(async move {
            // The end of a connection is the client's finding, not ours.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut http = http1::Builder::new();
            let _ = http.keep_alive(false).serve_connection(TokioIo::new(stream), backend.service()).await;
        });
    };
    Ok(LocalSet::new().run_until(accept(listener, serve)).await?)
}

/// Settings by which no session is resumed.
fn config(certificate: &[u8], key: &[u8]) -> Result<ServerConfig> {
    let certificate =
        CertificateDer::from_pem_slice(certificate).map_err(|e| anyhow!("the certificate: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| anyhow!("the key: {e}"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate], key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::thread;
    use std::time::Duration;

    use rustls::version::{TLS12, TLS13};

    use super::*;
    use crate::handshakes::{HandshakesSpec, handshakes};
    use crate::hold::{SecuredSpec, open_secured};

    /// A backend that serves until the test ends, and its certificate.
    fn start() -> (SocketAddr, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let (certificate, key) =
            (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
        let trusted = certificate.clone();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                serve_secured(TcpListener::from_std(listener).unwrap(), &certificate, &key).await
            })
        });
        (to, trusted)
    }

    #[test]
    fn no_session_is_resumed() {
        let (to, trusted) = start();
        let (host, target) = ("a.example".to_owned(), "/download/100".to_owned());
        let time = Duration::from_millis(300);
        let spec = HandshakesSpec { to, host, target, trusted, resumed: false, connections: 2, time };
        let full = handshakes(&spec, || ()).unwrap();
        assert!(full.done > 0 && full.failed == 0, "{full:?}");
        let resumed = handshakes(&HandshakesSpec { resumed: true, ..spec }, || ()).unwrap();
        assert!(resumed.done == 0 && resumed.failed > 0, "{resumed:?}");
    }

    #[test]
    fn idle_connections_are_of_their_version() {
        let (to, trusted) = start();
        for version in [&TLS12, &TLS13] {
            let (host, target) = ("a.example".to_owned(), "/download/100".to_owned());
            let spec = SecuredSpec { to, host, target, connections: 3, trusted: trusted.clone(), version };
            let held = open_secured(&spec).unwrap();
            assert!(held.len() == 3);
            assert!(held.iter().all(|one| one.conn.protocol_version() == Some(version.version)));
            assert!(open_secured(&SecuredSpec { target: "/nothing".to_owned(), ..spec }).is_err());
        }
    }
}
