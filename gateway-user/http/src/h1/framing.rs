//! How long a body is (RFC 9112 section 6.3).

use gateway_grammar::token::{is_ows, is_token, trim_ows};

use crate::head::{BodyLength, Version};

/// How the end of a body is found, and how a head we write announces it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFraming {
    /// No body and no field about it.
    #[default]
    None,
    /// `Content-Length`, in bytes; 0 is an empty body that was announced.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the connection closes: responses only.
    UntilClose,
}

impl BodyFraming {
    /// Framing of a response for a client of that version, and true if its connection must close after the body: an
    /// HTTP/1.0 client knows no chunks (RFC 9112 section 6.1). Where no body follows this is what the head announces.
    pub fn for_client(length: BodyLength, client: Version) -> (Self, bool) {
        match (length, client) {
            (BodyLength::None(declared), _) => (declared.map_or(Self::None, Self::Length), false),
            (BodyLength::Known(length), _) => (Self::Length(length), false),
            (BodyLength::Unknown, Version::Http11 | Version::Http2) => (Self::Chunked, false),
            (BodyLength::Unknown, Version::Http10) => (Self::UntilClose, true),
        }
    }

    /// True if not one body byte can follow.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// Why framing fields can't be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramingError {
    BadLength,
    RepeatedLength,
    LengthAndCoding,
    BadCoding,
    UnknownCoding,
    CodingOnHttp10,
}

/// The framing fields of one head. Feed every line, then ask [`FramingFields::finish`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FramingFields {
    length: Option<u64>,
    coding: bool,
    chunked: u32,
    other_coding: bool,
    last_is_chunked: bool,
}

impl FramingFields {
    pub(crate) fn content_length(&mut self, value: &[u8]) -> Result<(), FramingError> {
        if self.length.is_some() || value.contains(&b',') {
            return Err(FramingError::RepeatedLength);
        }
        self.length = Some(decimal(value).ok_or(FramingError::BadLength)?);
        Ok(())
    }

    /// Several lines are one list. An empty element, a parameter of `chunked` or anything but a token is
    /// refused: recipients read those differently.
    pub(crate) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), FramingError> {
        self.coding = true;
        for element in value.split(|&b| b == b',').map(trim_ows) {
            let name = element.split(|&b| b == b';' || is_ows(b)).next().unwrap_or_default();
            if !is_token(name) {
                return Err(FramingError::BadCoding);
            }
            self.last_is_chunked = name.eq_ignore_ascii_case(b"chunked");
            if !self.last_is_chunked {
                self.other_coding = true;
            } else if element.len() == name.len() {
                self.chunked = self.chunked.saturating_add(1);
            } else {
                return Err(FramingError::BadCoding);
            }
        }
        Ok(())
    }

    /// `Chunked`, `Length` or, with neither field, `None`.
    pub(crate) fn finish(self, version: Version) -> Result<BodyFraming, FramingError> {
        if !self.coding {
            return Ok(self.length.map_or(BodyFraming::None, BodyFraming::Length));
        }
        if self.length.is_some() {
            Err(FramingError::LengthAndCoding)
        } else if version == Version::Http10 {
            Err(FramingError::CodingOnHttp10)
        } else if !self.last_is_chunked || self.chunked != 1 {
            Err(FramingError::BadCoding)
        } else if self.other_coding {
            Err(FramingError::UnknownCoding)
        } else {
            Ok(BodyFraming::Chunked)
        }
    }

    pub(crate) fn has_coding(self) -> bool {
        self.coding
    }
}

/// One or more digits that fit 64 bits; no sign, no blank.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(version: Version, lengths: &[&str], codings: &[&str]) -> Result<BodyFraming, FramingError> {
        let mut fields = FramingFields::default();
        for value in lengths {
            fields.content_length(value.as_bytes())?;
        }
        for value in codings {
            fields.transfer_encoding(value.as_bytes())?;
        }
        fields.finish(version)
    }

    #[test]
    fn framing_table() {
        use BodyFraming::{Chunked, Length, None};
        use FramingError::*;
        type Row<'a> = (&'a [&'a str], &'a [&'a str], Result<BodyFraming, FramingError>);
        let table: &[Row<'_>] = &[
            (&[], &[], Ok(None)),
            (&["0"], &[], Ok(Length(0))),
            (&["00042"], &[], Ok(Length(42))),
            (&["18446744073709551615"], &[], Ok(Length(u64::MAX))),
            (&["18446744073709551616"], &[], Err(BadLength)),
            (&[""], &[], Err(BadLength)),
            (&["+5"], &[], Err(BadLength)),
            (&["-5"], &[], Err(BadLength)),
            (&["5 5"], &[], Err(BadLength)),
            (&["0x5"], &[], Err(BadLength)),
            (&["5, 5"], &[], Err(RepeatedLength)),
            (&["5", "5"], &[], Err(RepeatedLength)),
            (&["5", "6"], &[], Err(RepeatedLength)),
            (&[], &["chunked"], Ok(Chunked)),
            (&[], &["CHunked"], Ok(Chunked)),
            (&["5"], &["chunked"], Err(LengthAndCoding)),
            (&[], &["chunked", "chunked"], Err(BadCoding)),
            (&[], &["chunked, chunked"], Err(BadCoding)),
            (&[], &["chunked, identity"], Err(BadCoding)),
            (&[], &["identity"], Err(BadCoding)),
            (&[], &["gzip"], Err(BadCoding)),
            (&[], &["gzip, chunked"], Err(UnknownCoding)),
            (&[], &["gzip;q=\"1\", chunked"], Err(UnknownCoding)),
            (&[], &["gzip", "chunked"], Err(UnknownCoding)),
            (&[], &[""], Err(BadCoding)),
            (&[], &["chunked,"], Err(BadCoding)),
            (&[], &[",chunked"], Err(BadCoding)),
            (&[], &["chunked;a=b"], Err(BadCoding)),
            (&[], &["chunked a"], Err(BadCoding)),
            (&[], &["\"chunked\""], Err(BadCoding)),
            (&[], &["xchunked"], Err(BadCoding)),
        ];
        for (lengths, codings, want) in table {
            assert_eq!(framing(Version::Http11, lengths, codings), *want, "{lengths:?} {codings:?}");
        }
        assert_eq!(framing(Version::Http10, &[], &["chunked"]), Err(CodingOnHttp10));
    }
}
