//! `sluice explain`.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use gateway_http::h1::path::normalize;
use gateway_snapshot::rewrite::Scheme;
use gateway_snapshot::{FieldList, Generation, RequestView, Verdict, compile, explain};

use super::resources::Resources;
use super::{End, bad_settings, print};
use crate::cli::ExplainArgs;
use crate::wire::path_options;

/// The parts of an `http://` or `https://` URL.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    scheme: Scheme,
    host: String,
    port: u16,
    path: String,
    query: Option<String>,
}

/// Says what becomes of one request; exit 1 if nothing serves it.
pub(super) fn run(args: ExplainArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let target = Target::parse(&args.url)?;
    let headers = headers(&args.headers)?;
    let resources = Resources::read(&args.dir, &settings)?;
    let snapshot = compile(&resources.translation.ir, Generation(1));
    let mut scratch = Vec::new();
    let path = match normalize(target.path.as_bytes(), path_options(&settings), &mut scratch) {
        Ok(path) => path,
        Err(error) => {
            print(&format!("{} {}: {error}\n", error.status(), error.reason()))?;
            return Ok(End::Found);
        }
    };
    let request = RequestView {
        method: args.method.as_bytes(),
        host: target.host.as_bytes(),
        path,
        query: target.query.as_deref().map(str::as_bytes),
        fields: &FieldList(&headers),
    };
    let local = SocketAddr::new(args.address, target.port);
    let explanation = explain(&snapshot, local, target.scheme, &request);
    let mut text: String = explanation.steps.iter().map(|step| format!("{step}\n")).collect();
    let errors = resources.view.diagnostics.iter().filter(|line| line.is_error()).count();
    if errors > 0 {
        text.push_str(&format!("note: {errors} errors keep objects out of this; see `sluice check`\n"));
    }
    print(&text)?;
    Ok(if matches!(explanation.verdict, Verdict::Hit(_)) { End::Done } else { End::Found })
}

impl Target {
    fn parse(url: &str) -> anyhow::Result<Self> {
        let schemes = [("http://", Scheme::Http), ("https://", Scheme::Https)];
        let parts = schemes.iter().find_map(|(prefix, scheme)| Some((url.strip_prefix(prefix)?, *scheme)));
        let Some((rest, scheme)) = parts else {
            bail!("{url:?}: write an absolute URL such as http://www.example.com/cart");
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let after = after.split_once('#').map_or(after, |(before, _)| before);
        let (path, query) = match after.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (after, None),
        };
        // A bracket after the last colon means that the colon is inside an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().with_context(|| format!("{url:?}: {port:?} is no port"))?)
            }
            _ => (authority, scheme.well_known_port()),
        };
        if host.is_empty() || host.contains('@') {
            bail!("{url:?}: write a host and no user, such as http://www.example.com/cart");
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        Ok(Self { scheme, host, port, path, query })
    }
}

fn headers(written: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let split = |line: &String| match line.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => bail!("-H {line:?}: write NAME: VALUE"),
    };
    written.iter().map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, u16, String, Option<String>) {
        let Target { host, port, path, query, .. } = Target::parse(url).unwrap();
        (host, port, path, query)
    }

    #[test]
    fn urls_come_apart() {
        let want = |host: &str, port, path: &str, query: Option<&str>| {
            (host.to_owned(), port, path.to_owned(), query.map(str::to_owned))
        };
        assert_eq!(parts("http://A.example.com./x?y=1#z"), want("a.example.com", 80, "/x", Some("y=1")));
        assert_eq!(parts("http://a:8080"), want("a", 8080, "/", None));
        assert_eq!(parts("http://[::1]:81?q"), want("[::1]", 81, "/", Some("q")));
        assert_eq!(parts("https://a/b"), want("a", 443, "/b", None));
        assert_eq!(Target::parse("https://a").unwrap().scheme, Scheme::Https);
        assert_eq!(parts("http://[::1]/"), want("[::1]", 80, "/", None));
        for bad in ["a/b", "ftp://a/", "http:///x", "http://a:x/", "http://u@a/"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
