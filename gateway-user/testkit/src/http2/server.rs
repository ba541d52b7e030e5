//! Where a client by hand goes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a write may wait for a gateway that reads nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// A server of HTTP/2, in clear text with prior knowledge or over TLS.
#[derive(Clone, Debug)]
pub struct Server {
    address: SocketAddr,
    #[cfg(feature = "tls")]
    tls: Option<(String, std::sync::Arc<rustls::ClientConfig>)>,
}

/// Bytes both ways, and the socket below.
pub(super) trait Wire: Read + Write + Send {
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

#[cfg(feature = "tls")]
impl Wire for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Server {
    /// The same over TLS for the server `name`; `client` offers `h2`, as [`crate::tls::offering`] has it.
    #[cfg(feature = "tls")]
    pub fn over_tls(self, name: &str, client: &std::sync::Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Some((name.to_owned(), std::sync::Arc::clone(client))), ..self }
    }

    /// A connection, secured where it is to be.
    pub(super) fn open(&self) -> io::Result<Box<dyn Wire>> {
        let socket = TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
        #[cfg(feature = "tls")]
        if let Some((name, client)) = &self.tls {
            socket.set_read_timeout(Some(crate::wait::WAIT_TIMEOUT))?;
            return Ok(Box::new(crate::tls::secured(socket, name, client)?));
        }
        Ok(Box::new(socket))
    }
}
