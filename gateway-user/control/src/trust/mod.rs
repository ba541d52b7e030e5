//! Trust between controllers and nodes over a network: who a controller is, by a certificate of an authority of its own,
//! and who a node is, by a token that the API server judges.
//!
//! [`rotation`] decides (pure), [`store`] keeps that in the cluster, [`files`] takes certificates from elsewhere, and
//! [`review`] asks who shows a token.

mod authority;
mod files;
mod review;
mod rotation;
mod store;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use files::follow as follow_files;
pub use review::{AUDIENCE, Judged, Reviewer};
pub use store::{CONFIG_MAP, CertificateStore, Namespaces, SECRET};

/// The certificate that controllers show, ready for handshakes. Cheap to clone.
#[derive(Clone)]
pub struct Shown(TlsAcceptor);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown")
    }
}

impl Shown {
    /// The handshake with a node.
    ///
    /// # Errors
    /// It fails.
    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

/// The certificate that is shown; `None` before there is a certificate.
pub type Showing = watch::Sender<Option<Shown>>;

/// Reads a certificate with its key, and makes it ready for handshakes.
///
/// # Errors
/// They cannot be used, with the entry's name and the fix; or the certificate has another name than nodes ask for.
fn shown(certificate: &[u8], key: &[u8]) -> Result<Shown, String> {
    let parsed = gateway_tls::Identity::read(certificate, key).map_err(|error| error.to_string())?;
    if !gateway_tls::covers(&parsed.identity.names, gateway_tls::STREAM_NAME) {
        return Err(format!(
            "tls.crt has the names {:?}, and nodes ask for {name:?}: put {name} among its DNS names",
            parsed.identity.names,
            name = gateway_tls::STREAM_NAME
        ));
    }
    let config = gateway_tls::stream_server(&parsed.identity).map_err(|error| error.to_string())?;
    Ok(Shown(TlsAcceptor::from(config)))
}
