//! Calls of gRPC as conversations.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::StatusCode;
use tokio::time::timeout;

use super::LoadSpec;
use super::conversation::{Conversation, End};
use super::http2::{SharedConnection, stream_error};
use super::stats::RequestError;
use crate::echo::grpc::{STATUS, frame, message, request};
use crate::report::FailureKind;
use crate::timed::TIMEOUT;

/// A call on a shared connection.
pub(super) struct Call {
    sending: SendStream<Bytes>,
    receiving: Receiving,
    /// Came of later messages.
    received: BytesMut,
}

enum Receiving {
    Head(ResponseFuture),
    Body(RecvStream),
}

/// The method that is called.
const PATH: &str = "/bench.Echo/Messages";
/// A call that may be made again: `UNAVAILABLE`, which gRPC's clients take for a server that goes.
const UNAVAILABLE: &str = "14";

impl Conversation for Call {
    type Way = (Rc<LoadSpec>, Rc<SharedConnection>);

    async fn open((spec, connection): &Self::Way) -> Result<Self, RequestError> {
        let request = request(&spec.host, PATH)
            .map_err(|error| RequestError::new(FailureKind::Local, error.to_string()))?;
        let mut sender = connection.ready().await?;
        let (response, sending) = sender
            .send_request(request, false)
            .map_err(|error| stream_error(&error, "while a call was begun"))?;
        Ok(Self { sending, receiving: Receiving::Head(response), received: BytesMut::new() })
    }

    async fn exchange(&mut self, content: Bytes) -> Result<Bytes, End> {
        // One message is under way on a call, so what waits for the windows is no more than that. A call that is over
        // says below how it ended.
        let _ = self.sending.send_data(frame(&content), false);
        match self.next().await? {
            Some(framed) => Ok(framed.slice(framed.len() - content.len().min(framed.len())..)),
            None => Err(self.end().await),
        }
    }

    async fn ended(&mut self) -> End {
        match self.next().await {
            Ok(Some(_)) => End::Broken(RequestError::wrong("a message that nobody sent")),
            Ok(None) => self.end().await,
            Err(end) => end,
        }
    }

    async fn finish(mut self) -> Result<(), End> {
        let _ = self.sending.send_data(Bytes::new(), true);
        let ending = async {
            match self.next().await? {
                Some(_) => Err(End::Broken(RequestError::wrong("a message that nobody sent"))),
                None => match self.status().await? {
                    Some(status) if status == "0" => Ok(()),
                    status => Err(end_of(status)),
                },
            }
        };
        let late = || End::Broken(RequestError::new(FailureKind::Timeout, "no end of a call in time"));
        timeout(TIMEOUT, ending).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Call {
    /// The next message with its prefix, or none at the end of the stream.
    async fn next(&mut self) -> Result<Option<Bytes>, End> {
        if let Receiving::Head(response) = &mut self.receiving {
            let response = response.await.map_err(|error| broken(&error, "before a response"))?;
            if response.status() != StatusCode::OK {
                return Err(End::Broken(RequestError::wrong(format!("status {}", response.status()))));
            }
            if let Some(status) = response.headers().get(STATUS) {
                return Err(end_of(status.to_str().ok().map(str::to_owned)));
            }
            self.receiving = Receiving::Body(response.into_body());
        }
        let Receiving::Body(body) = &mut self.receiving else { return Ok(None) };
        message(body, &mut self.received).await.map_err(|error| match error.downcast::<h2::Error>() {
            Ok(error) => broken(&error, "in a call"),
            Err(error) => End::Broken(RequestError::wrong(error.to_string())),
        })
    }

    async fn end(&mut self) -> End {
        match self.status().await {
            Ok(status) => end_of(status),
            Err(end) => end,
        }
    }

    async fn status(&mut self) -> Result<Option<String>, End> {
        let Receiving::Body(body) = &mut self.receiving else { return Ok(None) };
        let trailers = body.trailers().await.map_err(|error| broken(&error, "instead of a status"))?;
        let status = trailers.as_ref().and_then(|trailers| trailers.get(STATUS)?.to_str().ok());
        Ok(status.map(str::to_owned))
    }
}

/// The end of a call with this status.
fn end_of(status: Option<String>) -> End {
    match status.as_deref() {
        Some(UNAVAILABLE) => End::InOrder,
        Some(status) => End::Broken(RequestError::wrong(format!("a call ended with status {status}"))),
        None => End::Broken(RequestError::new(FailureKind::ClosedEarly, "a call ended without a status")),
    }
}

fn broken(error: &h2::Error, when: &str) -> End {
    End::Broken(stream_error(error, when))
}
