//! Gateways of root and gateways with a helper follow each other, in both directions.

use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;

use crate::common::helper::{NODE, must_have_no_right, node_command, start_helper};
use crate::common::steady::SteadyClients;
use crate::common::{HTTP, Running, spawn_gateway};

/// A gateway of the line.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Root that becomes a user.
    Root,
    /// Root that stays so.
    Keep,
    /// A user with a helper.
    Helped,
}

fn spawn(inside: &Inside, running: &Running, kind: Kind, flags: &[&str]) -> Guarded {
    let config = running.config.path();
    match kind {
        Kind::Root => spawn_gateway(inside, config, flags),
        Kind::Keep => spawn_gateway(inside, config, &[flags, &["--user", "keep"]].concat()),
        Kind::Helped => Guarded::spawn(&mut node_command(inside, config, flags)).unwrap(),
    }
}

fn in_turn(label: &'static str, steering: &'static str) {
    netns::run(label, move |inside| {
        let flags = ["--steering", steering, "--workers", "2", "--drain-min", "0s", "--drain-max", "8s"];
        let helper = start_helper(inside, &[]);
        let mut running = Running::start(inside, &[&flags[..], &["--user", "keep"]].concat());
        let kinds =
            [Kind::Helped, Kind::Keep, Kind::Helped, Kind::Helped, Kind::Root, Kind::Helped, Kind::Root];
        for kind in kinds {
            let steady = SteadyClients::start(HTTP);
            let mut new = spawn(inside, &running, kind, &flags);
            new.wait_for_output("took over from sluice");
            let mut old = std::mem::replace(&mut running.gateway, new);
            assert!(old.wait().success(), "{kind:?} after {}", old.output());
            steady.wait_for_more(50);
            steady.must_be_clean();
            if matches!(kind, Kind::Helped) {
                must_have_no_right(running.gateway.pid());
                let state = std::fs::metadata(inside.scratch().join("state")).unwrap();
                assert_eq!(std::os::unix::fs::MetadataExt::uid(&state), NODE);
            }
        }
        assert!(!helper.output().contains("closed:"), "{}", helper.output());
    });
}

#[test]
fn root_and_a_user_with_a_helper_take_over_from_each_other_with_kernel_programs() {
    in_turn("helper-line-e", "ebpf");
}

#[test]
fn root_and_a_user_with_a_helper_take_over_from_each_other_without() {
    in_turn("helper-line-r", "reuseport");
}
