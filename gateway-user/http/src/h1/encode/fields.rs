//! Field lines: those that are forwarded, and those we make.

use super::super::framing::BodyFraming;
use super::sink::{Full, HeadSink};
use crate::bytes::Span;
use crate::head::Fields;
use crate::head::HeadEdits;

pub(super) fn put_line<S: HeadSink + ?Sized>(sink: &mut S, name: &[u8], value: &[u8]) -> Result<(), Full> {
    sink.put(name)?;
    sink.put(b": ")?;
    sink.put(value)?;
    sink.put(b"\r\n")
}

/// Writes every line that is neither hop-by-hop, nor ours to write, nor dropped by an edit, then the lines
/// that edits add. Neighbouring lines that are in our own form already are copied as one piece.
pub(super) fn put_forwarded<S: HeadSink + ?Sized>(
    sink: &mut S,
    fields: Fields<'_>,
    edits: &HeadEdits,
) -> Result<(), Full> {
    let bytes = fields.bytes();
    let mut run: Option<Span> = None;
    for slot in fields.slots() {
        if slot.hop || (!edits.drops_nothing() && edits.drops(slot.field(bytes).name)) {
            continue;
        }
        match (slot.line(), run) {
            (Some(line), Some(open)) if open.end == line.start => run = Some(Span { end: line.end, ..open }),
            (line, open) => {
                put_run(sink, bytes, open)?;
                run = line;
                if line.is_none() {
                    let field = slot.field(bytes);
                    put_line(sink, field.name, field.value)?;
                }
            }
        }
    }
    put_run(sink, bytes, run)?;
    for (name, value) in edits.added() {
        put_line(sink, name, value)?;
    }
    Ok(())
}

fn put_run<S: HeadSink + ?Sized>(sink: &mut S, bytes: &[u8], run: Option<Span>) -> Result<(), Full> {
    run.map_or(Ok(()), |run| sink.put(run.of(bytes)))
}

/// Writes the field that announces a body.
pub(super) fn put_framing<S: HeadSink + ?Sized>(sink: &mut S, framing: BodyFraming) -> Result<(), Full> {
    match framing {
        BodyFraming::None | BodyFraming::UntilClose => Ok(()),
        BodyFraming::Length(length) => {
            sink.put(b"Content-Length: ")?;
            put_decimal(sink, length)?;
            sink.put(b"\r\n")
        }
        BodyFraming::Chunked => sink.put(b"Transfer-Encoding: chunked\r\n"),
    }
}

/// Writes a number in decimal.
pub(super) fn put_decimal<S: HeadSink + ?Sized>(sink: &mut S, number: u64) -> Result<(), Full> {
    sink.put(itoa::Buffer::new().format(number).as_bytes())
}
