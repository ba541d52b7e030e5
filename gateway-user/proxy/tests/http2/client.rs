//! A client over HTTP/2 of one gateway.
// Each test program uses a part of this.
#![allow(dead_code)]

use std::future::Future;

use bytes::Bytes;
#[allow(unused_imports)] // each test uses a part
pub(crate) use gateway_testkit::http2::client::{Whole, ask, send, whole};
use gateway_testkit::tls::{self as testkit, SelfSigned, Versions, offering};
use h2::client::SendRequest;
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::support::Gateway;

/// Runs `test` with a connection to the gateway.
pub(crate) fn connected<T, F: Future<Output = T>>(
    gateway: &Gateway,
    test: impl FnOnce(SendRequest<Bytes>) -> F,
) -> T {
    gateway_testkit::http2::client::connected(gateway.address, test)
}

/// The same over TLS, secured for the server `name`; `h2` is the first protocol that is offered.
pub(crate) fn secured<T, F: Future<Output = T>>(
    gateway: &Gateway,
    name: &'static str,
    trusted: &SelfSigned,
    test: impl FnOnce(SendRequest<Bytes>) -> F,
) -> T {
    let address = gateway.address;
    let client = offering(&testkit::client(&[trusted], Versions::New), &[b"h2", b"http/1.1"]);
    running(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(client);
        let stream = connector.connect(name.try_into().unwrap(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        over(stream, test).await
    })
}

fn running<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

async fn over<S, T, F>(stream: S, test: impl FnOnce(SendRequest<Bytes>) -> F) -> T
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = T>,
{
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let result = test(client).await;
    driving.abort();
    result
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Request<()> {
    Request::builder().uri(format!("http://a.example{path}")).body(()).unwrap()
}
