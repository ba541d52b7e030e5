//! `sluice explain`.

mod backends;
mod connection;
mod report;
mod result;
mod target;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::bail;
use gateway_explain::Lookup;
use gateway_grammar::grpc::is_grpc;
use gateway_grammar::names::is_proxy_field;
use gateway_http::h1::path::{MergeSlashes, merged, normalize, unmerged_len};
use gateway_ir::Hostname;
use gateway_proxy::UnderscoreHeaders;
use gateway_regex::Library;
use gateway_snapshot::rewrite::Scheme;
use gateway_snapshot::{
    Explanation, FieldList, Generation, ListenerInfo, RequestView, Snapshot, compile_from, explain,
    explain_over,
};

use self::backends::Backends;
use self::report::Report;
use self::result::Outcome;
use self::target::Target;
use super::resources::{Input, Resources, translate_options};
use super::{End, bad_settings};
use crate::cli::ExplainArgs;
use crate::flags::Settings;
use crate::wire::{self, path_options};

const WORDS: &str = "METHOD and URL of a request, tcp://HOST:PORT or tls://HOST:PORT of a connection, or \
                     udp://HOST:PORT of a datagram";

/// Says what becomes of one request; exit 1 if nothing serves it.
pub(super) fn run(args: ExplainArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let is_cluster = args.cluster.asked_for().is_some();
    let (paths, words) = split(&args.words, is_cluster);
    let input = args.cluster.asked_for().map_or(Input::Files(&paths), Input::Cluster);
    let (method, target) = match words {
        [url] if args.sni.is_some() => {
            bail!("--sni: {url:?} is no https:// request; the host of tls:// is its server name")
        }
        [url] => return connection::run((&input, args.address), url, &settings, args.output),
        [method, url] => (method, Target::parse(url)?),
        _ => bail!("write {}{WORDS}", if paths.is_empty() { "" } else { "DIR, then " }),
    };
    let sni = args.sni.as_deref().map(|name| server_name(name, target.scheme)).transpose()?;
    let headers = headers(&args.headers)?;
    let resources = Resources::read(&input, &settings)?;
    let snapshot = compiled(&resources, &settings);
    let (mut scratch, mut merge) = (Vec::new(), Vec::new());
    let options = path_options(&settings);
    let forwarded = match normalize(target.path.as_bytes(), options, &mut scratch) {
        Ok(path) => path,
        Err(error) => {
            let refused = format!("{} {}: {error}", error.status(), error.reason());
            return Report { result: vec![refused], ..Report::default() }.print(args.output);
        }
    };
    let merges = options.merge_slashes == MergeSlashes::Match;
    let path = if merges { merged(forwarded, &mut merge) } else { forwarded };
    let address = args.address.map_or_else(|| resources.address(target.port), Ok)?;
    let local = SocketAddr::new(address, target.port);
    let (headers, note) = match screened(headers, wire::underscore_headers(&settings), |name| {
        let bind = snapshot.bind(local);
        bind.is_some_and(|bind| bind.knows_underscored(target.host.as_bytes(), name.as_bytes()))
    }) {
        Ok(screened) => screened,
        Err(name) => {
            let refused =
                format!("400 underscore_header: header {name} is refused (--underscore-headers reject)");
            return Report { result: vec![refused], ..Report::default() }.print(args.output);
        }
    };
    let request = RequestView {
        method: method.as_bytes(),
        host: target.host.as_bytes(),
        path,
        query: target.query.as_deref().map(str::as_bytes),
        fields: &FieldList(&headers),
    };
    let explanation = match &sni {
        Some(name) => explain_over(&snapshot, local, (target.scheme, Some(name)), &request),
        None => explain(&snapshot, local, target.scheme, &request),
    };
    let outcome = explanation.hit.as_ref().map(|hit| {
        // The matched path is the forwarded one but for runs of slashes, of which every one is forwarded.
        let matched_len = match path.len() == forwarded.len() {
            true => hit.matched_len,
            false => unmerged_len(forwarded, hit.matched_len),
        };
        let fields = &FieldList(&headers);
        let request = result::Request { target: &target, method, path: forwarded, matched_len, fields };
        Outcome::of(&hit.rule, &request, backends(&snapshot, &resources, &hit.listener))
    });
    let mut report = report(&explanation, outcome, &resources);
    report.notes = note;
    let lookup = Lookup {
        resources: &resources.view.resources,
        options: &translate_options(&settings, is_cluster),
        translation: &resources.translation,
        library: &Library::new(settings.regex_bytes.bytes()),
        request: &request,
        local,
        explanation: &explanation,
    };
    report.missing_grants = lookup.missing_grants()?.into_iter().map(|grant| grant.text).collect();
    report.tell_of(lookup.losers()?);
    report.print(args.output)
}

/// The directory, if it is no cluster that is asked about, and the words that say what.
fn split(words: &[String], is_cluster: bool) -> (Vec<PathBuf>, &[String]) {
    match words {
        [dir, words @ ..] if !is_cluster => (vec![dir.into()], words),
        words => (Vec::new(), words),
    }
}

/// The words of a lookup, and its outcome.
fn report(explanation: &Explanation, outcome: Option<Outcome>, resources: &Resources) -> Report {
    let Outcome { lines, serves } = outcome.unwrap_or_default();
    Report {
        served: serves,
        steps: explanation.steps.clone(),
        result: lines,
        settings: settings_of(explanation, resources),
        errors: resources.view.diagnostics.iter().filter(|line| line.is_error()).count(),
        ..Report::default()
    }
}

fn backends<'a>(
    snapshot: &'a Snapshot,
    resources: &'a Resources,
    listener: &'a ListenerInfo,
) -> Backends<'a> {
    Backends { clusters: snapshot.clusters(), endpoints: &resources.translation.endpoints, listener }
}

fn compiled(resources: &Resources, settings: &Settings) -> Snapshot {
    let library = Library::new(settings.regex_bytes.bytes());
    compile_from(&library, &resources.translation.ir, Generation(1), None)
}

/// The settings of GatewayConfigs that hold on the listener, a line each.
fn settings_of(explanation: &Explanation, resources: &Resources) -> Vec<String> {
    let hit = explanation.hit.as_ref();
    let of_gateway = hit.and_then(|hit| resources.translation.status.settings.get(&hit.listener.id.gateway));
    let configured = of_gateway.into_iter().flatten().filter(|one| one.is_configured());
    configured.map(|one| format!("{}: {} ({})", one.name, one.value, one.source)).collect()
}

/// Headers by name, and a line for each that was dropped.
type Screened = (Vec<(String, String)>, Vec<String>);

/// The headers that are left to match on, and a line for each that is dropped; or else the name for which the
/// request is refused. `known` tells whether a route on the host matches or sets a name.
fn screened(
    headers: Vec<(String, String)>,
    policy: UnderscoreHeaders,
    known: impl Fn(&str) -> bool,
) -> Result<Screened, String> {
    let mut note = Vec::new();
    if policy == UnderscoreHeaders::Keep {
        return Ok((headers, note));
    }
    let content = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let grpc = content.is_some_and(|(_, value)| is_grpc(value.as_bytes()));
    let mut left = Vec::new();
    for (name, value) in headers {
        if !name.contains('_') || !is_proxy_field(name.as_bytes()) && (grpc || known(&name)) {
            left.push((name, value));
        } else if policy == UnderscoreHeaders::Reject {
            return Err(name);
        } else {
            note.push(format!("header {name} is dropped (--underscore-headers drop)"));
        }
    }
    Ok((left, note))
}

/// The server name that a connection was made for, in lower case.
fn server_name(name: &str, scheme: Scheme) -> anyhow::Result<String> {
    if scheme == Scheme::Http {
        bail!("--sni: a request by http:// has no server name; write https://, or leave it out");
    }
    match Hostname::parse(&name.to_ascii_lowercase()) {
        Ok(Hostname::Exact(name)) => Ok(name.to_string()),
        _ => bail!("--sni {name:?}: write a DNS name without wildcards, such as www.example.com"),
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

    #[test]
    fn headers_with_underscores_are_screened_as_requests_are() {
        let written = ["x_a: 1", "x-a: 2", "X_Known: 3", "x_forwarded_for: 4"].map(str::to_owned);
        let screen = |policy, more: &[&str]| {
            let written: Vec<_> =
                written.iter().cloned().chain(more.iter().map(|&line| line.to_owned())).collect();
            screened(headers(&written).unwrap(), policy, |name| name == "X_Known")
        };
        let names = |left: Vec<(String, String)>| left.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let (left, note) = screen(UnderscoreHeaders::Drop, &[]).unwrap();
        assert_eq!(names(left), ["x-a", "X_Known"]);
        assert_eq!(note.len(), 2, "{note:?}");
        let (left, _) = screen(UnderscoreHeaders::Drop, &["content-type: application/grpc"]).unwrap();
        assert_eq!(names(left), ["x_a", "x-a", "X_Known", "content-type"]);
        assert_eq!(screen(UnderscoreHeaders::Reject, &[]).unwrap_err(), "x_a");
        assert_eq!(screen(UnderscoreHeaders::Keep, &[]).unwrap().0.len(), 4);
    }
}
