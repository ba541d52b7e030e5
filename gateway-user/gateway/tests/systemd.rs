//! The unit file as it is, run by systemd itself: rights, restarts, and upgrades that lose nothing.

mod common;
#[path = "common/systemd.rs"]
mod systemd;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use common::load::Wrk;
use common::{get, start_backend, text};
use gateway_testkit::http::Client;
use gateway_testkit::{netns, wait};
use systemd::{Systemd, units};

fn started(systemd: &Systemd) -> u32 {
    systemd.systemctl(&["start", "sluice"]);
    assert_eq!(get("/httpbin/get").unwrap().status, 200, "started means ready:\n{}", systemd.sluice_log());
    systemd.main_pid()
}

/// Values of one line of each thread's /proc status.
fn of_threads(pid: u32, field: &str) -> BTreeSet<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let status = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    status.map(|s| s.lines().find_map(|l| l.strip_prefix(field)).unwrap().trim().to_owned()).collect()
}

#[track_caller]
fn all_threads(pid: u32, field: &str, value: &str) {
    assert_eq!(of_threads(pid, field), BTreeSet::from([value.to_owned()]), "{field}");
}

#[test]
fn it_serves_with_the_rights_of_the_unit_and_then_with_none() {
    netns::run("systemd-rights", |inside| {
        let _backend = start_backend();
        let systemd = Systemd::boot(inside);
        let pid = started(&systemd);
        let user = std::fs::metadata(format!("/proc/{pid}")).unwrap().uid();
        assert_ne!(user, 0);
        let by_name = systemd.run(&["id", "-u", "sluice"]);
        assert_eq!(text(&by_name).trim(), user.to_string());
        for set in ["CapInh:", "CapAmb:"] {
            all_threads(pid, set, "0000000000000000");
        }
        // CAP_NET_BIND_SERVICE, and nothing for the thread that writes log lines and those of the allocator.
        let held = ["0000000000000000", "0000000000000400"].map(str::to_owned);
        for set in ["CapPrm:", "CapEff:"] {
            assert_eq!(of_threads(pid, set), BTreeSet::from(held.clone()), "{set}");
        }
        // 2 is a filter (seccomp(2)).
        all_threads(pid, "Seccomp:", "2");
        all_threads(pid, "NoNewPrivs:", "1");
        let said = text(&systemd.run(&["sluice", "status"]));
        assert!(said.contains("ebpf (workers on port"), "{said}");
        assert!(said.contains("pinned in /run/sluicebpf/sluice/"), "{said}");
        assert!(
            said.contains("uring-") && !said.contains("(not uring"),
            "the filter lets io_uring pass: {said}"
        );
        let state = systemd.property("StatusText");
        assert!(
            state.starts_with("ready: generation 1 on 1 port, 0 refused; ebpf steering, uring"),
            "{state}"
        );
        systemd.systemctl(&["stop", "sluice"]);
        assert_eq!(
            (systemd.property("ActiveState"), systemd.property("Result")),
            ("inactive".into(), "success".into())
        );
        let left =
            systemd.run(&["find", "/run/sluicebpf", "/run/sluice", "-mindepth", "1", "-name", "sluice*"]);
        assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    });
}

#[test]
fn a_reload_replaces_binary_and_settings_and_loses_no_request() {
    netns::run("systemd-reload", |inside| {
        let _backend = start_backend();
        let systemd = Systemd::boot(inside);
        let first = started(&systemd);
        let exe = |pid| std::fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino();
        let old = exe(first);
        let load = Wrk::start("http://127.0.0.1/httpbin/get", 8, 10);
        let installed = ["sh", "-c", "cp /usr/bin/sluice /usr/bin/new && mv /usr/bin/new /usr/bin/sluice"];
        assert!(systemd.run(&installed).status.success());
        systemd.write("/etc/default/sluice", "SLUICE_STEERING=reuseport");
        systemd.systemctl(&["reload", "sluice"]);
        let second = systemd.main_pid();
        assert_ne!(first, second);
        assert_ne!(old, exe(second), "the new process is the new binary");
        let said = text(&systemd.run(&["sluice", "status"]));
        assert!(said.contains("reuseport (asked for)") && said.contains("took over:"), "{said}");
        // CAP_NET_BIND_SERVICE, which later listeners need now; the thread that writes log lines needs
        // nothing.
        let held = ["0000000000000000", "0000000000000400"].map(str::to_owned);
        assert_eq!(of_threads(second, "CapEff:"), BTreeSet::from(held));
        load.report().must_be_clean();
        wait::until("the end of the first", || {
            (!std::path::Path::new(&format!("/proc/{first}")).exists()).then_some(())
        });
        assert_eq!(
            (systemd.property("ActiveState"), systemd.property("NRestarts")),
            ("active".into(), "0".into())
        );

        // A process that cannot start disturbs nobody.
        systemd.write("/etc/default/sluice", "SLUICE_WORKERS=many");
        let done = systemd.run(&["systemctl", "reload", "sluice"]);
        assert!(!done.status.success(), "{}", text(&done));
        assert!(systemd.sluice_log().contains("SLUICE_WORKERS: \"many\" is not allowed"));
        assert_eq!((systemd.main_pid(), get("/httpbin/get").unwrap().status), (second, 200));
        // It was not systemd that started this process, and still it has its time to drain.
        let mut busy = Client::connect(common::HTTP.parse().unwrap()).unwrap();
        busy.send("GET /httpbin/delay/2 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        systemd.systemctl(&["stop", "sluice"]);
        assert_eq!(busy.response().unwrap().status, 200);
        let state = text(&systemd.run(&["systemctl", "status", "--no-pager", "sluice"]));
        assert_eq!(systemd.property("ActiveState"), "inactive", "{state}\n{}", systemd.sluice_log());
    });
}

#[test]
fn a_crash_is_restarted_and_bad_settings_are_not() {
    netns::run("systemd-restart", |inside| {
        let _backend = start_backend();
        let systemd = Systemd::boot(inside);
        let first = started(&systemd);
        systemd.systemctl(&["kill", "--kill-whom=main", "--signal=KILL", "sluice"]);
        wait::until("another process", || {
            let restarted =
                systemd.property("NRestarts") == "1" && systemd.property("ActiveState") == "active";
            restarted.then_some(())
        });
        assert_ne!(systemd.main_pid(), first);
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        systemd.systemctl(&["stop", "sluice"]);
        systemd.write("/etc/default/sluice", "SLUICE_WORKERS=many");
        assert!(!systemd.run(&["systemctl", "start", "sluice"]).status.success());
        assert_eq!(systemd.property("ActiveState"), "failed", "neither running nor about to");
        assert_eq!(
            (systemd.property("ExecMainStatus"), systemd.property("NRestarts")),
            ("2".into(), "0".into())
        );
    });
}

#[test]
fn systemd_understands_every_line_and_finds_little_to_blame() {
    netns::run("systemd-verify", |inside| {
        let dir = inside.scratch().join("units");
        std::fs::create_dir(&dir).unwrap();
        for name in ["sluice.service", "run-sluicebpf.mount"] {
            let unit = std::fs::read_to_string(units().join(name)).unwrap();
            // verify wants the program to be there.
            std::fs::write(dir.join(name), unit.replace("/usr/bin/sluice", common::SLUICE)).unwrap();
        }
        let unit = dir.join("sluice.service");
        let verified =
            Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
        assert_eq!(text(&verified), "");
        assert!(verified.status.success());
        // 0 is no exposure, 10 is all (systemd-analyze(1)); in tenths here.
        let mut judged = Command::new("systemd-analyze");
        judged.args(["security", "--offline=true", "--threshold=25"]).arg(&unit);
        let judged = judged.output().unwrap();
        assert!(judged.status.success(), "{}", text(&judged));
    });
}
