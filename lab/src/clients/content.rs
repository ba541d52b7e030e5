//! Contents of requests and responses.

use sha2::{Digest as _, Sha256};

/// The backend's short text.
pub(super) const TEXT: &[u8; 60] = b"sixty bytes that every client has to see from end to end...\n";

/// [`TEXT`] in gzip, as one block that is stored (RFC 1952, RFC 1951 3.2.4).
pub(super) fn gzip() -> Vec<u8> {
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let length = TEXT.len() as u16;
    let mut whole = head.to_vec();
    whole.push(1);
    whole.extend(length.to_le_bytes());
    whole.extend((!length).to_le_bytes());
    whole.extend(TEXT);
    whole.extend(crc32(TEXT).to_le_bytes());
    whole.extend(u32::from(length).to_le_bytes());
    whole
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Name and value of the trailer behind it, where there is one.
pub(super) const TRAILER: (&str, &str) = ("x-trailer", "behind the content");

/// The value of [`TRAILER`] in lines of fields.
pub(super) fn trailer_in(lines: &str) -> Option<String> {
    let begin = format!("{}: ", TRAILER.0);
    let value = lines.lines().find_map(|line| line.split_once(&begin))?.1;
    Some(value.trim().to_owned())
}

/// One piece of the text that comes piece by piece.
pub(super) const PIECE: &[u8; 10] = b"0123456789";
pub(super) const PIECES: usize = 6;

/// The text that comes piece by piece.
pub(super) fn stream() -> Vec<u8> {
    PIECE.repeat(PIECES)
}

/// The length after which a pattern repeats.
pub(super) const PERIOD: usize = 251;

/// The bytes 0 to 250 again and again: a byte that is missing shows.
pub(super) fn pattern(size: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..PERIOD as u8).collect();
    let mut whole = period.repeat(size / PERIOD + 1);
    whole.truncate(size);
    whole
}

/// The backend's word for a request whose content was whole.
pub(super) fn received(size: usize) -> String {
    format!("received {size} bytes of the pattern\n")
}

/// Length and hash of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) length: usize,
    pub(super) sha256: String,
}

pub(super) fn digest(content: &[u8]) -> Digest {
    let hash = Sha256::digest(content);
    let sha256 = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Digest { length: content.len(), sha256 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_trailer_is_found_among_fields() {
        assert_eq!(trailer_in("trailer: x-trailer\r\nx-trailer: here\r\n").as_deref(), Some("here"));
        assert_eq!(trailer_in("[  0.01] recv (stream_id=13) x-trailer: here\n").as_deref(), Some("here"));
        assert_eq!(trailer_in("a: b\r\n"), None);
    }

    #[test]
    fn a_pattern_repeats_after_its_period() {
        let whole = pattern(600);
        assert_eq!(whole.len(), 600);
        assert_eq!((whole[250], whole[251], whole[599]), (250, 0, 97));
        assert_eq!(whole[PERIOD..], pattern(600 - PERIOD));
    }
}
