//! The client of gRPC calls with many messages each way: one at a time on each call, compared with its echo.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::{self, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderName, Request};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::EchoSpec;
use super::clients::{self, Start};
use super::message::Messages;
use crate::timed::{Counts, TIMEOUT, TimedReport};

/// The trailer that says how a call ended.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Opens so many connections, calls `opened`, and has so many calls on each with a message under way until the time is
/// over. A wrong echo or none, or a call that ends with anything but success, fails.
///
/// # Errors
/// A task of a connection panicked.
pub async fn calls(spec: &EchoSpec, opened: impl FnOnce()) -> Result<TimedReport> {
    clients::run(spec, opened, client).await
}

/// One connection after the other, of which there is one if all goes well.
async fn client(spec: Arc<EchoSpec>, number: u32, start: Start) -> Result<Counts> {
    let mut counts = Counts::new()?;
    let mut sender = open(&spec).await;
    let end = start.wait().await;
    loop {
        match sender {
            Ok(sender) => counts.merge(streams(&spec, &sender, number, end).await?)?,
            Err(error) => counts.fail(&error),
        }
        if Instant::now() >= end {
            return Ok(counts);
        }
        // Not as fast as it can, where nobody accepts.
        sleep(Duration::from_millis(1)).await;
        sender = open(&spec).await;
    }
}

async fn open(spec: &EchoSpec) -> Result<SendRequest<Bytes>> {
    let opening = async {
        let socket = TcpStream::connect(spec.to).await.context("connecting")?;
        socket.set_nodelay(true)?;
        let (sender, connection) = client::handshake(socket).await.context("the preface")?;
        // How it ends is told to each of its calls.
        tokio::spawn(connection);
        Ok(sender)
    };
    timeout(TIMEOUT, opening).await.context("no connection in time")?
}

/// Calls of one connection, until the time is over or it takes no more.
async fn streams(
    spec: &Arc<EchoSpec>,
    sender: &SendRequest<Bytes>,
    number: u32,
    end: Instant,
) -> Result<Counts> {
    let mut streams = JoinSet::new();
    for stream in 0..spec.streams {
        let messages = Messages::new(number * spec.streams + stream, spec.bytes);
        streams.spawn(stream_of_calls(Arc::clone(spec), sender.clone(), messages, end));
    }
    let mut counts = Counts::new()?;
    while let Some(stream) = streams.join_next().await {
        counts.merge(stream??)?;
    }
    Ok(counts)
}

/// One call after the other.
async fn stream_of_calls(
    spec: Arc<EchoSpec>,
    mut sender: SendRequest<Bytes>,
    mut messages: Messages,
    end: Instant,
) -> Result<Counts> {
    let mut counts = Counts::new()?;
    while Instant::now() < end {
        match ready(sender).await {
            Ok(ready) => sender = ready,
            Err(error) => {
                counts.fail(&error);
                return Ok(counts);
            }
        }
        if let Err(error) = call(&spec, &mut sender, &mut messages, end, &mut counts).await {
            counts.fail(&error);
            sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(counts)
}

async fn ready(sender: SendRequest<Bytes>) -> Result<SendRequest<Bytes>> {
    timeout(TIMEOUT, sender.ready()).await.context("no stream in time")?.context("no stream")
}

async fn call(
    spec: &EchoSpec,
    sender: &mut SendRequest<Bytes>,
    messages: &mut Messages,
    end: Instant,
    counts: &mut Counts,
) -> Result<()> {
    let request = request(&spec.host, &spec.target)?;
    let (response, mut sending) = sender.send_request(request, false)?;
    // Some proxies have nothing to forward before the first message.
    let mut start = send(&mut sending, messages)?;
    let response =
        timeout(TIMEOUT, response).await.context("no response in time")?.context("the response")?;
    ensure!(response.status() == 200, "status {}", response.status());
    let mut body = response.into_body();
    let mut received = BytesMut::new();
    for n in 1..=spec.messages {
        let echo = timeout(TIMEOUT, message(&mut body, &mut received)).await.context("no echo in time")?;
        let echo = echo.context("instead of an echo")?.context("the end instead of an echo")?;
        ensure!(echo == start.message, "another message came back");
        counts.add(start.at.elapsed());
        if n == spec.messages || Instant::now() >= end {
            break;
        }
        start = send(&mut sending, messages)?;
    }
    sending.send_data(Bytes::new(), true)?;
    let rest = timeout(TIMEOUT, message(&mut body, &mut received)).await.context("no end in time")??;
    ensure!(rest.is_none(), "a message that nobody sent");
    let trailers = body.trailers().await?.context("no trailers")?;
    ensure!(trailers.get(STATUS).is_some_and(|status| status == "0"), "trailers {trailers:?}");
    Ok(())
}

/// A message that was sent, with its prefix.
struct Sent {
    message: Bytes,
    at: Instant,
}

fn send(to: &mut SendStream<Bytes>, messages: &mut Messages) -> Result<Sent> {
    let message = frame(&messages.next());
    to.send_data(message.clone(), false)?;
    Ok(Sent { message, at: Instant::now() })
}

/// The request of a call over HTTP/2 in clear text.
pub(crate) fn request(host: &str, path: &str) -> http::Result<Request<()>> {
    let request = Request::post(format!("http://{host}{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers").body(())
}

/// A message with its prefix: as it is, not compressed, and its length, which is below 4 GiB.
pub(crate) fn frame(content: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + content.len());
    framed.put_u8(0);
    framed.put_u32(content.len() as u32);
    framed.put(content);
    framed.freeze()
}

/// The next message with its prefix, or none at the end of the stream; `received` has what came of later ones.
pub(crate) async fn message(body: &mut RecvStream, received: &mut BytesMut) -> Result<Option<Bytes>> {
    loop {
        if let Some(length) = received.get(1..PREFIX).and_then(|length| length.try_into().ok()) {
            let whole = PREFIX + usize::try_from(u32::from_be_bytes(length))?;
            if received.len() >= whole {
                return Ok(Some(received.split_to(whole).freeze()));
            }
        }
        let Some(data) = body.data().await else {
            ensure!(received.is_empty(), "the stream ended within a message");
            return Ok(None);
        };
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        received.extend_from_slice(&data);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::{FAULTS, Respond, grpc_server, same};
    use super::*;

    async fn against(respond: Respond) -> TimedReport {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let spec = EchoSpec {
            to: listener.local_addr().unwrap(),
            host: "a.example".to_owned(),
            target: "/".to_owned(),
            connections: 2,
            streams: 2,
            messages: 5,
            bytes: 64,
            time: Duration::from_millis(200),
        };
        tokio::select! {
            served = grpc_server::serve(listener, respond) => panic!("{served:?}"),
            report = calls(&spec, || ()) => report.unwrap(),
        }
    }

    #[tokio::test]
    async fn messages_come_back_on_many_calls() {
        let report = against(same).await;
        assert!(report.done > 20 && report.failed == 0, "{report:?}");
    }

    #[tokio::test]
    async fn wrong_and_missing_echoes_fail() {
        for (respond, failure) in FAULTS {
            let report = against(respond).await;
            assert!(report.failed > 0 && report.failure.as_ref().unwrap().contains(failure), "{report:?}");
        }
    }
}
