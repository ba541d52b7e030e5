//! `sluice status`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::table::Table;
use super::{End, bad_settings, print, to_json, to_yaml};
use crate::admin::document::{ConditionLine, Placeholders, StatusDocument, TookOverLine};
use crate::admin::{Sockets, socket_path};
use crate::cli::{Output, StatusArgs};
use crate::flags::Settings;
use crate::state_dir;

/// For each step of the running process's response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most ports without a placeholder that are listed for one reason.
const LISTED_MAX: usize = 8;
/// Largest response that is read, in bytes.
const LARGEST: u64 = 256 << 20;

/// Address of the running process.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint {
    /// The socket in its state directory.
    Socket(PathBuf),
    /// Its `--admin-address`.
    Address(SocketAddr),
}

/// Asks the running process and shows its response.
pub(super) fn run(args: StatusArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let endpoint = Endpoint::of(&settings)?;
    let body = endpoint.get("/status").with_context(|| endpoint.advice())?;
    let document: StatusDocument = serde_json::from_str(&body)
        .with_context(|| format!("{endpoint} responds, but not as Sluice does"))?;
    let text = match args.output {
        Output::Json => to_json(&document)?,
        Output::Yaml => to_yaml(&document)?,
        Output::Table => render(&document, false),
        Output::Wide => render(&document, true),
    };
    print(&text).map(|()| End::Done)
}

impl Endpoint {
    /// The address if one is given, else the state directory's socket.
    ///
    /// # Errors
    /// The directory's path is too long for a socket, or a stranger has the directory.
    fn of(settings: &Settings) -> anyhow::Result<Self> {
        match settings.admin_address.0 {
            Some(address) => Ok(Self::Address(reachable(address))),
            None => {
                let dir = state_dir::resolve(&settings.state_dir)?;
                Sockets::check(&dir)?;
                Ok(Self::Socket(socket_path(&dir)))
            }
        }
    }

    /// Advice when no process responds.
    fn advice(&self) -> String {
        match self {
            Self::Address(address) => {
                format!("no Sluice responds on {address}; is one running, and is this its --admin-address?")
            }
            Self::Socket(path) => {
                let (dir, uid) = (path.parent().unwrap_or(path), rustix::process::geteuid());
                let elsewhere = match uid.is_root() || dir.exists() {
                    true => "",
                    false => "; one that root has started without that flag: sudo sluice status",
                };
                format!(
                    "{}: no Sluice responds there to uid {}; is one running, and is this its --state-dir? Only root and the \
                     user that it runs as may ask: sudo sluice status --state-dir {}{elsewhere}",
                    path.display(),
                    uid.as_raw(),
                    dir.display()
                )
            }
        }
    }

    /// One `GET`.
    fn get(&self, path: &str) -> anyhow::Result<String> {
        match self {
            Self::Address(address) => {
                let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                get(stream, &address.to_string(), path)
            }
            Self::Socket(socket) => {
                let stream = UnixStream::connect(socket)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                get(stream, "localhost", path)
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// A server on the unspecified address is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        std::net::IpAddr::V4(_) => ([127, 0, 0, 1], address.port()).into(),
        std::net::IpAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}

/// One `GET`. HTTP/1.0, so that the response ends with the connection and is not chunked.
fn get(mut stream: impl Read + Write, host: &str, path: &str) -> anyhow::Result<String> {
    // A server that refuses this user may have closed by now; its response says so.
    let sent = write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    let mut response = String::new();
    let read = stream.take(LARGEST).read_to_string(&mut response);
    if response.is_empty() {
        sent?;
        read?;
    }
    let (head, body) = response.split_once("\r\n\r\n").context("the response is no HTTP")?;
    let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        bail!("it responds {status}: {}", body.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// The tables; `wide` adds addresses and every condition's message.
fn render(document: &StatusDocument, wide: bool) -> String {
    let mut text = head(document);
    if wide && !document.watches.is_empty() {
        text.push('\n');
        text.push_str(&watches(document));
    }
    text.push('\n');
    text.push_str(&listeners(document, wide));
    let routes = routes(document, wide);
    if !routes.is_empty() {
        text.push('\n');
        text.push_str(&routes);
    }
    if !document.findings.is_empty() {
        text.push('\n');
        document.findings.iter().for_each(|finding| text.push_str(&format!("{finding}\n")));
    }
    text
}

fn head(document: &StatusDocument) -> String {
    let StatusDocument { process, io, steering, .. } = document;
    let since = document.live_since.as_ref().map(|since| format!(", live since {since}")).unwrap_or_default();
    let mut text = format!(
        "sluice {} (pid {}), serving {}\n{}; generation {}{since}\n",
        process.version, process.pid, process.source, document.readiness, document.generation
    );
    let mut facts = Table::plain();
    let families = steering.without_ipv6.as_ref().map(|why| format!("; IPv4 alone ({why})"));
    facts.row(["steering:".into(), format!("{}{}", steering.detail, families.unwrap_or_default())]);
    if let Some(placeholders) = &steering.placeholders {
        facts.row(["placeholders:".into(), held_ports(placeholders)]);
    }
    let workers = if io.workers == 1 { "1 worker".into() } else { format!("{} workers", io.workers) };
    let refused =
        if io.refused.is_empty() { String::new() } else { format!(" (not {})", io.refused.join("; not ")) };
    // Where workers have no ring either, the reason is said of them.
    let log = match (io.access_log.as_str(), &io.access_log_refused) {
        ("write", Some(why)) if io.refused.is_empty() => format!(", access log by write(2) ({why})"),
        ("write", _) => ", access log by write(2)".to_owned(),
        ("uring", _) => ", access log by io_uring".to_owned(),
        _ => String::new(),
    };
    facts.row(["io:".into(), format!("{}, {workers}{log}{refused}", io.driver)]);
    if io.worker_deaths > 0 {
        let said =
            format!("{} of workers, {} connections lost with them", io.worker_deaths, io.lost_connections);
        facts.row(["deaths:".into(), said]);
    }
    if let Some(held) = &process.capabilities {
        facts
            .row(["capabilities:".into(), if held.is_empty() { "none".to_owned() } else { held.join(", ") }]);
    }
    if let Some(TookOverLine { pid, version, milliseconds }) = &process.took_over {
        facts.row([
            "took over:".into(),
            format!("from sluice {version} (pid {pid}) within {milliseconds} ms"),
        ]);
    }
    if !process.takeover_failures.is_empty() {
        let failures = process.takeover_failures.iter().map(|(reason, count)| format!("{count} ({reason})"));
        facts.row(["failed take-overs:".into(), failures.collect::<Vec<_>>().join(", ")]);
    }
    if !document.watches.is_empty() {
        let synced = document.watches.iter().filter(|watch| watch.synced).count();
        let failing = document.watches.iter().filter(|watch| watch.failing_since.is_some()).count();
        facts.row([
            "watches:".into(),
            format!("{synced} of {} synced, {failing} failing", document.watches.len()),
        ]);
    }
    if let Some(error) = &document.last_error {
        facts.row(["trouble:".into(), error.clone()]);
    }
    text.push_str(&facts.render());
    text
}

/// How many steered ports are bound so that nobody else's bind succeeds, and which are not, and why.
fn held_ports(placeholders: &Placeholders) -> String {
    let held =
        if placeholders.held == 1 { "1 port".to_owned() } else { format!("{} ports", placeholders.held) };
    placeholders.missing.iter().fold(held, |text, (reason, binds)| {
        let listed = binds.iter().take(LISTED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = binds.len().saturating_sub(LISTED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{text}; not {listed}{more}: {reason}")
    })
}

/// Each watch of the cluster: what it holds, when the server said something last, and what keeps it from going on.
fn watches(document: &StatusDocument) -> String {
    let mut table =
        Table::new(&["WATCH", "NAMESPACE", "OBJECTS", "SYNCED", "LAST EVENT", "FAILING SINCE", "WHY"]);
    for line in &document.watches {
        let text = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
        table.row([
            line.kind.clone(),
            text(&line.namespace, "*"),
            line.objects.to_string(),
            if line.synced { "yes".into() } else { "no".into() },
            text(&line.last_event, "-"),
            text(&line.failing_since, "-"),
            text(&line.why, "-"),
        ]);
    }
    table.render()
}

fn listeners(document: &StatusDocument, wide: bool) -> String {
    let mut heading = vec!["GATEWAY", "LISTENER", "ADDRESS", "PORT", "HOSTNAME", "ROUTES", "STATE"];
    if wide {
        heading.push("MESSAGE");
    }
    let mut table = Table::new(&heading);
    for line in &document.listeners {
        let port = match (line.port, line.served_on) {
            (Some(port), Some(served)) => format!("{port} (on {served})"),
            (Some(port), None) => port.to_string(),
            (None, _) => String::new(),
        };
        let hostname =
            if line.hostname.is_empty() && line.port.is_some() { "*".into() } else { line.hostname.clone() };
        let mut cells = vec![
            line.gateway.clone(),
            line.listener.clone(),
            line.address.clone(),
            port,
            hostname,
            line.attached_routes.to_string(),
            state(&line.conditions),
        ];
        if wide {
            cells.push(messages(&line.conditions));
        }
        table.row(cells);
    }
    if table.is_empty() { "no listeners\n".to_owned() } else { table.render() }
}

fn routes(document: &StatusDocument, wide: bool) -> String {
    let mut heading = vec!["ROUTE", "PARENT", "STATE"];
    if wide {
        heading.push("MESSAGE");
    }
    let mut table = Table::new(&heading);
    for line in &document.routes {
        let mut cells = vec![line.route.clone(), line.parent.clone(), state(&line.conditions)];
        if wide {
            cells.push(messages(&line.conditions));
        }
        table.row(cells);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

/// Conditions that say by holding that something is wrong.
const WRONG_IF_TRUE: [&str; 2] = ["Conflicted", "PartiallyInvalid"];

fn is_wrong(name: &str, condition: &ConditionLine) -> bool {
    condition.status != if WRONG_IF_TRUE.contains(&name) { "False" } else { "True" }
}

/// `OK`, or the reasons of what is wrong, each once.
fn state(conditions: &BTreeMap<String, ConditionLine>) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for (name, condition) in conditions {
        if is_wrong(name, condition) && !reasons.contains(&condition.reason.as_str()) {
            reasons.push(&condition.reason);
        }
    }
    if reasons.is_empty() { "OK".to_owned() } else { reasons.join(",") }
}

fn messages(conditions: &BTreeMap<String, ConditionLine>) -> String {
    let mut messages: Vec<&str> = Vec::new();
    for (name, condition) in conditions {
        if is_wrong(name, condition) && !messages.contains(&condition.message.as_str()) {
            messages.push(&condition.message);
        }
    }
    messages.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::document::WatchLine;

    fn conditions(list: &[(&str, &str, &str)]) -> serde_json::Value {
        let line = |(kind, status, reason): &(&str, &str, &str)| {
            let line =
                serde_json::json!({"status": status, "reason": reason, "message": format!("about {reason}")});
            ((*kind).to_owned(), line)
        };
        list.iter().map(line).collect::<serde_json::Map<_, _>>().into()
    }

    fn document() -> StatusDocument {
        let good = [("Accepted", "True", "Accepted"), ("Conflicted", "False", "NoConflicts")];
        let bad = [("Accepted", "False", "PortUnavailable"), ("Programmed", "False", "PortUnavailable")];
        serde_json::from_value(serde_json::json!({
            "process": {"version": "0.1.0", "pid": 7, "started": "x", "source": "conf",
                        "capabilities": ["CAP_NET_BIND_SERVICE"]},
            "readiness": "ready", "generation": 3, "liveSince": "2026-11-23T00:00:00Z",
            "steering": {"path": "reuseport", "detail": "reuseport (asked for)"},
            "io": {"driver": "epoll", "refused": ["uring-defer: EPERM"], "workers": 2},
            "listeners": [
                {"gateway": "a/gw", "listener": "http", "address": "*", "port": 80, "servedOn": 8080,
                 "hostname": "", "attachedRoutes": 1, "conditions": conditions(&good)},
                {"gateway": "a/gw", "listener": "ssh", "address": "10.0.0.1", "port": 22,
                 "hostname": "*.example.com", "attachedRoutes": 0, "conditions": conditions(&bad)},
                {"gateway": "a/gw", "listener": "tls", "address": "", "hostname": "",
                 "attachedRoutes": 0, "conditions": conditions(&[("Accepted", "False", "UnsupportedProtocol")])},
            ],
            "routes": [{"route": "HTTPRoute b/r", "parent": "a/gw", "conditions": conditions(&good)}],
            "findings": ["HTTPRoute b/r: something"],
            "status": {},
        }))
        .unwrap()
    }

    #[test]
    fn tables_say_what_is_served_where_and_what_is_not() {
        let want = "\
sluice 0.1.0 (pid 7), serving conf
ready; generation 3, live since 2026-11-23T00:00:00Z
steering:       reuseport (asked for)
io:             epoll, 2 workers (not uring-defer: EPERM)
capabilities:   CAP_NET_BIND_SERVICE

GATEWAY   LISTENER   ADDRESS    PORT           HOSTNAME        ROUTES   STATE
a/gw      http       *          80 (on 8080)   *               1        OK
a/gw      ssh        10.0.0.1   22             *.example.com   0        PortUnavailable
a/gw      tls        -          -              -               0        UnsupportedProtocol

ROUTE           PARENT   STATE
HTTPRoute b/r   a/gw     OK

HTTPRoute b/r: something
";
        assert_eq!(render(&document(), false), want);
        let wide = render(&document(), true);
        assert!(wide.contains("PortUnavailable       about PortUnavailable\n"), "{wide}");
    }

    #[test]
    fn watches_are_counted_and_listed_if_asked_for() {
        let mut document = document();
        let watch = |kind: &str, why: Option<&str>| WatchLine {
            kind: kind.into(),
            namespace: None,
            synced: why.is_none(),
            objects: 7,
            last_event: None,
            failing_since: why.map(|_| "2026-11-23T00:00:00Z".into()),
            why: why.map(str::to_owned),
        };
        document.watches = vec![watch("HTTPRoute", None), watch("Secret", Some("no right to list"))];
        let text = render(&document, false);
        assert!(text.contains("watches:        1 of 2 synced, 1 failing\n"), "{text}");
        let wide = render(&document, true);
        assert!(
            wide.contains(
                "HTTPRoute   *           7         yes      -            -                      -\n"
            ),
            "{wide}"
        );
        assert!(wide.contains("2026-11-23T00:00:00Z   no right to list\n"), "{wide}");
    }

    #[test]
    fn the_socket_is_asked_unless_an_address_is_given_and_advice_names_all_that_matters() {
        use crate::flags::tests::settings;

        let of = |flags: &[(&str, &str)]| Endpoint::of(&settings(flags)).unwrap();
        let usual = state_dir::resolve(&settings(&[]).state_dir).unwrap();
        assert_eq!(of(&[]), Endpoint::Socket(usual.join("admin.sock")));
        assert_eq!(of(&[("state-dir", "/s")]), Endpoint::Socket("/s/admin.sock".into()));
        let address = [("state-dir", "/s"), ("admin-address", "127.0.0.1:15000")];
        assert_eq!(of(&address), Endpoint::Address("127.0.0.1:15000".parse().unwrap()));
        let advice = of(&[("state-dir", "/s")]).advice();
        let uid = format!("uid {}", rustix::process::geteuid().as_raw());
        for word in ["/s/admin.sock", &uid, "sudo sluice status --state-dir /s"] {
            assert!(advice.contains(word), "{word}: {advice}");
        }
    }

    #[test]
    fn the_unspecified_address_is_asked_on_loopback() {
        for (listen, ask) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), ask.parse().unwrap());
        }
    }
}
