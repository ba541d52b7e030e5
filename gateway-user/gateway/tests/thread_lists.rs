//! The thread that builds regular expressions has a list of system calls of its own (`--seccomp`), whoever
//! started it.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{Running, SLUICE, metrics, pair, with_gateway, with_gateway_flags};
use gateway_testkit::apiserver::{ApiServer, READ_KINDS};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;

/// The builder, and the thread that starts it.
const BUILDER: &str = "sluice-regex";
const MAIN: &str = "sluice";

/// A rule with an expression, which the thread has to build.
const EXPRESSION: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: expression, namespace: team1}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  rules:
  - matches: [{path: {type: RegularExpression, value: "/ge[t]"}}]
    backendRefs: [{name: httpbin, namespace: team2, port: 8000}]
"#;

/// Mode (2 with a filter) and number of filters of the thread of that name, from /proc/PID/task/TID/status.
fn thread(pid: u32, name: &str) -> (u32, u32) {
    let find = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        // A thread may end while it is looked at.
        let mut all =
            tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        all.find_map(|status| {
            let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let number = |name| field(name).and_then(|text| text.parse().ok());
            (field("Name:") == Some(name)).then_some((number("Seccomp:")?, number("Seccomp_filters:")?))
        })
    };
    wait::until(name, find)
}

fn build(running: &Running) {
    running.config.write("expression.yaml", EXPRESSION).unwrap();
    running.wait_for_status("/get", 200);
}

#[test]
fn the_builder_has_one_list_more_than_who_started_it_and_makes_no_other_call() {
    with_gateway("builder", |_, running| {
        let pid = running.gateway.pid();
        let (mode, filters) = thread(pid, MAIN);
        assert_eq!(mode, 2);
        wait::until("a list of its own", || (thread(pid, BUILDER) == (2, filters + 1)).then_some(()));
        build(running);
        let page = metrics();
        assert!(!page.contains("sluice_seccomp_denied_total{"), "{page}\n{}", running.log());
    });
}

#[test]
fn without_lists_expressions_are_built_all_the_same() {
    with_gateway_flags("builder-off", &["--seccomp", "off"], |_, running| {
        build(running);
        assert_eq!(thread(running.gateway.pid(), BUILDER), (0, 0));
    });
}

/// `sluice run` over a cluster whose kubeconfig names a program for its credentials.
fn spawn_with_program(inside: &Inside, api: &ApiServer) -> Guarded {
    let credential =
        r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t"}}"#;
    let program = inside.scratch().join("credentials");
    std::fs::write(&program, format!("#!/bin/sh\necho '{credential}'\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let plain = std::fs::read_to_string(api.kubeconfig().unwrap()).unwrap();
    let user = format!(
        "user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {}, interactiveMode: Never}}}}",
        program.display()
    );
    let with_program = plain.replace("user: {}", &user);
    assert_ne!(plain, with_program);
    let kubeconfig = inside.scratch().join("kubeconfig");
    std::fs::write(&kubeconfig, with_program).unwrap();
    let mut command = Command::new(SLUICE);
    command.arg("run").arg("--kubeconfig").arg(kubeconfig).arg("--bpffs").arg(inside.bpffs());
    command.arg("--state-dir").arg(inside.scratch().join("state")).args(pair::flags(&[]));
    Guarded::spawn(&mut command).unwrap()
}

#[test]
fn the_builder_has_its_list_where_the_control_thread_can_have_none() {
    netns::run("builder-program", |inside| {
        let api = ApiServer::start(&READ_KINDS).unwrap();
        let gateway = spawn_with_program(inside, &api);
        assert_eq!(thread(gateway.pid(), MAIN), (0, 0), "it starts the program");
        wait::until("a list", || (thread(gateway.pid(), BUILDER) == (2, 1)).then_some(()));
    });
}
