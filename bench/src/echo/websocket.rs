//! The client of WebSockets: one message at a time on each, compared with its echo.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::{WebSocketStream, client_async};
use tungstenite::Message;

use super::EchoSpec;
use super::clients::{self, Start};
use super::message::Messages;
use crate::timed::{Counts, TIMEOUT, TimedReport};

/// Opens so many WebSockets, calls `opened`, and has a message under way on each until the time is over. A wrong echo or
/// none fails, and ends that connection; another one takes its place.
///
/// # Errors
/// A task of a connection panicked.
pub async fn websockets(spec: &EchoSpec, opened: impl FnOnce()) -> Result<TimedReport> {
    clients::run(spec, opened, client).await
}

/// One connection after the other, of which there is one if all goes well.
async fn client(spec: Arc<EchoSpec>, number: u32, start: Start) -> Result<Counts> {
    let mut counts = Counts::new()?;
    let mut messages = Messages::new(number, spec.bytes);
    let mut socket = open(&spec).await;
    let end = start.wait().await;
    loop {
        let made = match socket {
            Ok(socket) => converse(socket, &mut messages, end, &mut counts).await,
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            counts.fail(&error);
            // Not as fast as it can, where nobody accepts.
            sleep(Duration::from_millis(1)).await;
        }
        if Instant::now() >= end {
            return Ok(counts);
        }
        socket = open(&spec).await;
    }
}

type Socket = WebSocketStream<TcpStream>;

async fn open(spec: &EchoSpec) -> Result<Socket> {
    let opening = async {
        let socket = TcpStream::connect(spec.to).await.context("connecting")?;
        socket.set_nodelay(true)?;
        handshake(socket, &spec.host, &spec.target).await.context("the handshake")
    };
    timeout(TIMEOUT, opening).await.context("no handshake in time")?
}

/// The client's part of the handshake.
pub(crate) async fn handshake(socket: TcpStream, host: &str, target: &str) -> tungstenite::Result<Socket> {
    // Client and proxy agree on nothing but the address, so the URL has the Host's name.
    let (socket, _) = client_async(format!("ws://{host}{target}"), socket).await?;
    Ok(socket)
}

/// Messages on a connection until the time is over, and its end.
async fn converse(
    mut socket: Socket,
    messages: &mut Messages,
    end: Instant,
    counts: &mut Counts,
) -> Result<()> {
    while Instant::now() < end {
        let message = messages.next();
        let start = Instant::now();
        socket.send(Message::Binary(message.clone())).await.context("sending")?;
        let echo = timeout(TIMEOUT, socket.next()).await.context("no echo in time")?;
        match echo.context("closed instead of an echo")?.context("instead of an echo")? {
            Message::Binary(echo) => ensure!(echo == message, "another message came back"),
            other => bail!("instead of an echo: {other:?}"),
        }
        counts.add(start.elapsed());
    }
    socket.close(None).await.context("closing")?;
    let closed = timeout(TIMEOUT, socket.next()).await.context("no end in time")?;
    ensure!(matches!(closed, Some(Ok(Message::Close(_)))), "instead of the end: {closed:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::{FAULTS, Respond, same, websocket_server};
    use super::*;

    async fn against(respond: Respond) -> TimedReport {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let spec = EchoSpec {
            to: listener.local_addr().unwrap(),
            host: "a.example".to_owned(),
            target: "/".to_owned(),
            connections: 4,
            streams: 1,
            messages: 1,
            bytes: 64,
            time: Duration::from_millis(200),
        };
        tokio::select! {
            served = websocket_server::serve(listener, respond) => panic!("{served:?}"),
            report = websockets(&spec, || ()) => report.unwrap(),
        }
    }

    #[tokio::test]
    async fn messages_come_back() {
        let report = against(same).await;
        assert!(report.done > 4 && report.failed == 0, "{report:?}");
    }

    #[tokio::test]
    async fn wrong_and_missing_echoes_fail() {
        for (respond, failure) in FAULTS {
            let report = against(respond).await;
            assert!(report.failed > 0 && report.failure.as_ref().unwrap().contains(failure), "{report:?}");
        }
    }
}
