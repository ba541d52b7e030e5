//! The users of the roles: who may follow a controller.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use common::roles::{TARGET, controller_state, socket, with_roles};
use common::{SLUICE, get};
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;

#[test]
fn a_stranger_is_told_nothing() {
    with_roles("roles-stranger", &[], |roles| {
        const STRANGER: u32 = 54_321;
        let state = roles.inside.scratch().join("strangers");
        fs::create_dir(&state).unwrap();
        chown(&state, Some(STRANGER), Some(STRANGER)).unwrap();
        // As in a pod, where both containers have the directory.
        for dir in [roles.inside.scratch().path(), &controller_state(roles.inside)] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
        }
        let mut command = Command::new(SLUICE);
        command.arg("node").arg("--controller").arg(socket(roles.inside)).arg("--state-dir").arg(&state);
        command.args(["--steering", "reuseport", "--node-name", "edge-2", "--health-address", "off"]);
        command
            .args(["--metrics-address", "off", "--unprivileged-offset", "8000"])
            .uid(STRANGER)
            .gid(STRANGER);
        let stranger = Guarded::spawn(&mut command).unwrap();
        let refused = format!("uid {STRANGER} may not follow this controller");
        let controller = roles.controller.as_ref().unwrap();
        wait::until("the refusal", || controller.output().contains(&refused).then_some(()));
        assert!(!stranger.output().contains("configuration is live"), "{}", stranger.output());
        assert_eq!(get(TARGET).unwrap().status, 200, "the others are served");
    });
}
