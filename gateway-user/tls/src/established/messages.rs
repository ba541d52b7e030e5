//! Handshake messages that come after the handshake. No content of theirs has to be kept: each byte is judged as it comes.

use super::alert::Alert;

const CLIENT_HELLO: u8 = 1;
const KEY_UPDATE: u8 = 24;

/// Bytes of a handshake message's header: type, and three of length.
const HEADER: u8 = 4;
/// Most bytes of a message, as in the handshake.
const MESSAGE_MAX: u32 = 0xffff;

/// A message that has begun, in this record or one before it.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// Bytes that came of its header, and in TLS 1.3 of the message.
    have: u8,
    /// Bytes that are still to come behind the header, in TLS 1.2.
    rest: u32,
}

impl Messages {
    /// True if a message is not whole: no other record may come between its parts (RFC 8446 section 5.1).
    pub(super) fn has_begun(&self) -> bool {
        self.have > 0
    }

    /// Takes the content of a record of TLS 1.3: key updates alone (RFC 8446 section 4.6.3). `true` if one is there that asks for
    /// ours, `false` if it does not, `None` if none is whole yet.
    pub(super) fn key_update(&mut self, content: &[u8]) -> Result<Option<bool>, Alert> {
        let mut rest = content.iter();
        while let Some(&byte) = rest.next() {
            let asks = match (self.have, byte) {
                (0, KEY_UPDATE) | (1 | 2, 0) | (3, 1) => {
                    self.have += 1;
                    continue;
                }
                (0, _) => return Err(Alert::UnexpectedMessage),
                (1..=3, _) => return Err(Alert::DecodeError),
                (_, 0) => false,
                (_, 1) => true,
                _ => return Err(Alert::IllegalParameter),
            };
            self.have = 0;
            // The next byte would be sealed with another key (RFC 8446 section 5.1).
            return if rest.as_slice().is_empty() { Ok(Some(asks)) } else { Err(Alert::UnexpectedMessage) };
        }
        Ok(None)
    }

    /// Takes the content of a record of TLS 1.2: ClientHellos alone, by which a client asks for another handshake
    /// (RFC 5246 section 7.2.2). Gives the number of them that are whole now.
    pub(super) fn client_hellos(&mut self, content: &[u8]) -> Result<u8, Alert> {
        let (mut whole, mut content) = (0_u8, content);
        while let Some((&byte, later)) = content.split_first() {
            if self.have < HEADER {
                if self.have == 0 && byte != CLIENT_HELLO {
                    return Err(Alert::UnexpectedMessage);
                }
                if self.have > 0 {
                    self.rest = self.rest << 8 | u32::from(byte);
                }
                self.have += 1;
                content = later;
            }
            if self.have == HEADER {
                if self.rest > MESSAGE_MAX {
                    return Err(Alert::DecodeError);
                }
                let part = content.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
                content = content.get(part..).unwrap_or_default();
                self.rest -= u32::try_from(part).unwrap_or(self.rest);
                if self.rest == 0 {
                    self.have = 0;
                    whole = whole.saturating_add(1);
                }
            }
        }
        Ok(whole)
    }
}
