//! `cargo xtask run` as somebody at a terminal uses it: start, try the printed lines, Ctrl-C.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use gateway_testkit::process::Guarded;
use gateway_testkit::{netns, wait};
use nix::sys::signal::Signal;

/// Processes below `parent`, at any depth.
fn descendants(parent: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        all.push(child);
        all.extend(descendants(child));
    }
    all
}

/// The gateway that was built for the tests of this run; built now, with the same profile, if only this
/// package's tests run.
fn sluice() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("sluice");
    if !built.exists() {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let dir = built.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap();
        let profile = if dir == "debug" { "dev" } else { dir };
        let args = ["build", "--package", "sluice", "--profile", profile];
        assert!(Command::new(cargo).args(args).status().unwrap().success());
    }
    built
}

#[test]
fn ctrl_c_stops_all_of_it_and_leaves_nothing_behind() {
    let sluice = sluice();
    netns::run("ctrl-c", move |inside| {
        let scratch = inside.scratch().join("tmp");
        fs::create_dir(&scratch).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["run", "--binary"]).arg(&sluice).env("TMPDIR", &scratch);
        let mut run = Guarded::spawn(&mut command).unwrap();
        run.wait_for_output("Ctrl-C stops everything");
        let printed = run.output();
        let curl = printed.lines().find_map(|line| line.trim().strip_prefix("curl -i ")).unwrap();
        let output = Command::new("curl").args(["--silent", "--fail", curl]).output().unwrap();
        assert!(output.status.success(), "curl {curl}: {output:?}");
        let children = descendants(run.pid());
        assert!(children.len() >= 2, "gateway and backend run below it: {children:?}");
        run.signal(Signal::SIGINT).unwrap();
        let ended = run.wait();
        assert!(ended.success(), "{ended}: {}", run.output());
        for pid in children {
            wait::until("the end of every child", || {
                (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
            });
        }
        let left: Vec<_> = fs::read_dir(&scratch).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    });
}
