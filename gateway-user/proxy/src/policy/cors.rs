//! `CORS` (GEP-1767; Fetch standard, CORS protocol).

use gateway_grammar::token::{is_token, list};
use gateway_snapshot::{Cors, FieldLines, Leave};

use super::{FilterOutcome, OwnFields};
use crate::Reason;

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const ALLOW_METHODS: &str = "access-control-allow-methods";
const ALLOW_HEADERS: &str = "access-control-allow-headers";
const EXPOSE_HEADERS: &str = "access-control-expose-headers";
const MAX_AGE: &str = "access-control-max-age";

/// Fields of responses that the filter alone writes: the gateway is the final authority, backends have no say (GEP-1767).
const NAMES: &[&str] =
    &[ALLOW_ORIGIN, ALLOW_CREDENTIALS, ALLOW_METHODS, ALLOW_HEADERS, EXPOSE_HEADERS, MAX_AGE];

/// Decides about a request. A preflight (an `OPTIONS` with `Origin` and `Access-Control-Request-Method`) gets a local reply,
/// whatever its origin; all else goes on, also from origins that are not allowed: it is their pages' browser that keeps the
/// response from them.
pub fn admit(cors: &Cors, method: &[u8], fields: &dyn FieldLines) -> (OwnFields, FilterOutcome) {
    let mut origins = lines(fields, "origin");
    // Two lines would be two origins, of which a browser never sends but one.
    let origin = origins.next();
    let one = origin.filter(|_| origins.next().is_none());
    let mut own = OwnFields::new(NAMES, !cors.is_for_all());
    let allowed = one.filter(|origin| cors.allows(origin));
    // Without `Origin` too: caches, which are not told that the response depends on it, would give it to pages.
    if cors.is_for_all() {
        own.put(ALLOW_ORIGIN, *b"*");
    } else if let Some(origin) = allowed {
        own.put(ALLOW_ORIGIN, origin);
    }
    if allowed.is_some() || cors.is_for_all() {
        if cors.credentials {
            own.put(ALLOW_CREDENTIALS, *b"true");
        }
        if !cors.exposed.is_empty() {
            own.put(EXPOSE_HEADERS, &*cors.exposed);
        }
    }
    let wanted = lines(fields, "access-control-request-method").next();
    let Some(wanted) = wanted.filter(|_| method == b"OPTIONS" && origin.is_some()) else {
        return (own, FilterOutcome::Continue);
    };
    if allowed.is_none() {
        return (OwnFields::new(NAMES, true), FilterOutcome::Reply(Reason::CorsOriginNotAllowed));
    }
    give_leave(cors, wanted, fields, &mut own);
    (own, FilterOutcome::Reply(Reason::CorsPreflight))
}

/// Adds the fields that a preflight alone asks for. A wildcard gives leave for what is asked for, by its name: `*` would be no
/// wildcard with credentials, and never one for `Authorization`.
fn give_leave(cors: &Cors, wanted: &[u8], fields: &dyn FieldLines, own: &mut OwnFields) {
    match &cors.methods {
        Leave::Any if is_token(wanted) => own.put(ALLOW_METHODS, wanted),
        Leave::List(methods) if !methods.is_empty() => own.put(ALLOW_METHODS, &**methods),
        Leave::Any | Leave::List(_) => {}
    }
    match &cors.headers {
        Leave::Any => {
            let names = || lines(fields, "access-control-request-headers").flat_map(list);
            if names().next().is_some() && names().all(is_token) {
                own.put(ALLOW_HEADERS, names().collect::<Vec<_>>().join(b", ".as_slice()));
            }
        }
        Leave::List(headers) if !headers.is_empty() => own.put(ALLOW_HEADERS, &**headers),
        Leave::List(_) => {}
    }
    own.put(MAX_AGE, &*cors.max_age);
}

/// The values of every line of that name.
fn lines<'a>(fields: &'a dyn FieldLines, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let (at, value) = fields.find(name, from)?;
        from = at + 1;
        Some(value)
    })
}

#[cfg(test)]
mod tests {
    use gateway_ir::Cors as Source;
    use gateway_snapshot::FieldList;

    use super::*;

    /// The fields and the outcome for a method and field lines.
    fn asked(source: &Source, request: &str) -> (String, FilterOutcome) {
        let cors = Cors::compile(source).unwrap();
        let (method, rest) = request.split_once('\n').unwrap_or((request, ""));
        let fields: Vec<_> = rest.lines().filter_map(|line| line.split_once(": ")).collect();
        let (own, outcome) = admit(&cors, method.as_bytes(), &FieldList(&fields));
        let fields = own.beside(&[("x-own", b"1"), (ALLOW_METHODS, b"FORGED")]);
        let text = fields.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
        (text.collect(), outcome)
    }

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|&text| text.to_owned()).collect()
    }

    fn listed() -> Source {
        Source {
            origins: texts(&["https://www.foo.com", "https://*.bar.com"]),
            credentials: true,
            methods: texts(&["GET", "OPTIONS"]),
            headers: texts(&["x-header-1", "x-header-2"]),
            exposed: texts(&["x-header-3", "x-header-4"]),
            max_age: 3600,
        }
    }

    fn any(credentials: bool) -> Source {
        let all = || texts(&["*"]);
        Source { origins: all(), credentials, methods: all(), headers: all(), exposed: all(), max_age: 5 }
    }

    const REPLY: FilterOutcome = FilterOutcome::Reply(Reason::CorsPreflight);
    const REFUSED: FilterOutcome = FilterOutcome::Reply(Reason::CorsOriginNotAllowed);

    #[test]
    fn a_preflight_is_told_what_is_listed() {
        let (fields, outcome) = asked(
            &listed(),
            "OPTIONS\nOrigin: https://a.bar.com\nAccess-Control-Request-Method: DELETE\nAccess-Control-Request-Headers: x",
        );
        assert_eq!(outcome, REPLY);
        assert_eq!(
            fields,
            "x-own: 1\naccess-control-allow-origin: https://a.bar.com\naccess-control-allow-credentials: true\n\
             access-control-expose-headers: x-header-3, x-header-4\naccess-control-allow-methods: GET, OPTIONS\n\
             access-control-allow-headers: x-header-1, x-header-2\naccess-control-max-age: 3600\nvary: Origin\n"
        );
    }

    #[test]
    fn a_wildcard_gives_leave_for_what_is_asked_for() {
        let preflight = "OPTIONS\nOrigin: null\nAccess-Control-Request-Method: PUT\n\
                         Access-Control-Request-Headers: authorization,x-a\nAccess-Control-Request-Headers: x-b";
        let leave = "access-control-allow-methods: PUT\naccess-control-allow-headers: authorization, x-a, x-b\n\
                     access-control-max-age: 5\n";
        let (fields, outcome) = asked(&any(false), preflight);
        let open = "x-own: 1\naccess-control-allow-origin: *\naccess-control-expose-headers: *\n";
        assert_eq!((fields, outcome), (format!("{open}{leave}"), REPLY));
        let (fields, outcome) = asked(&any(true), preflight);
        let with = "x-own: 1\naccess-control-allow-origin: null\naccess-control-allow-credentials: true\n";
        assert_eq!((fields, outcome), (format!("{with}{leave}vary: Origin\n"), REPLY));
    }

    #[test]
    fn names_that_are_none_are_not_repeated() {
        let (fields, outcome) = asked(
            &any(true),
            "OPTIONS\nOrigin: https://a\nAccess-Control-Request-Method: P T\nAccess-Control-Request-Headers: a b, c",
        );
        assert_eq!(outcome, REPLY);
        assert!(!fields.contains("allow-methods") && !fields.contains("allow-headers"), "{fields}");
    }

    #[test]
    fn other_origins_get_no_leave() {
        let method = "Access-Control-Request-Method: GET";
        for origins in [
            "Origin: https://bar.com",
            "Origin: null",
            "Origin: https://www.foo.com\nOrigin: https://www.foo.com",
        ] {
            let (fields, outcome) = asked(&listed(), &format!("OPTIONS\n{origins}\n{method}"));
            assert_eq!((fields.as_str(), outcome), ("x-own: 1\nvary: Origin\n", REFUSED), "{origins}");
            let (fields, outcome) = asked(&listed(), &format!("GET\n{origins}\n{method}"));
            let goes_on = ("x-own: 1\nvary: Origin\n", FilterOutcome::Continue);
            assert_eq!((fields.as_str(), outcome), goes_on, "{origins}");
        }
        let (fields, outcome) =
            asked(&Source::default(), "OPTIONS\nOrigin: https://a\nAccess-Control-Request-Method: GET");
        assert_eq!((fields.as_str(), outcome), ("x-own: 1\nvary: Origin\n", REFUSED));
    }

    #[test]
    fn what_is_no_preflight_goes_on() {
        for request in [
            "OPTIONS",
            "OPTIONS\nOrigin: https://www.foo.com",
            "OPTIONS\nAccess-Control-Request-Method: GET",
            "GET",
        ] {
            assert_eq!(asked(&listed(), request).1, FilterOutcome::Continue, "{request}");
        }
        let (fields, _) = asked(&any(false), "GET");
        assert!(fields.contains("access-control-allow-origin: *\n") && !fields.contains("vary"), "{fields}");
    }
}
