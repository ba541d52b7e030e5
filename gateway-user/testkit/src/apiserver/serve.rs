//! HTTP/1.1: requests in, lists and streams out.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::World;
use super::requests::Requests;

/// Most objects of one page, however many are asked for: tests have few.
const PAGE: usize = 3;
/// How often a connection looks whether it is cut.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Objects that a request asks for.
enum Request {
    /// The kinds of `group/version`.
    Kinds(String),
    /// Objects of a kind.
    Objects(Ask),
}

struct Ask {
    /// `services`, `httproutes.gateway.networking.k8s.io`.
    plural: String,
    namespace: Option<String>,
    query: BTreeMap<String, String>,
    metadata_only: bool,
}

impl Ask {
    /// True if an object is among those that are asked for: `fieldSelector` on `metadata.name` and on the
    /// `type` of Secrets.
    fn selects(&self, object: &Value) -> bool {
        let selector = self.query.get("fieldSelector").map(String::as_str).unwrap_or_default();
        let selector = selector.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
        selector.split(',').filter_map(|one| one.split_once('=')).all(|(field, value)| {
            let found = match field {
                "metadata.name" => &object["metadata"]["name"],
                field => &object[field],
            };
            found == value
        })
    }
}

/// Serves a connection to its end.
pub(super) fn connection(world: &World, stream: &TcpStream) {
    let epoch = world.lock().epoch;
    // The client sees errors of this.
    let _ = requests(world, stream, epoch);
    let _ = stream.shutdown(Shutdown::Both);
}

fn requests(world: &World, stream: &TcpStream, epoch: u64) -> io::Result<()> {
    stream.set_read_timeout(Some(POLL_INTERVAL))?;
    let cut = || {
        let state = world.lock();
        state.away || state.epoch != epoch
    };
    let mut requests = Requests::new(stream, &cut);
    while let Some(head) = requests.next()? {
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        world.lock().requests.push(target.clone());
        match parse(&target, head.contains("as=PartialObjectMetadata")) {
            None => respond(stream, 404, &failure(404, "NotFound", "no such path"))?,
            Some(Request::Kinds(group)) => kinds(world, stream, &group)?,
            Some(Request::Objects(ask)) => objects(world, stream, &ask, epoch)?,
        }
    }
    Ok(())
}

/// The version of a group's kinds.
fn served(group: &str) -> &'static str {
    if group == "sluice.dev" { "v1alpha1" } else { "v1" }
}

/// `/api/v1/…` and `/apis/GROUP/VERSION/…`, with or without `namespaces/NAME/`.
fn parse(target: &str, metadata_only: bool) -> Option<Request> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["apis", group, version] => return Some(Request::Kinds(format!("{group}/{version}"))),
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", group, version, rest @ ..] if *version == served(group) => (*group, rest),
        _ => return None,
    };
    let (namespace, plural) = match rest {
        ["namespaces", namespace, plural] => (Some((*namespace).to_owned()), *plural),
        [plural] => (None, *plural),
        _ => return None,
    };
    let plural = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let query = query.split('&').filter_map(pair).collect();
    Some(Request::Objects(Ask { plural, namespace, query, metadata_only }))
}

fn kinds(world: &World, stream: &TcpStream, group: &str) -> io::Result<()> {
    let (name, version) = group.split_once('/').unwrap_or((group, ""));
    let installed = world.lock().installed.clone();
    let plurals = installed.iter().filter_map(|plural| plural.strip_suffix(&format!(".{name}")));
    let kind = |plural| json!({"name": plural, "singularName": "", "namespaced": true, "kind": "K", "verbs": ["list"]});
    let resources: Vec<Value> = plurals.filter(|_| version == served(name)).map(kind).collect();
    if resources.is_empty() {
        return not_found(stream);
    }
    respond(stream, 200, &json!({"kind": "APIResourceList", "groupVersion": group, "resources": resources}))
}

fn objects(world: &World, stream: &TcpStream, ask: &Ask, epoch: u64) -> io::Result<()> {
    let asks = |name: &str| ask.query.get(name).is_some_and(|value| value == "true" || value == "1");
    let verb = if asks("watch") { "watch" } else { "list" };
    let (installed, forbidden, pages_only) = {
        let state = world.lock();
        let rule = (ask.plural.clone(), verb.to_owned());
        (state.installed.contains(&ask.plural), state.forbidden.contains(&rule), state.pages_only)
    };
    if !installed {
        return not_found(stream);
    }
    if forbidden {
        let (plural, group) = ask.plural.split_once('.').unwrap_or((&ask.plural, ""));
        let message = format!(
            "{} is forbidden: User \"system:serviceaccount:s:sluice\" cannot {verb} resource \"{plural}\" in API group \
             \"{group}\" at the cluster scope",
            ask.plural
        );
        return respond(stream, 403, &failure(403, "Forbidden", &message));
    }
    if verb == "list" {
        return list(world, stream, ask);
    }
    if asks("sendInitialEvents") && pages_only {
        let message = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature \
                       gate is enabled";
        return respond(stream, 422, &failure(422, "Invalid", message));
    }
    watch(world, stream, ask, asks("sendInitialEvents"), epoch)
}

fn list(world: &World, stream: &TcpStream, ask: &Ask) -> io::Result<()> {
    let (all, version) = {
        let state = world.lock();
        let all = state.list(&ask.plural, ask.namespace.as_deref());
        (all.into_iter().filter(|object| ask.selects(object)).collect::<Vec<_>>(), state.version())
    };
    let from: usize = ask.query.get("continue").and_then(|text| text.parse().ok()).unwrap_or(0);
    let page: Vec<Value> = all.iter().skip(from).take(PAGE).map(|object| shown(ask, object)).collect();
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if from + PAGE < all.len() {
        metadata["continue"] = (from + PAGE).to_string().into();
    }
    respond(stream, 200, &json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": page}))
}

/// An object as it was asked for.
fn shown(ask: &Ask, object: &Value) -> Value {
    if ask.metadata_only {
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
    } else {
        object.clone()
    }
}

fn watch(world: &World, stream: &TcpStream, ask: &Ask, initial: bool, epoch: u64) -> io::Result<()> {
    write(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")?;
    *world.lock().watchers.entry(ask.plural.clone()).or_default() += 1;
    let result = events(world, stream, ask, initial, epoch);
    *world.lock().watchers.entry(ask.plural.clone()).or_default() -= 1;
    result
}

fn events(world: &World, stream: &TcpStream, ask: &Ask, initial: bool, epoch: u64) -> io::Result<()> {
    let mut version: u64 = ask.query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
    if initial {
        let (mut lines, end) = {
            let state = world.lock();
            version = state.version();
            let added = |object: &Value| json!({"type": "ADDED", "object": shown(ask, object)}).to_string();
            let objects = state.list(&ask.plural, ask.namespace.as_deref());
            let end = state.bookmark_line(&ask.plural, &json!({"k8s.io/initial-events-end": "true"}));
            (objects.iter().filter(|object| ask.selects(object)).map(added).collect::<Vec<_>>(), end)
        };
        lines.push(end);
        lines.iter().try_for_each(|line| chunk(stream, line))?;
    } else if !world.lock().remembers(version) {
        let gone = failure(410, "Expired", "too old resource version");
        chunk(stream, &json!({"type": "ERROR", "object": gone}).to_string())?;
        return write(stream, "0\r\n\r\n");
    }
    let seconds = ask.query.get("timeoutSeconds").and_then(|text| text.parse().ok()).unwrap_or(290);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let (lines, now) = {
            let state = world.lock();
            if state.epoch != epoch || state.away {
                return cut(stream);
            }
            let (lines, now) =
                state.after(&ask.plural, version, ask.metadata_only, |object| ask.selects(object));
            if lines.is_empty() {
                // Bounded, so that the end of the watch is seen.
                drop(world.changed.wait_timeout(state, POLL_INTERVAL));
            }
            (lines, now)
        };
        version = now;
        lines.iter().try_for_each(|line| chunk(stream, line))?;
    }
    write(stream, "0\r\n\r\n")
}

/// Ends in the middle of an event.
fn cut(stream: &TcpStream) -> io::Result<()> {
    write(stream, "40\r\n{\"type\":\"MODI")?;
    Err(io::Error::other("cut"))
}

fn chunk(stream: &TcpStream, line: &str) -> io::Result<()> {
    write(stream, &format!("{:x}\r\n{line}\n\r\n", line.len() + 1))
}

fn not_found(stream: &TcpStream) -> io::Result<()> {
    respond(stream, 404, &failure(404, "NotFound", "the server could not find the requested resource"))
}

fn failure(code: u16, reason: &str, message: &str) -> Value {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"});
    status["code"] = code.into();
    status["reason"] = reason.into();
    status["message"] = message.into();
    status
}

fn respond(stream: &TcpStream, code: u16, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    let length = body.len();
    let head =
        format!("HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    write(stream, &(head + &body))
}

fn write(mut stream: &TcpStream, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())
}
