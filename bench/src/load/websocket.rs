//! WebSockets as conversations.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tungstenite::error::ProtocolError;
use tungstenite::{Error, Message};

use super::LoadSpec;
use super::conversation::{Conversation, End};
use super::exchange::transport_error_kind;
use super::http1::connect;
use super::stats::{RequestError, RunStats};
use crate::echo::websocket::handshake;
use crate::report::FailureKind;
use crate::timed::TIMEOUT;

/// A WebSocket on a connection of its own.
pub(super) struct WebSocket(WebSocketStream<TcpStream>);

/// The path of each handshake.
const PATH: &str = "/websocket";

impl Conversation for WebSocket {
    type Way = (Rc<LoadSpec>, Rc<RunStats>);

    async fn open((spec, stats): &Self::Way) -> Result<Self, RequestError> {
        let stream = connect(spec.to, stats).await?;
        match handshake(stream, &spec.host, PATH).await {
            Ok(socket) => Ok(Self(socket)),
            Err(error) => Err(match end(error, "in the handshake") {
                End::Broken(error) => error,
                End::InOrder => RequestError::new(FailureKind::ClosedEarly, "closed in the handshake"),
            }),
        }
    }

    async fn exchange(&mut self, message: Bytes) -> Result<Bytes, End> {
        let Self(socket) = self;
        if let Err(error) = socket.send(Message::Binary(message)).await {
            // It may have been ended before.
            return match end(error, "sending a message") {
                End::Broken(error) if error.kind == FailureKind::Reset => Err(self.ended().await),
                end => Err(end),
            };
        }
        match socket.next().await {
            Some(Ok(Message::Binary(echo))) => Ok(echo),
            other => Err(unasked(other, "before a message was back")),
        }
    }

    async fn ended(&mut self) -> End {
        unasked(self.0.next().await, "while no message was under way")
    }

    async fn finish(self) -> Result<(), End> {
        let Self(mut socket) = self;
        let closing = async {
            socket.close(None).await.map_err(|error| end(error, "closing"))?;
            match socket.next().await {
                Some(Ok(Message::Close(_))) => Ok(()),
                other => Err(unasked(other, "closing")),
            }
        };
        let late = || End::Broken(RequestError::new(FailureKind::Timeout, "no end of a WebSocket in time"));
        timeout(TIMEOUT, closing).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Anything but the echo of a message.
fn unasked(event: Option<Result<Message, Error>>, when: &str) -> End {
    match event {
        None | Some(Ok(Message::Close(_))) => End::InOrder,
        Some(Ok(other)) => End::Broken(RequestError::wrong(format!("{other:?} {when}"))),
        Some(Err(error)) => end(error, when),
    }
}

fn end(error: Error, when: &str) -> End {
    let kind = match &error {
        // The connection ended in order, between two messages. A proxy may not speak in a conversation of others.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => return End::InOrder,
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => FailureKind::ClosedEarly,
        Error::Io(error) => transport_error_kind(error),
        _ => FailureKind::Wrong,
    };
    End::Broken(RequestError::new(kind, format!("{error} {when}")))
}
