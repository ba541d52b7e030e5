//! The server of gRPC calls, over HTTP/2 in clear text with prior knowledge.

use std::io;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use super::Respond;
use super::grpc::{STATUS, message};

/// As many as nginx lets a connection have.
const MAX_STREAMS: u32 = 128;

/// Sends messages of calls back until dropped. A GET has a short response, so that a proxy can be asked for its readiness.
///
/// # Errors
/// The listener does not accept any more.
pub async fn serve(listener: TcpListener, respond: Respond) -> io::Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A connection that breaks is the client's to count, and so is a call below.
            let _ = connection(socket, respond).await;
        });
    }
}

async fn connection(socket: TcpStream, respond: Respond) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut connection = server::Builder::new().max_concurrent_streams(MAX_STREAMS).handshake(socket).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, stream) = accepted?;
        tokio::spawn(async move {
            let _ = call(request, stream, respond).await;
        });
    }
    Ok(())
}

async fn call(request: Request<RecvStream>, mut stream: SendResponse<Bytes>, respond: Respond) -> Result<()> {
    if request.method() == Method::GET {
        let response = Response::builder().header("content-length", "2").body(())?;
        return Ok(stream.send_response(response, false)?.send_data(Bytes::from_static(b"ok"), true)?);
    }
    let mut body = request.into_body();
    let response = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut sending = stream.send_response(response, false)?;
    let (mut received, mut messages) = (BytesMut::new(), 0);
    while let Some(framed) = message(&mut body, &mut received).await? {
        let Some(echo) = respond(messages, framed) else {
            sending.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        };
        messages += 1;
        // One message is under way on a call, so what waits for the windows is no more than that.
        sending.send_data(echo, false)?;
    }
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    Ok(sending.send_trailers(trailers)?)
}
