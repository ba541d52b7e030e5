//! ClientHellos as clients send them, and backends that speak TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_testkit::tls::{self as testkit, SelfSigned};
use tokio_rustls::rustls::crypto::{SupportedKxGroup, aws_lc_rs};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::peer::accepting;

/// A client's settings with these groups, of which the first has its share in the ClientHello.
pub(crate) fn client(trusted: &[&SelfSigned], groups: &[&'static dyn SupportedKxGroup]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    trusted.iter().for_each(|one| roots.add(one.der()).unwrap());
    let mut provider = aws_lc_rs::default_provider();
    if !groups.is_empty() {
        provider.kx_groups = groups.to_vec();
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth())
}

/// The ClientHello of a client that asks for `name`, in one record.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(client(&[], &[]), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same message in records of `size` bytes.
pub(crate) fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    hello[5..].chunks(size).flat_map(record).collect()
}

/// A backend that speaks TLS with these groups, as [`testkit::echo`] does.
pub(crate) fn tls_echo(identity: &SelfSigned, groups: &[&'static dyn SupportedKxGroup]) -> SocketAddr {
    let server = testkit::server(identity, groups);
    // Clients of some tests go away in the middle of a handshake.
    accepting(move |stream| drop(testkit::echo(stream, &server)))
}
