//! Ports that a listener does not get.

mod common;

use common::{Running, get, metric, sluice, with_gateway_flags};
use gateway_testkit::{http, wait};

/// Plays a reserved and a foreign port, and looks for `holder` in what is said of the foreign one.
fn refused(label: &str, flags: &'static [&'static str], holder: String) {
    with_gateway_flags(label, flags, move |_, running| {
        let _foreign = std::net::TcpListener::bind("127.0.0.1:8085").unwrap();
        let listener = |name: &str, port: u16| {
            format!(
                "    - {{name: {name}, protocol: HTTP, port: {port}, allowedRoutes: {{namespaces: {{from: All}}}}}}\n"
            )
        };
        let gateway = std::fs::read_to_string(running.config.join("gateway.yaml")).unwrap();
        let text =
            format!("{gateway}{}{}{}", listener("ssh", 22), listener("held", 8085), listener("free", 8086));
        running.config.write("gateway.yaml", &text).unwrap();
        let free = "127.0.0.1:8086".parse().unwrap();
        wait::until("the free port", || {
            http::get(free, "a", "/httpbin/get").ok().filter(|a| a.status == 200)
        });
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        // A port is served a moment before the status says so.
        for part in ["PortUnavailable", &holder, "reserved"] {
            wait_for_status(part);
        }
    });
}

#[test]
fn reserved_and_foreign_ports_are_refused_with_the_user_who_holds_them() {
    let user = nix::unistd::getuid();
    refused("ports", &["--reserved-ports", "22,6443"], format!("a process of uid {user}"));
}

#[test]
fn with_the_right_to_look_at_processes_the_holder_has_a_name() {
    let flags = &["--user", "keep", "--reserved-ports", "22,6443", "--keep-capabilities", "CAP_SYS_PTRACE"];
    refused("ports-named", flags, format!("(pid {})", std::process::id()));
}

/// Adds listeners to the example's Gateway, each as name and port.
fn listeners(running: &Running, wanted: &[(&str, u16)]) {
    let gateway = std::fs::read_to_string(common::example().join("gateway.yaml")).unwrap();
    let listener = |(name, port): &(&str, u16)| {
        format!(
            "    - {{name: {name}, protocol: HTTP, port: {port}, allowedRoutes: {{namespaces: {{from: All}}}}}}\n"
        )
    };
    let more: String = wanted.iter().map(listener).collect();
    running.config.write("gateway.yaml", &format!("{gateway}{more}")).unwrap();
}

fn status() -> String {
    common::text(&sluice(&["status", "-o", "yaml"]))
}

#[track_caller]
fn wait_for_status(text: &str) {
    wait::until(&format!("{text:?} in {}", status()), || status().contains(text).then_some(()));
}

/// Its own restart must not cost a service its port.
#[test]
fn a_listener_does_not_lie_in_wait_for_a_port_that_another_program_held() {
    with_gateway_flags("lie-in-wait", &[], |_, running| {
        let service = std::net::TcpListener::bind("127.0.0.1:8085").unwrap();
        listeners(running, &[("held", 8085)]);
        wait_for_status("listens on 127.0.0.1:8085");
        // The service stops. Every look at the port finds it free now; the slowest comes after ten seconds.
        drop(service);
        wait_for_status("port 8085 is free, but was not when it was asked for");
        let address = "127.0.0.1:8085".parse().unwrap();
        assert!(http::get(address, "a", "/httpbin/get").is_err(), "nobody serves it meanwhile");
        // It is back, and gets what is its own.
        let service = std::net::TcpListener::bind("127.0.0.1:8085").unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        service.accept().unwrap();
        wait_for_status("listens on 127.0.0.1:8085");
        // It is gone for good, which whoever edits the Gateway knows.
        drop(service);
        wait_for_status("port 8085 is free, but was not");
        let reconciles = || metric("sluice_reconciles_total", &["result=\"ok\""]);
        let before = reconciles();
        running.edit("team2-httpbin.yaml", "  name: httpbin-1", "  name: httpbin-2");
        wait::until("the edit to be read", || (reconciles() > before).then_some(()));
        assert!(
            http::get(address, "a", "/httpbin/get").is_err(),
            "an edit of something else changes nothing"
        );
        listeners(running, &[("held", 8085), ("another", 8086)]);
        wait::until("the listener", || {
            http::get(address, "a", "/httpbin/get").ok().filter(|a| a.status == 200)
        });
    });
}

#[test]
fn a_freed_port_is_taken_after_the_time_that_is_set() {
    with_gateway_flags("freed", &["--freed-ports-after", "0s"], |_, running| {
        let service = std::net::TcpListener::bind("127.0.0.1:8085").unwrap();
        listeners(running, &[("held", 8085)]);
        wait_for_status("listens on 127.0.0.1:8085");
        drop(service);
        let address = "127.0.0.1:8085".parse().unwrap();
        wait::until("the listener", || {
            http::get(address, "a", "/httpbin/get").ok().filter(|a| a.status == 200)
        });
    });
}

#[test]
fn a_port_that_is_not_allowed_is_said_in_the_listeners_condition() {
    with_gateway_flags("allowed", &["--allowed-ports", "80,8085-8087"], |_, running| {
        listeners(running, &[("good", 8085), ("bad", 8088)]);
        let address = "127.0.0.1:8085".parse().unwrap();
        wait::until("the listener", || {
            http::get(address, "a", "/httpbin/get").ok().filter(|a| a.status == 200)
        });
        wait_for_status("port 8088 is not one that this node serves (--allowed-ports)");
        wait_for_status("PortUnavailable");
        assert!(http::get("127.0.0.1:8088".parse().unwrap(), "a", "/httpbin/get").is_err());
    });
}

/// Files are believed to name loopback, and never the gateway's own ports.
#[test]
fn a_file_names_loopback_but_no_port_of_the_gateway_itself() {
    with_gateway_flags("own-ports", &["--admin-address", "127.0.0.1:15000"], |_, running| {
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        let mut port = "8000".to_owned();
        for (own, what) in [("15000", "port"), ("15021", "port"), ("19001", "port"), ("80", "listener")] {
            running.edit(
                "team2-httpbin.yaml",
                &format!("port: {port}\n    protocol"),
                &format!("port: {own}\n    protocol"),
            );
            port = own.to_owned();
            let response = running.wait_for_status("/httpbin/get", 503);
            assert_eq!(response.reason(), Some("no_endpoints"));
            wait_for_status(&format!(
                "endpoint 127.0.0.1:{own} is not used on this node: it is a {what} of Sluice itself"
            ));
        }
        let checked = common::text(&sluice(&["check", &running.config.path().display().to_string()]));
        assert!(
            checked.contains("warning: Service team2/httpbin:8000: endpoint 127.0.0.1:80 is not used"),
            "{checked}"
        );
        running.edit("team2-httpbin.yaml", "port: 80\n    protocol", "port: 8000\n    protocol");
        running.wait_for_status("/httpbin/get", 200);
    });
}
