//! Admin, health and signals of a running gateway.

mod common;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::Path;
use std::process::Command;

use common::{METRICS, SLUICE, admin, admin_client, pair, sluice, spawn_gateway, text};
use gateway_testkit::http::{self, Client};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait::until;
use nix::sys::signal::Signal;
use serde_json::Value;

/// Where admin was until it got a socket.
const ADMIN: &str = "127.0.0.1:15000";

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: a}
spec:
  gatewayClassName: sluice
  listeners: [{name: http, port: 8080, protocol: HTTP}]
";

/// One worker, and no time to be noticed by a load balancer.
fn start(inside: &Inside, dir: &Scratch, flags: &[&str]) -> Guarded {
    spawn_gateway(inside, dir.path(), &[&["--workers", "1", "--drain-min", "0"], flags].concat())
}

/// Runs `body` beside a gateway in a namespace of its own, once that is ready.
fn beside_a_gateway(label: &str, body: impl FnOnce(&Scratch, &mut Guarded) + Send + 'static) {
    netns::run(label, move |inside| {
        let dir = Scratch::new("config").unwrap();
        dir.write("gateway.yaml", GATEWAY).unwrap();
        let mut gateway = start(inside, &dir, &[]);
        let health: SocketAddr = "127.0.0.1:15021".parse().unwrap();
        until("readiness", || {
            assert!(gateway.try_wait().unwrap().is_none(), "{}", gateway.output());
            http::get(health, "a", "/healthz/ready").ok().filter(|response| response.status == 200)
        });
        body(&dir, &mut gateway);
    });
}

/// `PUT` of the admin server.
fn put(path: &str, body: &str) -> http::Response {
    let mut client = admin_client();
    client
        .send(format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        .unwrap();
    client.response().unwrap()
}

/// Addresses of this network namespace that somebody listens at (proc_net_tcp(5): state 0A), as hexadecimal
/// text.
fn listening() -> Vec<String> {
    let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"].map(std::fs::read_to_string);
    let text = tables.into_iter().flatten().collect::<String>();
    let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields.get(3) == Some(&"0A")).map(|fields| fields[1].to_owned()).collect()
}

#[test]
fn the_log_filter_changes_while_running() {
    beside_a_gateway("admin-log", |_, _| {
        assert_eq!(admin("/logging").text(), "info\n");
        assert_eq!(put("/logging", "warn,gateway_control=debug").status, 200);
        assert_eq!(admin("/logging").text(), "warn,gateway_control=debug\n");
        let refused = put("/logging", "a=b=c");
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains("write a level"), "{}", refused.text());
        assert_eq!(admin("/logging").text(), "warn,gateway_control=debug\n", "a bad filter changes nothing");
    });
}

#[test]
fn status_is_one_document_for_people_and_programs() {
    beside_a_gateway("admin-status", |dir, gateway| {
        let run = |format: &str| sluice(&["status", "-o", format]);
        let document: Value = serde_json::from_slice(&run("json").stdout).unwrap();
        assert_eq!(document["process"]["pid"], gateway.pid());
        assert_eq!(document["process"]["source"], dir.path().display().to_string());
        let (steering, io) = pair::wanted();
        assert_eq!(document["steering"]["path"], steering);
        assert!(document["io"]["driver"].as_str().unwrap().starts_with(&io), "{document}");
        let listener = &document["listeners"][0];
        assert_eq!((&listener["gateway"], &listener["port"]), (&"a/gw".into(), &8080.into()));
        assert_eq!(listener["conditions"]["Programmed"]["status"], "True");
        let condition = &document["status"]["gateways"]["a/gw"]["conditions"][0];
        assert!(condition["lastTransitionTime"].is_string(), "{condition}");
        let table = String::from_utf8(run("table").stdout).unwrap();
        assert!(table.contains("a/gw") && table.contains("8080") && table.contains("OK"), "{table}");
    });
}

#[test]
fn a_hangup_reads_the_directory_again() {
    beside_a_gateway("admin-hup", |_, gateway| {
        let reconciled = || admin("/status").status;
        assert_eq!(reconciled(), 200);
        gateway.signal(Signal::SIGHUP).unwrap();
        gateway.wait_for_output("reloading the configuration, as requested");
        assert!(gateway.try_wait().unwrap().is_none(), "a hangup does not end the process");
    });
}

#[test]
fn a_directory_that_goes_away_is_said_and_changes_nothing() {
    beside_a_gateway("admin-gone", |dir, gateway| {
        let aside = dir.path().with_extension("aside");
        std::fs::rename(dir.path(), &aside).unwrap();
        gateway.signal(Signal::SIGHUP).unwrap();
        gateway.wait_for_output("make it readable or remove it");
        let status = until("the status to have it", || {
            let status: Value = serde_json::from_slice(&admin("/status").body).ok()?;
            status["trouble"].is_string().then_some(status)
        });
        assert_eq!((&status["readiness"], &status["generation"]), (&"ready".into(), &1.into()));
        std::fs::rename(&aside, dir.path()).unwrap();
        gateway.signal(Signal::SIGHUP).unwrap();
        until("the trouble to end", || {
            let status: Value = serde_json::from_slice(&admin("/status").body).ok()?;
            status["trouble"].is_null().then_some(())
        });
    });
}

#[test]
fn a_busy_port_names_its_setting() {
    netns::run("admin-busy", |inside| {
        let dir = Scratch::new("config").unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let flags = ["--health-address", "off", "--metrics-address", "off", "--admin-address", &address];
        let mut gateway = start(inside, &dir, &flags);
        let ended = gateway.wait();
        assert_eq!(ended.code(), Some(1));
        gateway.wait_for_output(&format!("--admin-address {address}: cannot listen there"));
    });
}

#[test]
fn admin_is_a_socket_for_root_and_nothing_listens_on_tcp_for_it() {
    netns::run("admin-socket", |inside| {
        let dir = Scratch::new("config").unwrap();
        dir.write("gateway.yaml", GATEWAY).unwrap();
        let mut gateway = start(inside, &dir, &[]);
        common::wait_until_ready(&mut gateway);
        let state = inside.scratch().join("state");
        let socket = state.join("admin.sock");
        let (file, directory) = (std::fs::metadata(&socket).unwrap(), std::fs::metadata(&state).unwrap());
        assert_eq!((file.mode() & 0o777, file.gid()), (0o660, 0));
        assert_eq!(directory.mode() & 0o777, 0o750);
        assert_eq!(admin("/config_dump").status, 200);
        // Ports that a team's route could reach through an endpoint on loopback: health and metrics, not
        // admin.
        for address in listening() {
            let port = u16::from_str_radix(address.rsplit(':').next().unwrap(), 16).unwrap();
            let Ok(mut client) = Client::connect(([127, 0, 0, 1], port).into()) else { continue };
            let Ok(dump) = client.get("localhost", "/config_dump") else { continue };
            assert_ne!(dump.status, 200, "port {port}");
        }
        assert!(TcpStream::connect(ADMIN).is_err());
        // Metrics are not for strangers either, unless somebody says so: 127.0.0.1:19001 and no other
        // address.
        let on_metrics: Vec<_> =
            listening().into_iter().filter(|address| address.ends_with(":4A39")).collect();
        assert_eq!(on_metrics, ["0100007F:4A39"]);
        gateway.signal(Signal::SIGTERM).unwrap();
        assert!(gateway.wait().success());
        assert!(!socket.exists(), "it goes with its process");
    });
}

#[test]
fn the_flags_that_restore_the_addresses_of_before_do_and_are_warned_about() {
    netns::run("admin-address", |inside| {
        let dir = Scratch::new("config").unwrap();
        dir.write("gateway.yaml", GATEWAY).unwrap();
        let flags = ["--admin-address", ADMIN, "--metrics-address", "0.0.0.0:19001"];
        let mut gateway = start(inside, &dir, &flags);
        common::wait_until_ready(&mut gateway);
        gateway.wait_for_output("--admin-address: anyone who reaches it reads the whole configuration");
        assert!(listening().contains(&"00000000:4A39".to_owned()), "{:?}", listening());
        let asked = Command::new(SLUICE).args(["status", "--admin-address", ADMIN]).output().unwrap();
        assert!(asked.status.success(), "{}", text(&asked));
        let get = |host: &str| http::get(ADMIN.parse().unwrap(), host, "/config_dump").unwrap();
        for host in ["localhost", "localhost:15000", "127.0.0.1:15000", "[::1]"] {
            assert_eq!(get(host).status, 200, "{host}");
        }
        // A page of a stranger whose name leads here has its browser send that name.
        for host in ["rebound.example", "rebound.example:15000", "127.0.0.1.rebound.example", "192.0.2.1"] {
            let refused = get(host);
            assert_eq!(refused.status, 403, "{host}");
            assert!(!refused.text().contains("generation"), "{}", refused.text());
        }
        assert_eq!(admin("/status").status, 200, "the socket is there as well");
    });
}

#[test]
fn another_user_is_refused_and_told_whom_to_ask() {
    netns::run("admin-stranger", |inside| {
        let dir = Scratch::new("config").unwrap();
        dir.write("gateway.yaml", GATEWAY).unwrap();
        let mut gateway = start(inside, &dir, &[]);
        common::wait_until_ready(&mut gateway);
        let state = inside.scratch().join("state");
        let program = inside.scratch().join("sluice");
        std::fs::copy(SLUICE, &program).unwrap();
        let open =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        open(&program, 0o755);
        open(inside.scratch().path(), 0o755);
        let ask = || {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
            let asked = command.args(["status", "--state-dir"]).arg(&state).output().unwrap();
            assert_eq!(asked.status.code(), Some(1));
            text(&asked)
        };
        let path = state.join("admin.sock").display().to_string();
        let says = |said: &str| {
            let sudo = format!("sudo sluice status --state-dir {}", state.display());
            [path.as_str(), "uid 65534", &sudo].into_iter().all(|word| said.contains(word))
        };
        let said = ask();
        assert!(says(&said) && said.contains("Permission denied"), "{said}");
        // Even where the files let them in.
        open(&state, 0o755);
        open(&state.join("admin.sock"), 0o666);
        let said = ask();
        assert!(says(&said) && said.contains("403: uid 65534 may not use this socket"), "{said}");
        assert_eq!(admin("/status").status, 200);
        // In a container of the same node, as `kubectl exec` would start it: another mount and PID namespace,
        // the same files.
        let mut entered = Command::new("unshare");
        entered.args(["--mount", "--pid", "--fork", "--mount-proc"]).arg(&program);
        let said = entered.args(["status", "--state-dir"]).arg(&state).output().unwrap();
        assert!(said.status.success() && text(&said).contains("a/gw"), "{}", text(&said));
    });
}

#[test]
fn a_state_directory_whose_path_is_too_long_is_a_clear_mistake() {
    netns::run("admin-long", |inside| {
        let dir = Scratch::new("config").unwrap();
        let long = inside.scratch().join(&"d".repeat(100));
        let long = long.to_str().unwrap();
        let mut gateway = start(inside, &dir, &["--state-dir", long]);
        assert_eq!(gateway.wait().code(), Some(1));
        gateway.wait_for_output(&format!("--state-dir {long}: choose a directory with a shorter path"));
        let asked = Command::new(SLUICE).args(["status", "--state-dir", long]).output().unwrap();
        assert!(text(&asked).contains("at most 107"), "{}", text(&asked));
    });
}

#[test]
fn scrapers_outside_the_networks_are_closed_before_a_byte_is_read() {
    netns::run("admin-clients", |inside| {
        let dir = Scratch::new("config").unwrap();
        dir.write("gateway.yaml", GATEWAY).unwrap();
        let flags = ["--metrics-address", "0.0.0.0:19001", "--metrics-clients", "10.0.0.0/8,127.0.0.2"];
        let mut gateway = start(inside, &dir, &flags);
        common::wait_until_ready(&mut gateway);
        let mut stranger = Client::connect(METRICS.parse().unwrap()).unwrap();
        // Not a byte is sent, and it ends all the same.
        assert!(stranger.rest().unwrap_or_default().is_empty());
        let perl = "use IO::Socket::INET; $s = IO::Socket::INET->new(LocalAddr => '127.0.0.2', PeerAddr => '127.0.0.1:19001') || die $!;
                    print $s \"GET /metrics HTTP/1.0\\r\\n\\r\\n\"; print <$s>;";
        let allowed = Command::new("perl").args(["-e", perl]).output().unwrap();
        let page = text(&allowed);
        let refused = "sluice_server_closed_total{server=\"metrics\",reason=\"client\"}";
        let count =
            page.lines().find_map(|line| line.strip_prefix(refused)).unwrap_or_else(|| panic!("{page}"));
        assert!(count.trim().parse::<u32>().unwrap() >= 1, "{count}");
    });
}
