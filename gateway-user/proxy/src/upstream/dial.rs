//! New connections to backends.

use std::rc::Rc;

use gateway_http::proxy_header::Proxied;
use gateway_io::{Chunk, Stream, connect, spawn};
use gateway_ir::BackendProtocol;

use super::Backend;
use super::dial_error::DialError;
use super::shared::{Opening, SharedConnection};
use crate::Reason;
use crate::context::WorkerContext;
use crate::guarded::guarded;
use crate::h2::client::{ClientConnection, shake_hands};
use crate::tls::connect::secure;

/// Tells those who wait for a connection that there is none, if its task is dropped.
struct Pending {
    backend: Rc<Backend>,
    opening: Rc<Opening>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.opening.result().is_none() {
            self.backend.shared.finish(&self.opening, Err(DialError::For(Reason::UpstreamConnectFailed)));
        }
    }
}

/// Opens a connection that requests share, in a task of its own: it outlives the request that asked for it.
pub(super) fn open_shared(context: &Rc<WorkerContext>, backend: &Rc<Backend>) -> Rc<Opening> {
    let opening = backend.shared.begin();
    let pending = Pending { backend: Rc::clone(backend), opening: Rc::clone(&opening) };
    let context = Rc::clone(context);
    spawn(guarded(Rc::clone(&context), backend.address, || async move {
        match shared(&context, &pending.backend).await {
            Ok((shared, connection)) => {
                pending.backend.shared.finish(&pending.opening, Ok(shared));
                // Nothing is kept for it but what it is made of.
                drop((pending, context));
                connection.run_to_end().await;
            }
            Err(error) => pending.backend.shared.finish(&pending.opening, Err(error)),
        }
    }));
    opening
}

/// The header by which a backend learns of a client whose connection goes there as a whole, if it wants one.
fn header(client: &Proxied, protocol: BackendProtocol) -> Option<Chunk> {
    let header = match protocol {
        BackendProtocol::TcpProxyV1 => client.to_line(),
        BackendProtocol::TcpProxyV2 => client.to_binary(),
        BackendProtocol::Http1 | BackendProtocol::Http2 | BackendProtocol::Tcp | BackendProtocol::Udp => {
            return None;
        }
    };
    let mut chunk = Chunk::with_capacity(header.len());
    // Fits: the capacity was just asked for.
    let _ = chunk.extend_from_slice(&header);
    Some(chunk)
}

/// A new connection, secured if the backend's are, behind the header of a client that it is for as a whole.
pub(super) async fn dial(
    context: &WorkerContext,
    backend: &Backend,
    announced: Option<(&Proxied, BackendProtocol)>,
) -> Result<Stream, DialError> {
    let limit = context.config.timeouts.connect;
    let mut stream = connect(backend.address, limit).await?;
    if let Some(header) = announced.and_then(|(client, protocol)| header(client, protocol)) {
        stream.send.queue(header);
    }
    if let Some(transport) = &backend.tls {
        // Boxed: hardly any lease makes a handshake, and each would have it inside.
        stream = Box::pin(secure(context, stream, &transport.client, limit)).await.inspect_err(|error| {
            context.metrics.borrow_mut().counters.upstream_tls_failures += 1;
            tracing::debug!(backend = %backend.address, reason = error.code(), "TLS handshake failed");
        })?;
    }
    context.metrics.borrow_mut().counters.upstream_connects += 1;
    backend.note(None);
    Ok(stream)
}

async fn shared(
    context: &WorkerContext,
    backend: &Backend,
) -> Result<(Rc<SharedConnection>, ClientConnection), DialError> {
    let config = &context.config;
    let stream = dial(context, backend, None).await?;
    let is_secure = stream.is_layered();
    let (most, limit) = (config.upstream_h2_max_streams, config.timeouts.connect);
    let (requests, connection) = shake_hands(stream, most, &config.head, limit).await?;
    Ok((SharedConnection::new(requests, connection.transport(), is_secure), connection))
}
