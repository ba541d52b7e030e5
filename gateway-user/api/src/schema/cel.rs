//! The expression language of the rules (`x-kubernetes-validations`), with Kubernetes' functions beside the
//! standard's.
//!
//! Rules about a change (`oldSelf`) do not apply: a file has no earlier state. Functions that the CRDs call
//! beyond the standard library: `split` and `substring` (CEL's strings extension), `isIP`,
//! `format.dns1123Subdomain()` and `format.qualifiedName()` with `validate` (Kubernetes' IP and format
//! libraries).

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use ::cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString,
};
use ::cel::common::value::Val;
use ::cel::{Context, Env, ExecutionError, Program, Value as Answer, extensions};
use serde_json::Value;

use super::Schema;
use super::format::{is_dns1123_subdomain, is_qualified_name};
use crate::load::tree::{Entry, Node, Tree};

/// One rule and what to say when it does not hold.
pub(crate) struct Rule {
    pub(crate) source: String,
    message: String,
    /// Compiled at first use: most rules are never used by one directory. `None` for a rule about a change.
    program: LazyLock<Compiled, Box<dyn FnOnce() -> Compiled + Send>>,
}

type Compiled = Option<Result<Program, String>>;

/// Words that CEL reserves: a field of that name is written `__name__` in rules (Kubernetes: "Validation
/// rules").
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The functions that rules may call. Adding one fails only if its name is taken, which every test of a rule
/// that calls it would show.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    let added = [
        env.add_extension(extensions::strings),
        ::cel::add_overload!(env, fn is_ip: (CelString) -> CelBool, name = "isIP"),
        ::cel::add_overload!(env, fn dns1123_subdomain: () -> CelString, name = "format.dns1123Subdomain"),
        ::cel::add_overload!(env, fn qualified_name: () -> CelString, name = "format.qualifiedName"),
        ::cel::add_member_overload!(env, fn validate: (CelString, CelString) -> Result<CelOptional>),
    ];
    debug_assert!(added.iter().all(Result::is_ok), "{added:?}");
    Arc::new(env)
});

fn is_ip(text: &CelString<'_>) -> CelBool {
    CelBool::from(text.inner().parse::<IpAddr>().is_ok())
}

fn dns1123_subdomain() -> CelString<'static> {
    CelString::from("dns1123Subdomain")
}

fn qualified_name() -> CelString<'static> {
    CelString::from("qualifiedName")
}

/// `format.x().validate(text)`: nothing, or what is wrong. The rules only ask whether there is something.
fn validate(format: &CelString<'_>, text: &CelString<'_>) -> Result<CelOptional<'static>, ExecutionError> {
    let valid = match format.inner() {
        "dns1123Subdomain" => is_dns1123_subdomain(text.inner()),
        "qualifiedName" => is_qualified_name(text.inner()),
        other => return Err(ExecutionError::function_error("validate", format!("unknown format {other}"))),
    };
    Ok(if valid { CelOptional::none() } else { CelOptional::of(Box::new(CelString::from("invalid"))) })
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Rule {
    /// Reads an entry of `x-kubernetes-validations`; `None` if it says something that the check does not
    /// know.
    pub(crate) fn parse(raw: &Value) -> Option<Self> {
        let map = raw.as_object()?;
        if map.keys().any(|key| !["rule", "message"].contains(&key.as_str())) {
            return None;
        }
        let source = map.get("rule")?.as_str()?.to_owned();
        let message = map.get("message").and_then(Value::as_str);
        let message = message.map_or_else(|| format!("must fulfil {source}"), str::to_owned);
        let text = source.clone();
        let compile = move || {
            (!text.contains("oldSelf"))
                .then(|| ENVIRONMENT.compile(&text).map_err(|errors| errors.to_string()))
        };
        Some(Self { source, message, program: LazyLock::new(Box::new(compile)) })
    }

    /// True if it is about a change, so that it holds for whatever has no earlier state.
    #[cfg(test)]
    pub(crate) fn is_transition(&self) -> bool {
        self.program.is_none()
    }

    /// Why it does not compile.
    #[cfg(test)]
    pub(crate) fn compile_error(&self) -> Option<&str> {
        self.program.as_ref()?.as_ref().err().map(String::as_str)
    }

    /// True if it holds for the value of `context`, else what to tell. A rule that cannot be computed does
    /// not hold, as in the API server.
    fn check(&self, context: &Context<'_, '_>) -> Result<(), String> {
        let program = match &*self.program {
            None => return Ok(()),
            Some(Ok(program)) => program,
            Some(Err(error)) => return Err(format!("rule {:?} does not compile: {error}", self.source)),
        };
        match program.execute(context) {
            Ok(Answer::Bool(true)) => Ok(()),
            Ok(Answer::Bool(false)) => Err(self.message.clone()),
            Ok(_) => Err(format!("{} (the rule {:?} gave no answer)", self.message, self.source)),
            Err(error) => Err(format!("{} ({error})", self.message)),
        }
    }
}

/// Runs the rules of one value; gives the messages of those that do not hold.
pub(crate) fn failures<'r>(schema: &'r Schema, node: &'r Node) -> impl Iterator<Item = String> + 'r {
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    context.add_variable_as_val("self", value(Some(schema), node));
    schema.rules.iter().filter_map(move |rule| rule.check(&context).err())
}

/// A value as rules see it; text stays where it is.
fn value<'n>(schema: Option<&Schema>, node: &'n Node) -> Box<dyn Val + 'n> {
    match &node.tree {
        Tree::Null => Box::new(CelNull),
        Tree::Bool(b) => Box::new(CelBool::from(*b)),
        Tree::Int(i) => Box::new(CelInt::from(*i)),
        Tree::Float(x) => Box::new(CelDouble::from(*x)),
        Tree::String { text, .. } => Box::new(CelString::from(text.as_str())),
        Tree::List(items) => {
            let inner = schema.and_then(|s| s.items.as_deref());
            Box::new(CelList::from(items.iter().map(|item| value(inner, item)).collect::<Vec<_>>()))
        }
        Tree::Map(entries) => Box::new(CelMap::from(fields(schema, entries))),
    }
}

/// The fields of a map. One that CEL reserves the name of goes by `__name__` as well, if the schema declares
/// it: the CRDs write both `p1.__namespace__` and `has(r.namespace)`.
fn fields<'n>(schema: Option<&Schema>, entries: &'n [Entry]) -> HashMap<CelMapKey<'n>, Box<dyn Val + 'n>> {
    let key = |name: String| CelMapKey::String(CelString::from(name));
    let mut fields = HashMap::with_capacity(entries.len());
    for Entry { key: name, value: node, .. } in entries {
        let declared = schema.and_then(|s| s.properties.get(name));
        let inner = declared.or(schema.and_then(|s| s.additional.as_deref()));
        if declared.is_some() && RESERVED.contains(&name.as_str()) {
            fields.insert(key(format!("__{name}__")), value(inner, node));
        }
        fields.insert(key(name.clone()), value(inner, node));
    }
    fields
}
