//! `sluice run DIR` and `sluice status` by an ordinary user, without a flag.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{SLUICE, text};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::{http, wait};
use nix::sys::signal::Signal;

/// A user that no system has.
const UID: u32 = 54_321;

/// A copy of the program that everybody may run.
fn program(inside: &Inside) -> PathBuf {
    let copy = inside.scratch().join("sluice");
    if !copy.exists() {
        fs::copy(SLUICE, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy
}

/// `sluice` as that user, in the places that `environment` names.
fn command(inside: &Inside, environment: &[(&str, &Path)], words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--clear-groups", &format!("--reuid={UID}"), &format!("--regid={UID}")]);
    command.args(["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]);
    command.env_remove("XDG_RUNTIME_DIR").envs(environment.iter().copied());
    command.arg(program(inside)).args(words);
    command
}

fn place(inside: &Inside, name: &str, mode: u32) -> PathBuf {
    let dir = inside.scratch().join(name);
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
    dir
}

#[test]
fn an_ordinary_user_serves_and_asks_without_a_flag() {
    netns::run("ordinary", |inside| {
        fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "1024").unwrap();
        let _backend = common::start_backend();
        let config = common::example();
        let (session, temporary) = (place(inside, "session", 0o700), place(inside, "temporary", 0o1777));
        chown(&session, Some(UID), Some(UID)).unwrap();
        let of_session = vec![("XDG_RUNTIME_DIR", session.as_path()), ("TMPDIR", temporary.as_path())];
        let alone = vec![("TMPDIR", temporary.as_path())];
        let private = temporary.join(format!("sluice-{UID}"));
        for (environment, state) in [(of_session, session.join("sluice")), (alone, private.clone())] {
            let run = &mut command(inside, &environment, &["run", config.to_str().unwrap()]);
            let mut gateway = Guarded::spawn(run).unwrap();
            wait::until("a response on port 8080", || {
                assert!(gateway.try_wait().unwrap().is_none(), "{}", gateway.output());
                let response = http::get("127.0.0.1:8080".parse().unwrap(), "a", "/httpbin/get").ok();
                response.filter(|response| response.status == 200)
            });
            let found = fs::metadata(&state).unwrap();
            assert_eq!((found.uid(), found.mode() & 0o7777), (UID, 0o700), "{}", state.display());
            // It serves a moment before it says so.
            wait::until("the status", || {
                let status = command(inside, &environment, &["status"]).output().unwrap();
                assert!(status.status.success(), "{}", text(&status));
                text(&status).contains("ingress/shared-gateway").then_some(())
            });
            gateway.signal(Signal::SIGTERM).unwrap();
            assert!(gateway.wait().success(), "{}", gateway.output());
            let status = command(inside, &environment, &["status"]).output().unwrap();
            assert!(
                !status.status.success() && text(&status).contains("one that root has started"),
                "{}",
                text(&status)
            );
        }
        // A user who was there first gets nothing by it.
        let _ = fs::remove_dir_all(&private);
        fs::create_dir(&private).unwrap();
        chown(&private, Some(UID + 1), None).unwrap();
        let alone = [("TMPDIR", temporary.as_path())];
        for words in [&["run", config.to_str().unwrap()][..], &["status"], &["upgrade"]] {
            let refused = command(inside, &alone, words).output().unwrap();
            let said = text(&refused);
            assert!(refused.status.code() == Some(1) && said.contains("belongs to uid 54322"), "{said}");
        }
    });
}
