//! The trailer section: copied, since it may come in pieces, then parsed like the lines of a head.

use gateway_grammar::names::is_forbidden_trailer;
use memchr::memchr;

use super::super::diagnose;
use super::super::error::{BodyError, FieldError};
use super::super::fields::FieldTable;
use super::super::limits::BodyLimits;
use crate::head::{Field, Fields};

/// Reused storage for one trailer section.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    bytes: Vec<u8>,
    line: usize,
    table: FieldTable,
}

impl Trailers {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.line = 0;
        self.table.clear();
    }

    pub(super) fn view(&self) -> Fields<'_> {
        self.table.view(&self.bytes)
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(Field<'_>) -> bool) {
        self.table.retain(&self.bytes, keep);
    }

    /// Takes bytes up to the empty line that ends the section; says how many, and whether it came.
    pub(super) fn read(&mut self, input: &[u8], limits: &BodyLimits) -> Result<(usize, bool), BodyError> {
        let mut used = 0;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            let end = memchr(b'\n', rest).map(|at| at + 1);
            let piece = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
            if self.bytes.len() + piece.len() > limits.trailers {
                return Err(BodyError::TrailersTooLarge);
            }
            self.bytes.extend_from_slice(piece);
            used += piece.len();
            if end.is_none() {
                break;
            }
            match self.bytes.get(self.line..) {
                Some(b"\r\n") => return self.parse(limits).map(|()| (used, true)),
                Some(line) if !line.ends_with(b"\r\n") => return Err(BodyError::Trailer(FieldError::BareLf)),
                _ => self.line = self.bytes.len(),
            }
        }
        Ok((used, false))
    }

    fn parse(&mut self, limits: &BodyLimits) -> Result<(), BodyError> {
        let mut headers = [httparse::EMPTY_HEADER; BodyLimits::MAX_TRAILERS];
        let headers =
            headers.get_mut(..limits.trailer_fields.min(BodyLimits::MAX_TRAILERS)).unwrap_or_default();
        let error = || BodyError::Trailer(diagnose::in_fields(&self.bytes).unwrap_or(FieldError::BadName));
        let (end, found) = match httparse::parse_headers(&self.bytes, headers) {
            Ok(httparse::Status::Complete(parsed)) => parsed,
            Ok(httparse::Status::Partial) => return Err(error()),
            Err(httparse::Error::TooManyHeaders) => return Err(BodyError::TrailersTooLarge),
            Err(_) => return Err(error()),
        };
        self.table.fill(&self.bytes, 0, end, found).map_err(BodyError::Trailer)?;
        self.table.retain(&self.bytes, |field| !is_forbidden_trailer(field.name));
        Ok(())
    }
}
