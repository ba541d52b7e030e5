//! Ports that a listener does not get.

mod common;

use common::{get, sluice, with_gateway_flags};
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
        let said = common::text(&sluice(&["status", "-o", "yaml"]));
        assert!(said.contains("PortUnavailable"), "{said}");
        assert!(said.contains(&holder), "who holds 8085 is not said: {said}");
        assert!(said.contains("reserved"), "{said}");
    });
}

#[test]
fn reserved_and_foreign_ports_are_refused_with_the_user_who_holds_them() {
    let user = nix::unistd::getuid();
    refused("ports", &["--reserved-ports", "22,6443"], format!("a process of uid {user}"));
}

#[test]
fn with_the_right_to_look_at_processes_the_holder_has_a_name() {
    let flags = &["--reserved-ports", "22,6443", "--keep-capabilities", "CAP_SYS_PTRACE"];
    refused("ports-named", flags, format!("(pid {})", std::process::id()));
}
