//! Records: how they begin, and how they are sealed and opened (RFC 8446 section 5, RFC 5246 section 6.2).

use aws_lc_rs::aead::{Aad, Nonce};
use aws_lc_rs::error::Unspecified;

use super::alert::Alert;
use super::keys::{Cipher, Context, NONCE};
use crate::Version;

/// Content types.
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// Bytes of a record's header: type, version, length.
pub(super) const HEADER: usize = 5;
/// Most content of one record.
pub(super) const CONTENT_MAX: usize = 1 << 14;
/// The most bytes that a record adds to its content: header, content type, nonce and tag of any suite there is.
pub(super) const OVERHEAD: usize = HEADER + 1 + EXPLICIT + TAG;

const TAG: usize = 16;
/// Bytes of a nonce that go with the record: AES-GCM in TLS 1.2 (RFC 5288 section 3).
const EXPLICIT: usize = 8;

/// The form of records that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) version: Version,
    pub(super) cipher: Cipher,
}

/// A whole record at the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    header: [u8; HEADER],
    payload: &'a [u8],
}

/// The outcome of opening a record: its content is the first bytes of the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) typ: u8,
    pub(super) len: usize,
}

impl<'a> Record<'a> {
    /// `Ok(None)` as long as it is not whole.
    ///
    /// # Errors
    /// Whatever comes, it is no record that may come now.
    pub(super) fn read(bytes: &'a [u8], version: Version) -> Result<Option<Self>, Alert> {
        let Some(&typ) = bytes.first() else { return Ok(None) };
        let is_expected = match version {
            // All that is protected has this type outside (RFC 8446 section 5.2).
            Version::Tls13 => typ == APPLICATION_DATA,
            Version::Tls12 => matches!(typ, ALERT | HANDSHAKE | APPLICATION_DATA),
        };
        if !is_expected {
            return Err(Alert::UnexpectedMessage);
        }
        // Any minor version: it is authenticated with the rest of the header.
        if bytes.get(1).is_some_and(|major| *major != 3) {
            return Err(Alert::DecodeError);
        }
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
        let [.., high, low] = *header;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let expansion = if version == Version::Tls13 { 256 } else { 2048 };
        if len > CONTENT_MAX + expansion {
            return Err(Alert::RecordOverflow);
        }
        Ok(rest.get(..len).map(|payload| Self { header: *header, payload }))
    }

    /// Bytes of it, header and all.
    pub(super) fn len(&self) -> usize {
        HEADER + self.payload.len()
    }

    /// Bytes of room that it takes to open it.
    pub(super) fn room(&self) -> usize {
        self.payload.len().saturating_sub(TAG)
    }

    /// Opens it, as the peer's record with this number.
    ///
    /// # Errors
    /// It was not sealed like that.
    pub(super) fn open(
        &self,
        format: Format,
        context: &Context,
        number: u64,
        room: &mut [u8],
    ) -> Result<Opened, Alert> {
        let [typ, major, minor, ..] = self.header;
        let (nonce, sealed) = match (format.version, format.cipher) {
            (Version::Tls12, Cipher::Aes128Gcm | Cipher::Aes256Gcm) => {
                let (explicit, sealed) =
                    self.payload.split_first_chunk::<EXPLICIT>().ok_or(Alert::BadRecordMac)?;
                (context.explicit_nonce(*explicit), sealed)
            }
            _ => (context.nonce(number), self.payload),
        };
        let (text, tag) = sealed.split_last_chunk::<TAG>().ok_or(Alert::BadRecordMac)?;
        let room = room.get_mut(..text.len()).ok_or(Alert::InternalError)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = match format.version {
            Version::Tls13 => {
                context.key.open_separate_gather(nonce, Aad::from(self.header), text, tag, room)
            }
            Version::Tls12 => {
                let aad = Aad::from(aad12(number, [typ, major, minor], text.len()));
                context.key.open_separate_gather(nonce, aad, text, tag, room)
            }
        };
        opened.map_err(|_| Alert::BadRecordMac)?;
        match format.version {
            Version::Tls13 => unpad(room),
            Version::Tls12 if text.len() > CONTENT_MAX => Err(Alert::RecordOverflow),
            Version::Tls12 => Ok(Opened { typ, len: text.len() }),
        }
    }
}

/// The content and its type in a record of TLS 1.3, behind which there may be zeros (RFC 8446 section 5.4).
fn unpad(inner: &[u8]) -> Result<Opened, Alert> {
    if inner.len() > CONTENT_MAX + 1 {
        return Err(Alert::RecordOverflow);
    }
    let len = inner.iter().rposition(|byte| *byte != 0).ok_or(Alert::UnexpectedMessage)?;
    let typ = inner.get(len).copied().ok_or(Alert::InternalError)?;
    Ok(Opened { typ, len })
}

/// Seals content as our record with this number, in front of `room`; gives its length.
///
/// # Errors
/// There is not enough room, or more content than a record takes.
pub(super) fn seal(
    format: Format,
    context: &Context,
    number: u64,
    (typ, content): (u8, &[u8]),
    room: &mut [u8],
) -> Result<usize, Unspecified> {
    let nonce = context.nonce(number);
    let (outer, extra, explicit) = match (format.version, format.cipher) {
        (Version::Tls13, _) => (APPLICATION_DATA, &[typ][..], &[][..]),
        (Version::Tls12, Cipher::ChaCha20Poly1305) => (typ, &[][..], &[][..]),
        // The same bytes as in the nonce: unique for the key, as the number is.
        (Version::Tls12, _) => (typ, &[][..], nonce.get(NONCE - EXPLICIT..).unwrap_or_default()),
    };
    let trailer = extra.len() + TAG;
    let payload = explicit.len() + content.len() + trailer;
    if content.len() > CONTENT_MAX {
        return Err(Unspecified);
    }
    let [high, low] = u16::try_from(payload).map_err(|_| Unspecified)?.to_be_bytes();
    let header = [outer, 3, 3, high, low];
    let (front, rest) = room.split_first_chunk_mut::<HEADER>().ok_or(Unspecified)?;
    *front = header;
    let (front, rest) = rest.split_at_mut_checked(explicit.len()).ok_or(Unspecified)?;
    front.copy_from_slice(explicit);
    let (text, rest) = rest.split_at_mut_checked(content.len()).ok_or(Unspecified)?;
    let trailer = rest.get_mut(..trailer).ok_or(Unspecified)?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let key = &context.key;
    match format.version {
        Version::Tls13 => {
            key.seal_out_of_place_scatter(nonce, Aad::from(header), content, text, extra, trailer)?;
        }
        Version::Tls12 => {
            let aad = Aad::from(aad12(number, [typ, 3, 3], content.len()));
            key.seal_out_of_place_scatter(nonce, aad, content, text, extra, trailer)?;
        }
    }
    Ok(HEADER + payload)
}

/// `additional_data` of TLS 1.2 (RFC 5246 section 6.2.3.3): number, type, version, length of the content.
fn aad12(number: u64, [typ, major, minor]: [u8; 3], len: usize) -> [u8; 13] {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    let [.., high, low] = len.to_be_bytes();
    [a, b, c, d, e, f, g, h, typ, major, minor, high, low]
}
