//! Text → syntax tree, within bounds that the text alone decides.

use regex_syntax::ast::{self, Ast, Flag, Flags, GroupKind};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{self, Class, Hir, HirKind};

use crate::Error;

/// Character classes in an expression that turns Unicode on: folding the case of one walks 140,000
/// characters.
const UNICODE_CLASSES: usize = 32;
/// The cost of such an expression if it is found invalid after its classes were translated.
const UNICODE_COST: usize = 64 << 10;

/// Classes are of bytes unless told otherwise.
const NEEDS_UNICODE: &str = "a class of characters beyond ASCII needs (?u) in front of it";

/// True if the text is an expression by itself, whatever it costs to build.
pub fn is_valid(text: &str) -> bool {
    ast::parse::ParserBuilder::new().build().parse(text).is_ok()
}

/// Parses an expression as bytes, Unicode off unless it says `(?u)`.
pub(crate) fn parse(text: &str) -> Result<Hir, Error> {
    let ast = ast::parse::ParserBuilder::new().build().parse(text);
    let ast = ast.map_err(|error| Error::syntax(text, error.kind()))?;
    let mut unicode = UnicodeUse::default();
    // The visitor gives no error.
    let _ = ast::visit(&ast, &mut unicode);
    if unicode.is_on && unicode.classes > UNICODE_CLASSES {
        let why = format!("(?u) with {} character classes; at most {UNICODE_CLASSES}", unicode.classes);
        return Err(Error::syntax(text, &why));
    }
    let mut translator = TranslatorBuilder::new().utf8(false).unicode(false).build();
    translator.translate(text, &ast).map_err(|error| {
        let cost = if unicode.is_on { UNICODE_COST } else { 0 };
        let error = match error.kind() {
            hir::ErrorKind::UnicodeNotAllowed => Error::syntax(text, &NEEDS_UNICODE),
            kind => Error::syntax(text, kind),
        };
        error.at_cost(cost)
    })
}

/// Number of places that a value's byte can be at in the expression once counted repetitions are written out:
/// about as many states as its nondeterministic automaton has.
pub(crate) fn positions(hir: &Hir) -> usize {
    let sum = |parts: &[Hir]| parts.iter().map(positions).fold(1, usize::saturating_add);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Bytes(_)) => 1,
        HirKind::Class(Class::Unicode(class)) => class.ranges().len().saturating_mul(4),
        HirKind::Capture(capture) => positions(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => sum(parts),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            positions(&repetition.sub).saturating_mul(times as usize)
        }
    }
}

/// The values of an expression that is a list of literals and nothing else.
pub(crate) fn literals(hir: &Hir) -> Option<Vec<&[u8]>> {
    let literal = |hir| match Hir::kind(hir) {
        HirKind::Literal(literal) => Some(&*literal.0),
        _ => None,
    };
    match hir.kind() {
        HirKind::Capture(capture) => literals(&capture.sub),
        HirKind::Literal(_) => Some(vec![literal(hir)?]),
        HirKind::Alternation(parts) => parts.iter().map(literal).collect(),
        _ => None,
    }
}

/// The use of Unicode: if it is turned on anywhere, and how many classes that may concern.
#[derive(Default)]
struct UnicodeUse {
    is_on: bool,
    classes: usize,
}

impl UnicodeUse {
    fn flags(&mut self, flags: &Flags) {
        self.is_on |= flags.flag_state(Flag::Unicode) == Some(true);
    }
}

impl ast::Visitor for &mut UnicodeUse {
    type Output = ();
    type Err = ();

    fn finish(self) -> Result<(), ()> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), ()> {
        match ast {
            Ast::Flags(set) => self.flags(&set.flags),
            Ast::Group(group) => match &group.kind {
                GroupKind::NonCapturing(flags) => self.flags(flags),
                GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => {}
            },
            Ast::Dot(_) | Ast::ClassPerl(_) | Ast::ClassUnicode(_) | Ast::ClassBracketed(_) => {
                self.classes += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, _: &ast::ClassSetItem) -> Result<(), ()> {
        self.classes += 1;
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> Result<(), ()> {
        self.classes += 1;
        Ok(())
    }
}
