//! Expressions that end in `.*`, which most do that look for something inside a value.
//!
//! Their automaton would go on to keep account of all that it looks for after it has found it, and double for
//! every part. So the part before the `.*` is built alone: once a value has begun with it, only the rest is
//! looked at.

use regex_syntax::hir::{Capture, Class, Hir, HirKind, Look, Repetition};

/// The rest of a value that may follow a literal beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// `.*`: no line feed.
    Line,
    /// `(?s:.*)`.
    Anything,
}

impl Tail {
    pub(crate) fn admits(self, byte: u8) -> bool {
        self == Self::Anything || byte != b'\n'
    }
}

/// The expression without its `.*`. With [`Tail::Line`], its first part has no line feed in it, so of all
/// beginnings of a value that match, the shortest decides: a line feed behind it is behind the longer ones
/// too, or in them.
pub(crate) fn split(hir: &Hir) -> Option<(Hir, Tail)> {
    let HirKind::Concat(parts) = hir.kind() else { return None };
    let ends = |part: &&Hir| matches!(part.kind(), HirKind::Look(Look::End));
    let parts = parts.split_last().filter(|(last, _)| ends(last)).map_or(parts.as_slice(), |(_, rest)| rest);
    let (last, rest) = parts.split_last()?;
    let tail = tail(last)?;
    let is_safe = tail == Tail::Anything || !rest.iter().any(takes_line_feed);
    is_safe.then(|| (Hir::concat(rest.iter().map(lazy).collect()), tail))
}

fn tail(hir: &Hir) -> Option<Tail> {
    let repetition = match hir.kind() {
        HirKind::Capture(capture) => return tail(&capture.sub),
        HirKind::Repetition(repetition) if (repetition.min, repetition.max) == (0, None) => repetition,
        _ => return None,
    };
    let HirKind::Class(Class::Bytes(class)) = repetition.sub.kind() else { return None };
    match class.ranges().iter().map(|range| (range.start(), range.end())).collect::<Vec<_>>().as_slice() {
        [(0, 255)] => Some(Tail::Anything),
        [(0, 9), (11, 255)] => Some(Tail::Line),
        _ => None,
    }
}

fn takes_line_feed(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&b'\n'),
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&b'\n'))
        }
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&'\n'))
        }
        HirKind::Capture(capture) => takes_line_feed(&capture.sub),
        HirKind::Repetition(repetition) => takes_line_feed(&repetition.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(takes_line_feed),
    }
}

/// The same language, with the shortest match preferred: what comes after a match is then soon at its end.
fn lazy(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            greedy: false,
            sub: Box::new(lazy(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Capture(Capture { sub, .. }) => lazy(sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(lazy).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(lazy).collect()),
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
    }
}
