//! Conditions of a match beside host and path.

use gateway_grammar::grpc::{is_grpc, service_and_method};

use super::Mismatch;
use super::query::{Scratch, decodes_to};
use crate::RequestView;
use crate::pattern::{PatternId, Regexes};

/// Conditions on method, headers and query parameters; all must hold.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    /// `POST` where `grpc` is set.
    pub(crate) method: Option<Box<[u8]>>,
    pub(crate) grpc: Option<GrpcCondition>,
    pub(crate) headers: Vec<FieldCondition>,
    pub(crate) query: Vec<ParamCondition>,
}

/// A condition on the content type, and on the path's second element where it names a method.
#[derive(Debug)]
pub(crate) struct GrpcCondition {
    pub(crate) method: Option<Box<[u8]>>,
}

/// A condition on one header field.
#[derive(Debug)]
pub(crate) struct FieldCondition {
    /// In lower case.
    pub(crate) name: Box<str>,
    pub(crate) value: ValueTest,
}

/// A condition on one query parameter.
#[derive(Debug)]
pub(crate) struct ParamCondition {
    /// Decoded.
    pub(crate) name: Box<str>,
    pub(crate) value: ValueTest,
}

/// The test of a value.
#[derive(Debug)]
pub(crate) enum ValueTest {
    Exact(Box<[u8]>),
    Regex(PatternId),
    /// Anything, as long as it is there. It stands for an expression that is invalid: the requests it can
    /// have been meant for get the rule's 500, and no others do.
    Present,
}

impl Conditions {
    /// True if nothing is asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.method.is_none() && self.grpc.is_none() && self.headers.is_empty() && self.query.is_empty()
    }

    /// # Errors
    /// The first condition that does not hold.
    pub(crate) fn check(
        &self,
        request: &RequestView<'_>,
        regexes: Regexes<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Mismatch> {
        if self.method.as_deref().is_some_and(|method| method != request.method) {
            return Err(Mismatch::Method);
        }
        if let Some(grpc) = &self.grpc {
            grpc.check(request)?;
        }
        for (at, header) in self.headers.iter().enumerate() {
            if !header.holds(request, regexes, scratch) {
                return Err(Mismatch::Header(at));
            }
        }
        for (at, param) in self.query.iter().enumerate() {
            if !param.holds(request, regexes, scratch) {
                return Err(Mismatch::Query(at));
            }
        }
        Ok(())
    }
}

impl GrpcCondition {
    fn check(&self, request: &RequestView<'_>) -> Result<(), Mismatch> {
        if let Some(want) = &self.method {
            match service_and_method(request.path) {
                Some((_, method)) if **want == *method => {}
                _ => return Err(Mismatch::GrpcMethod),
            }
        }
        let content_type = request.fields.find("content-type", 0);
        match content_type.is_some_and(|(_, value)| is_grpc(value)) {
            true => Ok(()),
            false => Err(Mismatch::ContentType),
        }
    }
}

impl FieldCondition {
    fn holds(&self, request: &RequestView<'_>, regexes: Regexes<'_>, scratch: &mut Scratch) -> bool {
        let Some((at, first)) = request.fields.find(&self.name, 0) else { return false };
        let Some((_, _)) = request.fields.find(&self.name, at + 1) else {
            return match &self.value {
                ValueTest::Exact(want) => **want == *first,
                ValueTest::Regex(id) => regexes.is_match(*id, first),
                ValueTest::Present => true,
            };
        };
        let joined = self.join(request, scratch);
        match &self.value {
            ValueTest::Exact(want) => **want == *joined,
            ValueTest::Regex(id) => regexes.is_match(*id, joined),
            ValueTest::Present => true,
        }
    }

    /// All lines as one value: joined by a comma (RFC 9110 section 5.3), cookies by `; ` (RFC 9113 section
    /// 8.2.3).
    fn join<'b>(&self, request: &RequestView<'_>, scratch: &'b mut Scratch) -> &'b [u8] {
        let separator: &[u8] = if &*self.name == "cookie" { b"; " } else { b"," };
        let buffer = scratch.buffer();
        let mut from = 0;
        while let Some((at, value)) = request.fields.find(&self.name, from) {
            if from > 0 {
                buffer.extend_from_slice(separator);
            }
            buffer.extend_from_slice(value);
            from = at + 1;
        }
        buffer
    }
}

impl ParamCondition {
    fn holds(&self, request: &RequestView<'_>, regexes: Regexes<'_>, scratch: &mut Scratch) -> bool {
        let Some(query) = request.query else { return false };
        let Some(value) = scratch.param(query, self.name.as_bytes()) else { return false };
        match &self.value {
            ValueTest::Exact(want) => decodes_to(value, want),
            ValueTest::Regex(id) => regexes.is_match(*id, scratch.decoded(value)),
            ValueTest::Present => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FieldLines, FieldList};

    fn holds(name: &str, want: &str, lines: &[(&str, &str)]) -> bool {
        let fields = FieldList(lines);
        let request = RequestView { method: b"GET", host: b"", path: b"/", query: None, fields: &fields };
        let condition = FieldCondition { name: name.into(), value: ValueTest::Exact(want.as_bytes().into()) };
        condition.holds(&request, Regexes::none(), &mut Scratch::default())
    }

    #[test]
    fn lines_of_one_field_are_one_value() {
        assert!(holds("x-a", "1", &[("X-A", "1")]));
        assert!(holds("x-a", "1,2,3", &[("x-a", "1"), ("b", "0"), ("X-a", "2"), ("x-A", "3")]));
        assert!(!holds("x-a", "1", &[("x-a", "1"), ("x-a", "2")]));
        assert!(holds("cookie", "a=1; b=2", &[("cookie", "a=1"), ("cookie", "b=2")]));
        assert!(!holds("x-a", "", &[("x-b", "")]));
        assert!(holds("x-a", "", &[("x-a", "")]));
    }

    #[test]
    fn a_list_finds_lines_by_position() {
        let lines = [("A", "1"), ("b", "2"), ("a", "3")];
        let list = FieldList(&lines);
        assert_eq!(list.find("a", 0), Some((0, &b"1"[..])));
        assert_eq!(list.find("a", 1), Some((2, &b"3"[..])));
        assert_eq!(list.find("a", 3), None);
    }
}
