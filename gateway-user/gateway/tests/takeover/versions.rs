//! Versions that differ: in what they say, and in where and how they keep kernel objects.

use std::fs;
use std::process::Command;

use gateway_testkit::process::Guarded;
use gateway_testkit::wait;

use crate::common::steady::SteadyClients;
use crate::common::{HTTP, metric};
use crate::line::{Line, ended_well, serves_on, with_line};

/// A version to come: it speaks a newer protocol and this one, and its maps are others.
const NEWER: [(&str, &str); 1] =
    [("SLUICE_FAULT", "takeover:version=9.0.0,takeover:protocol=2,takeover:oldest=1,takeover:layout=8")];
/// One that has left this protocol behind.
const ALIEN: [(&str, &str); 1] =
    [("SLUICE_FAULT", "takeover:version=10.0.0,takeover:protocol=3,takeover:oldest=2,takeover:layout=9")];

fn layouts(line: &Line<'_>) -> Vec<String> {
    let version = |pins: &std::path::PathBuf| {
        pins.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned()
    };
    line.pin_directories().iter().map(version).collect()
}

fn up_and_down(label: &str, flags: &'static [&'static str], pinned: bool) {
    with_line(label, flags, move |line| {
        let expected = |layout: &str| if pinned { vec![layout.to_owned()] } else { Vec::new() };
        let steady = SteadyClients::start(HTTP);
        assert_eq!(layouts(line), expected("v3"));
        let old = ended_well(line.begin_upgrade_with(flags, &NEWER));
        assert!(old.output().contains("sluice 9.0.0 (pid"), "{}", old.output());
        steady.wait_for_more(50);
        assert_eq!(layouts(line), expected("v8"));
        // And a version up from there, which both speak by the newer protocol.
        ended_well(line.begin_upgrade_with(flags, &NEWER));
        steady.wait_for_more(50);
        // Down again.
        line.upgrade(flags);
        assert!(line.running.log().contains("took over from sluice 9.0.0"), "{}", line.running.log());
        steady.wait_for_more(50);
        assert_eq!(layouts(line), expected("v3"));
        steady.must_be_clean();
    });
}

#[test]
fn a_newer_one_takes_over_and_is_taken_over_from_with_programs() {
    up_and_down("take-v1", &["--steering", "ebpf"], true);
}

#[test]
fn a_newer_one_takes_over_and_is_taken_over_from_without() {
    up_and_down("take-v2", &["--steering", "reuseport"], false);
}

#[track_caller]
fn is_refused(mut new: Guarded, why: &str) {
    assert!(!new.wait().success(), "{}", new.output());
    wait::until(&format!("{why:?} in {}", new.output()), || new.output().contains(why).then_some(()));
}

#[test]
fn without_a_common_protocol_the_old_one_serves_on() {
    const FLAGS: &[&str] = &["--steering", "ebpf"];
    with_line("take-v3", FLAGS, |line| {
        let pins = line.pin_directories();
        let steady = SteadyClients::start(HTTP);
        let up = "it speaks version 1 of the take-over protocol, and the other one versions 2 to 3";
        is_refused(line.spawn(FLAGS, &ALIEN), up);
        steady.must_be_clean();
        // The new one ends by itself, whatever the old one has counted by then.
        let failures = || metric("sluice_takeover_failures_total", &["reason=\"protocol\""]);
        wait::until("the failure to be counted", || (failures() == 1.0).then_some(()));
        serves_on(line, FLAGS, &pins);
        // The other way round: first the alien has to come to serve, by an ordinary start.
        line.running.gateway.signal(nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(line.running.gateway.wait().success());
        line.running.gateway = line.spawn(FLAGS, &ALIEN);
        line.running.wait_for_status("/httpbin/get", 200);
        let steady = SteadyClients::start(HTTP);
        let down = "it speaks versions 2 to 3 of the take-over protocol, and the other one version 1";
        is_refused(line.spawn(FLAGS, &[]), down);
        steady.wait_for_more(50);
        steady.must_be_clean();
        assert_eq!(layouts(line), ["v9"]);
    });
}

#[test]
fn strangers_get_nothing() {
    with_line("take-stranger", &["--steering", "reuseport"], |line| {
        let state = line.inside.scratch().join("state");
        let socket = state.join("takeover.sock");
        let script = |protocol: u32| {
            format!(
                "use Socket; socket(S, AF_UNIX, SOCK_SEQPACKET, 0) && connect(S, pack_sockaddr_un('{}')) || die $!;
                 send(S, '{{\"kind\":\"hello\",\"protocol\":{protocol},\"version\":\"x\",\"pid\":1}}', 0);
                 recv(S, $heard, 999, 0); print $heard;",
                socket.display()
            )
        };
        // Even where the file lets them in.
        fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        fs::set_permissions(
            line.inside.scratch().path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let as_nobody = ["--reuid", "65534", "--clear-groups", "perl", "-e"];
        let mut stranger = Guarded::spawn(Command::new("setpriv").args(as_nobody).arg(script(1))).unwrap();
        stranger.wait();
        assert!(!stranger.output().contains("offer"), "{}", stranger.output());
        wait::until(&format!("the refusal of {}", stranger.output()), || {
            line.running.log().contains("runs as uid 65534").then_some(())
        });
        // Of us, but of another time.
        let mut newer = Guarded::spawn(Command::new("perl").arg("-e").arg(script(2))).unwrap();
        newer.wait();
        wait::until("the refusal", || {
            newer.output().contains("version 1 of the take-over protocol").then_some(())
        });
        line.upgrade(&["--steering", "reuseport"]);
    });
}
