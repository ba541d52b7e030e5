//! Ports that a listener does not get.

mod common;

use common::{get, sluice, with_gateway_flags};
use gateway_testkit::{http, wait};

#[test]
fn reserved_and_foreign_ports_are_refused_with_who_holds_them() {
    with_gateway_flags("ports", &["--reserved-ports", "22,6443"], |_, running| {
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
        assert!(said.contains(&format!("pid {}", std::process::id())), "who holds 8085 is not said: {said}");
        assert!(said.contains("reserved"), "{said}");
    });
}
