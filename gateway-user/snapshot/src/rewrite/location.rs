//! `HTTPRequestRedirectFilter`: the `Location` of a redirect.

use std::io::Write as _;

use gateway_grammar::Scheme;

use super::PathRewrite;
use super::path::{without_leading_slashes, write_target};

/// A compiled redirect. A part that is `None` stays as the request had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The new scheme.
    pub scheme: Option<Scheme>,
    /// The new host.
    pub hostname: Option<Box<[u8]>>,
    /// The new path.
    pub path: Option<PathRewrite>,
    /// The new port.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// The request that is redirected.
#[derive(Clone, Copy, Debug)]
pub struct RedirectSource<'a> {
    /// The scheme that it arrived by.
    pub scheme: Scheme,
    /// Its host without port, an IPv6 address in brackets; may be empty.
    pub host: &'a [u8],
    /// The port of the listener that took it, as the Gateway has it.
    pub listener_port: u16,
    /// Its path.
    pub path: &'a [u8],
    /// Its query, encoded.
    pub query: Option<&'a [u8]>,
    /// Bytes of the path that the match covers: [`RouteHit::matched_len`](crate::RouteHit::matched_len).
    pub matched_len: usize,
}

impl Redirect {
    /// # Errors
    /// A line that names the part that cannot be served.
    pub(crate) fn compile(redirect: &gateway_ir::Redirect) -> Result<Self, String> {
        redirect.check()?;
        Ok(Self {
            scheme: redirect.scheme.as_deref().and_then(Scheme::parse),
            hostname: redirect.hostname.as_ref().map(|hostname| hostname.as_bytes().into()),
            path: redirect.path.as_ref().map(PathRewrite::compile).transpose()?,
            port: redirect.port,
            status: redirect.status,
        })
    }
}

/// Appends the value of the `Location` field to `out`. Allocates only if `out` has to grow.
///
/// Without a host in the request or the redirect it is a path alone, which clients resolve against the
/// address they asked (RFC 9110 section 10.2.2); it never starts with `//` then.
pub fn write_location(redirect: &Redirect, source: &RedirectSource<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let host = redirect.hostname.as_deref().unwrap_or(source.host);
    if !host.is_empty() {
        let scheme = redirect.scheme.unwrap_or(source.scheme);
        out.extend_from_slice(scheme.as_str().as_bytes());
        out.extend_from_slice(b"://");
        out.extend_from_slice(host);
        let port = redirect.port.unwrap_or(match redirect.scheme {
            Some(scheme) => scheme.well_known_port(),
            None => source.listener_port,
        });
        if port != scheme.well_known_port() {
            // Writing to a Vec does not fail.
            let _ = write!(out, ":{port}");
        }
    }
    let path_at = out.len();
    write_target(redirect.path.as_ref(), source.path, source.matched_len, source.query, out);
    if path_at == start {
        let target = out.get(start..).unwrap_or_default();
        let surplus = (target.len() - without_leading_slashes(target).len()).saturating_sub(1);
        out.drain(start..start + surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: gateway_ir::Redirect =
        gateway_ir::Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };
    const SOURCE: RedirectSource<'_> = RedirectSource {
        scheme: Scheme::Http,
        host: b"a.example",
        listener_port: 80,
        path: b"/old/path",
        query: None,
        matched_len: 4,
    };

    fn location(redirect: gateway_ir::Redirect, source: RedirectSource<'_>) -> String {
        let mut out = b"kept ".to_vec();
        write_location(&Redirect::compile(&redirect).unwrap(), &source, &mut out);
        String::from_utf8(out).unwrap().strip_prefix("kept ").unwrap().to_owned()
    }

    #[test]
    fn ports_follow_the_specification() {
        let scheme = |scheme: &str, port| gateway_ir::Redirect { scheme: Some(scheme.into()), port, ..KEEP };
        let on = |listener_port, scheme| RedirectSource { listener_port, scheme, ..SOURCE };
        for (redirect, source, want) in [
            // No port and no scheme: the listener's port, left out where the scheme implies it.
            (KEEP, on(80, Scheme::Http), "http://a.example/old/path"),
            (KEEP, on(8080, Scheme::Http), "http://a.example:8080/old/path"),
            (KEEP, on(443, Scheme::Https), "https://a.example/old/path"),
            (KEEP, on(8443, Scheme::Https), "https://a.example:8443/old/path"),
            (KEEP, on(443, Scheme::Http), "http://a.example:443/old/path"),
            // A scheme: its well-known port, whatever the listener's.
            (scheme("https", None), on(8080, Scheme::Http), "https://a.example/old/path"),
            (scheme("http", None), on(8443, Scheme::Https), "http://a.example/old/path"),
            // A port always counts, left out where the scheme implies it.
            (scheme("https", Some(443)), on(80, Scheme::Http), "https://a.example/old/path"),
            (scheme("https", Some(80)), on(80, Scheme::Http), "https://a.example:80/old/path"),
            (scheme("http", Some(8080)), on(80, Scheme::Http), "http://a.example:8080/old/path"),
            (
                gateway_ir::Redirect { port: Some(80), ..KEEP },
                on(8080, Scheme::Http),
                "http://a.example/old/path",
            ),
            (
                gateway_ir::Redirect { port: Some(8443), ..KEEP },
                on(443, Scheme::Https),
                "https://a.example:8443/old/path",
            ),
        ] {
            assert_eq!(location(redirect.clone(), source), want, "{redirect:?} of {source:?}");
        }
    }

    #[test]
    fn hosts_paths_and_queries() {
        let host = gateway_ir::Redirect { hostname: Some("b.example".into()), ..KEEP };
        let with = |path| gateway_ir::Redirect { path: Some(path), ..KEEP };
        let prefix = with(gateway_ir::PathRewrite::Prefix("/new".into()));
        let full = with(gateway_ir::PathRewrite::Full("/new".into()));
        let query = RedirectSource { query: Some(b"q=1"), ..SOURCE };
        assert_eq!(location(host, query), "http://b.example/old/path?q=1");
        assert_eq!(location(prefix, query), "http://a.example/new/path?q=1");
        assert_eq!(location(full, SOURCE), "http://a.example/new");
    }

    #[test]
    fn without_a_host_the_location_is_a_path_that_cannot_be_read_as_a_host() {
        let source = RedirectSource { host: b"", path: b"//evil.example/", query: Some(b"q"), ..SOURCE };
        assert_eq!(location(KEEP, source), "/evil.example/?q");
    }

    #[test]
    fn what_cannot_be_answered_with_is_refused() {
        for bad in [
            gateway_ir::Redirect { scheme: Some("ftp".into()), ..KEEP },
            gateway_ir::Redirect { hostname: Some("a\r\nb".into()), ..KEEP },
            gateway_ir::Redirect { path: Some(gateway_ir::PathRewrite::Full("/a b".into())), ..KEEP },
            gateway_ir::Redirect { status: 200, ..KEEP },
        ] {
            assert!(Redirect::compile(&bad).is_err(), "{bad:?}");
        }
    }
}
