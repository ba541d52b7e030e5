//! The bodies of a case.

use gateway_http::h1::{BodyDecoder, BodyError};

use super::body::{Came, ScriptSource, Then};
use super::case::{self, Case, Fault};
use super::stage::Stage;
use crate::body::ends::PumpError;

fn lost() -> PumpError {
    PumpError::SourceLost
}

/// The request's body as the client sends it.
pub(super) fn request_body(case: Case, stage: &Stage) -> ScriptSource<'_> {
    let gone = matches!(case.fault, Fault::ClientFin | Fault::ClientReset);
    let (came, then) = match case.request {
        case::Request::Put => (Some(Ok(&b"abcdef"[..])), Then::Finished),
        case::Request::Part if gone => (Some(Ok(&b"abc"[..])), Then::End(lost)),
        case::Request::Part => (Some(Ok(&b"abc"[..])), Then::Silence),
        _ => (None, Then::Finished),
    };
    ScriptSource { came, then, stage, reaches: false, trailers: BodyDecoder::default() }
}

/// The response's body as far as the case goes.
pub(super) fn response_body(case: Case, stage: &Stage) -> ScriptSource<'_> {
    let garbage = case.fault == Fault::BackendGarbage;
    let came: Option<Came> = match case.stage {
        case::Stage::Chunked if garbage => Some(Err(|| PumpError::Body(BodyError::BadChunkSize))),
        // Other bytes in place of the body, or of its rest, are taken for it as far as it is announced.
        case::Stage::Head if garbage => Some(Ok(b"\0\0garbage\r")),
        case::Stage::Length if garbage => Some(Ok(b"01234\0\0gar")),
        case::Stage::Length | case::Stage::Chunked | case::Stage::UntilClose => Some(Ok(b"01234")),
        case::Stage::Whole => Some(Ok(b"0123456789")),
        _ => None,
    };
    let rest: &'static [u8] = if case.stage == case::Stage::Head { b"0123456789" } else { b"56789" };
    let then = match case.fault {
        _ if case.stage == case::Stage::Whole || garbage => Then::Finished,
        Fault::BackendFin if case.stage == case::Stage::UntilClose => Then::Closed,
        Fault::BackendFin | Fault::BackendReset => Then::End(lost),
        Fault::BackendSilent => Then::End(|| PumpError::SourceTimeout),
        Fault::ClientFin if case.request == case::Request::Part => Then::Silence,
        Fault::ClientFin if case.stage == case::Stage::UntilClose => Then::Closed,
        Fault::ClientFin => Then::Rest(rest),
        _ => Then::Silence,
    };
    ScriptSource { came, then, stage, reaches: true, trailers: BodyDecoder::default() }
}
