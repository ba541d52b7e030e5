//! `CORS` in the form in which it is applied.

use gateway_grammar::{Origin, OriginPattern};
use gateway_ir::ANY;

/// Pages of other origins that may use a rule's responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    /// Pages may send credentials.
    pub credentials: bool,
    /// The methods that they may use beside those that need no leave.
    pub methods: Leave,
    /// The request fields that they may set beside those that need no leave.
    pub headers: Leave,
    /// Value of `Access-Control-Expose-Headers`; empty for none.
    pub exposed: Box<[u8]>,
    /// Value of `Access-Control-Max-Age`: seconds.
    pub max_age: Box<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    Any,
    Of(Box<[OriginPattern<Box<[u8]>>]>),
}

/// The methods or fields that pages may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Everything they ask for.
    Any,
    /// These, as a field's value; empty for none.
    List(Box<[u8]>),
}

impl Cors {
    /// Reads the patterns and joins the lists.
    ///
    /// # Errors
    /// A line that names the value that is none.
    pub fn compile(source: &gateway_ir::Cors) -> Result<Self, String> {
        gateway_ir::Filter::Cors(source.clone()).check()?;
        let is_any = |names: &[String]| names.iter().any(|name| name == ANY);
        let patterns = source.origins.iter().filter_map(|origin| OriginPattern::parse(origin));
        let leave = |names: &[String]| match is_any(names) {
            true => Leave::Any,
            false => Leave::List(joined(names)),
        };
        // With credentials `*` is the name of a field and no wildcard (Fetch standard).
        let exposed = match (is_any(&source.exposed), source.credentials) {
            (true, false) => (*ANY.as_bytes()).into(),
            _ => joined(source.exposed.iter().filter(|name| *name != ANY)),
        };
        Ok(Self {
            origins: match is_any(&source.origins) {
                true => Origins::Any,
                false => Origins::Of(patterns.map(OriginPattern::into_owned).collect()),
            },
            credentials: source.credentials,
            methods: leave(&source.methods),
            headers: leave(&source.headers),
            exposed,
            max_age: source.max_age.to_string().into_bytes().into(),
        })
    }

    /// True if pages of the origin, the value of an `Origin` field, may use responses.
    pub fn allows(&self, origin: &[u8]) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Of(patterns) => Origin::parse(origin)
                .is_some_and(|origin| patterns.iter().any(|pattern| pattern.matches(&origin))),
        }
    }

    /// True if all pages get the same leave, so that `*` stands for their origin.
    pub fn is_for_all(&self) -> bool {
        self.origins == Origins::Any && !self.credentials
    }
}

fn joined(names: impl IntoIterator<Item = impl AsRef<str>>) -> Box<[u8]> {
    let mut value = Vec::new();
    for name in names {
        if !value.is_empty() {
            value.extend_from_slice(b", ");
        }
        value.extend_from_slice(name.as_ref().as_bytes());
    }
    value.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(change: impl FnOnce(&mut gateway_ir::Cors)) -> Result<Cors, String> {
        let mut source = gateway_ir::Cors { max_age: 5, ..gateway_ir::Cors::default() };
        change(&mut source);
        Cors::compile(&source)
    }

    #[test]
    fn no_origin_is_allowed_unless_it_is_listed() {
        let none = cors(|_| ()).unwrap();
        assert!(!none.allows(b"https://a.example") && !none.is_for_all());
        let some =
            cors(|cors| cors.origins = vec!["https://*.example".into(), "http://b:8080".into()]).unwrap();
        assert!(some.allows(b"https://a.example") && some.allows(b"http://b:8080"));
        assert!(!some.allows(b"null") && !some.allows(b"https://example") && !some.is_for_all());
        let all = cors(|cors| cors.origins = vec![ANY.into()]).unwrap();
        assert!(all.allows(b"null") && all.allows(b"https://a.example") && all.is_for_all());
    }

    #[test]
    fn credentials_take_the_wildcards_away() {
        let with = |credentials| {
            cors(|cors| {
                cors.credentials = credentials;
                cors.origins = vec![ANY.into()];
                cors.exposed = vec!["x-a".into(), ANY.into(), "x-b".into()];
            })
            .unwrap()
        };
        assert_eq!((with(false).is_for_all(), &*with(false).exposed), (true, b"*".as_slice()));
        assert_eq!((with(true).is_for_all(), &*with(true).exposed), (false, b"x-a, x-b".as_slice()));
    }

    #[test]
    fn no_value_breaks_out_of_its_line() {
        let bad = "a\r\nb".to_owned();
        assert!(cors(|cors| cors.methods = vec![bad.clone()]).is_err());
        assert!(cors(|cors| cors.headers = vec![bad.clone()]).is_err());
        assert!(cors(|cors| cors.exposed = vec![bad.clone()]).is_err());
        assert!(cors(|cors| cors.origins = vec![bad.clone()]).is_err());
    }
}
