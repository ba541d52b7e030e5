//! From the outcome of an exchange to the fate of its HTTP/1.1 connection.

use gateway_http::h1::BodyDecoder;

use crate::exchange::{Ended, Outcome};
use crate::h1::body::decode;
use crate::h1::head::Head;
use crate::h1::linger::{Linger, Relay, Remaining};
use crate::h1::persistence::would_look_whole;
use crate::h1::reply;
use crate::h1::scratch::Scratch;
use crate::h1::server::ServerConnection;
use crate::h1::tunnel::Tunnel;
use crate::h1::wire::H1End;
use crate::l4::account::TunnelAccount;
use crate::observe::record::RequestRecord;

/// The fate of a connection after a request.
#[derive(Debug)]
pub(crate) enum Disposition {
    /// Another request.
    KeepAlive,
    /// Closed at once: nothing is lost, or the client is to see that something is.
    Close,
    /// Closed once the client has had the response, though it may still be sending.
    Linger(Linger),
    /// Its bytes are no HTTP from here on.
    Tunnel(Box<Tunnel>),
    /// Reset: an orderly close would look like the response's end.
    Reset,
}

impl ServerConnection {
    /// Ends a request: sends the local reply if there is one. `head` is `None` if the request had no valid one.
    pub(crate) async fn conclude(
        &mut self,
        scratch: &mut Scratch,
        record: &mut RequestRecord,
        head: Option<&Head>,
        ended: Ended,
        end: H1End,
    ) -> Disposition {
        let Ended { outcome, request_read } = ended;
        let request_read = head.is_some_and(|head| {
            // With the body the inbox was taken, unless there was no backend.
            let untouched = self.inbox.is_some();
            match head.meta.framing.is_empty() || untouched {
                true => consume_request(self, &mut scratch.codec.request_body, record, head),
                false => request_read,
            }
        });
        let H1End { keep_alive, until_close, early, relay, unasked, tunnel, .. } = end;
        if early.is_some() {
            // Only taken where the inbox has nothing behind the request.
            self.inbox = early;
        }
        match outcome {
            Outcome::Done if keep_alive && request_read => Disposition::KeepAlive,
            Outcome::Upgraded(permit) => {
                let Some(lease) = tunnel else { return Disposition::Close };
                record.upgrade = head.and_then(|head| head.upgrade);
                let text = std::mem::take(&mut scratch.exchange.text);
                let account = TunnelAccount::begin(&self.info, record.take(), text, permit);
                let (from_client, from_backend) = (self.inbox.take(), unasked);
                Disposition::Tunnel(Box::new(Tunnel { lease, account, from_client, from_backend }))
            }
            Outcome::Done => self.after_response(until_close, relay, request_read),
            // Nothing leaves a connection that carries one response at a time.
            Outcome::Left(_) => Disposition::Close,
            Outcome::LocalReply(reply) => {
                let scratch = &scratch.exchange;
                reply::send(self, scratch, record, head, reply, request_read).await
            }
            Outcome::Reset(reason) => {
                record.reason = Some(reason);
                match would_look_whole(record.status != 0, until_close, reason) {
                    true => Disposition::Reset,
                    false => Disposition::Close,
                }
            }
        }
    }

    /// The end of a connection whose client has its response.
    fn after_response(
        &self,
        until_close: bool,
        relay: Option<Box<Relay>>,
        request_read: bool,
    ) -> Disposition {
        let unread = self.inbox.as_ref().is_some_and(|inbox| !inbox.is_empty());
        if request_read && !unread {
            return Disposition::Close;
        }
        let remaining = if request_read { Remaining::Nothing } else { Remaining::Body };
        Disposition::Linger(Linger { remaining, until_close, relay })
    }
}

/// Takes the request out of the inbox, and its body if all of it is there already. Otherwise the connection can't be
/// used again: the rest of the body would have to be waited for.
fn consume_request(
    conn: &mut ServerConnection,
    decoder: &mut BodyDecoder,
    record: &mut RequestRecord,
    head: &Head,
) -> bool {
    let Some(mut inbox) = conn.inbox.take() else { return false };
    inbox.advance(head.len);
    if head.meta.framing.is_empty() {
        conn.inbox = Some(inbox);
        return true;
    }
    if decoder.begin(head.meta.framing).is_err() {
        return false;
    }
    match decode(decoder, inbox) {
        Ok(piece) => {
            record.received = piece.data.len() as u64;
            conn.inbox = piece.rest;
            piece.finished
        }
        Err(_) => false,
    }
}
