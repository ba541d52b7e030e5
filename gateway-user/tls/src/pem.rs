//! PEM as people put it into Secrets: glued together, with a byte order mark, with text around.

use std::fmt;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::IdentityError;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// Notes of one kind about one text: who has more has read enough.
const NOTES: usize = 4;
/// Bytes of a label that are quoted.
const QUOTED: usize = 40;

/// A surprise in a PEM text that can be read all the same. The text names the Secret's entry, the place and
/// the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PemNote {
    /// Two sections without a line break between them.
    Glued {
        /// The line that holds both, from 1.
        line: usize,
    },
    /// A section that is no certificate.
    Ignored {
        /// The line that it begins in, from 1.
        line: usize,
        /// The label of the section.
        label: String,
    },
    /// A line that looks like the beginning of a section.
    Stray {
        /// Its number, from 1.
        line: usize,
    },
    /// Another key behind the one that is used.
    SecondKey {
        /// The line that it begins in, from 1.
        line: usize,
    },
}

impl fmt::Display for PemNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glued { line } => write!(
                f,
                "line {line} of tls.crt has two PEM sections without a line break between them, which nginx and HAProxy \
                 refuse; both are read, but put a line break behind -----END CERTIFICATE-----"
            ),
            Self::Ignored { line, label } => write!(
                f,
                "line {line} of tls.crt begins a section {label:?}, which has no effect; leave it out, or write it as a CERTIFICATE \
                 if it is one"
            ),
            Self::Stray { line } => write!(
                f,
                "line {line} of tls.crt looks like the beginning of a PEM section and is none, so what follows has no effect; \
                 write it as -----BEGIN CERTIFICATE-----, with five dashes on each side"
            ),
            Self::SecondKey { line } => write!(
                f,
                "line {line} of tls.key begins another private key, which has no effect: the first one is used; leave it out"
            ),
        }
    }
}

/// The certificates of a text, in order.
pub(crate) fn certificates(
    text: &[u8],
    notes: &mut Vec<PemNote>,
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let regular = Regular::new(text);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&regular.text).collect();
    match chain {
        Ok(chain) if chain.is_empty() && is_utf16(text) => Err(IdentityError::Utf16("tls.crt")),
        Ok(chain) if chain.is_empty() => Err(IdentityError::NoCertificate),
        Ok(chain) => {
            notes.extend(regular.glued.iter().take(NOTES).map(|line| PemNote::Glued { line: *line }));
            notes.extend(regular.passed_over().take(NOTES));
            Ok(chain)
        }
        Err(error) => Err(IdentityError::BadPem(damage(&error))),
    }
}

/// The first private key of a text.
pub(crate) fn private_key(
    text: &[u8],
    notes: &mut Vec<PemNote>,
) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let regular = Regular::new(text);
    let key = PrivateKeyDer::from_pem_slice(&regular.text).map_err(|error| {
        let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
        match error {
            _ if encrypted.into_iter().any(|part| find(text, part).is_some()) => IdentityError::EncryptedKey,
            pem::Error::NoItemsFound if is_utf16(text) => IdentityError::Utf16("tls.key"),
            pem::Error::NoItemsFound => IdentityError::NoKey,
            error => IdentityError::BadKeyPem(damage(&error)),
        }
    })?;
    let keys = regular.sections().filter(|(_, label)| label.ends_with(b"PRIVATE KEY"));
    notes.extend(keys.skip(1).take(NOTES).map(|(line, _)| PemNote::SecondKey { line }));
    Ok(key)
}

/// The reader's own words quote the text as numbers.
fn damage(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "a section has no proper BEGIN line",
    }
}

/// True if a text begins with the byte order mark of UTF-16, as Windows writes files that are redirected.
fn is_utf16(text: &[u8]) -> bool {
    matches!(text, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
}

/// A text in which every BEGIN and END is at the beginning of a line, as the reader wants them.
struct Regular {
    text: Vec<u8>,
    /// For each line of `text` its number in the text as it came.
    numbers: Vec<usize>,
    /// Lines, as they came, of which one section ends and another begins in.
    glued: Vec<usize>,
}

impl Regular {
    fn new(text: &[u8]) -> Self {
        let mut regular =
            Self { text: Vec::with_capacity(text.len() + 16), numbers: Vec::new(), glued: Vec::new() };
        for (line, number) in lines(text).zip(1..) {
            let mut rest = line;
            while let Some(at) = next_mark(rest) {
                let (before, mark) = rest.split_at(at);
                // The text in front of a BEGIN is a byte order mark, blanks, text, or the end of another
                // section.
                if before.starts_with(END) && mark.starts_with(BEGIN) {
                    regular.glued.push(number);
                }
                regular.push(before, number);
                rest = mark;
            }
            regular.push(rest, number);
        }
        regular
    }

    fn push(&mut self, line: &[u8], number: usize) {
        if !line.is_empty() {
            self.text.extend_from_slice(line);
            self.text.push(b'\n');
            self.numbers.push(number);
        }
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.numbers.iter().copied().zip(lines(&self.text))
    }

    /// The sections: the number of the line that each begins in, and its label.
    fn sections(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.lines().filter_map(|(number, line)| Some((number, label(line, BEGIN)?)))
    }

    /// The text that the reader skips.
    fn passed_over(&self) -> impl Iterator<Item = PemNote> {
        let mut inside = false;
        self.lines().filter_map(move |(line, text)| {
            if let Some(label) = label(text, BEGIN) {
                inside = true;
                let quoted = || String::from_utf8_lossy(label.get(..QUOTED).unwrap_or(label)).into_owned();
                return (label != b"CERTIFICATE").then(|| PemNote::Ignored { line, label: quoted() });
            }
            if text.starts_with(END) {
                inside = false;
                return None;
            }
            let stray = !inside && text.trim_ascii().starts_with(b"-") && find(text, b"BEGIN ").is_some();
            stray.then_some(PemNote::Stray { line })
        })
    }
}

/// The lines of a text, without CR, LF, or both.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').flat_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.split(|byte| *byte == b'\r')
    })
}

/// Place of the next BEGIN or END that does not begin the line.
fn next_mark(line: &[u8]) -> Option<usize> {
    let is_mark = |rest: &[u8]| rest.starts_with(BEGIN) || rest.starts_with(END);
    (1..line.len()).find(|at| line.get(*at..).is_some_and(is_mark))
}

/// The label of a line such as `-----BEGIN CERTIFICATE-----`.
fn label<'a>(line: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(mark)?.trim_ascii_end().strip_suffix(DASHES)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests;
