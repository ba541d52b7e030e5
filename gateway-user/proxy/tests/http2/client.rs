//! A client over HTTP/2 of one gateway.

use std::future::Future;

use bytes::Bytes;
#[allow(unused_imports)] // each test uses a part
pub(crate) use gateway_testkit::http2::client::{Whole, ask, send, whole};
use h2::client::SendRequest;
use http::Request;

use crate::support::Gateway;

/// Runs `test` with a connection to the gateway.
pub(crate) fn connected<T, F: Future<Output = T>>(
    gateway: &Gateway,
    test: impl FnOnce(SendRequest<Bytes>) -> F,
) -> T {
    gateway_testkit::http2::client::connected(gateway.address, test)
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Request<()> {
    Request::builder().uri(format!("http://a.example{path}")).body(()).unwrap()
}
