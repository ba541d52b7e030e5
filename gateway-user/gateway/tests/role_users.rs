//! The users of the roles: who may follow a controller, and who holds a right.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use common::helper::{self, NODE, as_user, must_be_confined, must_have_no_right, start_helper};
use common::roles::{TARGET, controller_state, node_command, socket, start_controller, with_roles};
use common::steady::SteadyClients;
use common::{HTTP, SLUICE, example, get, start_backend, wait_until_ready};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::{http, netns, wait};

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
        command.args(["--metrics-address", "off", "--unprivileged-offset", "8000"]);
        let stranger = Guarded::spawn(&mut as_user(&command, STRANGER)).unwrap();
        let refused = format!("uid {STRANGER} may not follow this controller");
        let controller = roles.controller.as_ref().unwrap();
        wait::until("the refusal", || controller.output().contains(&refused).then_some(()));
        assert!(!stranger.output().contains("configuration is live"), "{}", stranger.output());
        assert_eq!(get(TARGET).unwrap().status, 200, "the others are served");
    });
}

/// The three roles as a pod has them: what serves strangers is a user without any right and without resources.
#[test]
fn a_node_between_a_controller_and_a_helper_has_no_right() {
    netns::run("roles-three", |inside| {
        let helper = start_helper(inside, &[]);
        let config = Scratch::new("config").unwrap();
        config.copy_from(&example()).unwrap();
        let _backend = start_backend();
        let _controller =
            start_controller(inside, config.path(), &["--user", "keep", "--node-users", &NODE.to_string()]);
        for dir in [inside.scratch().path(), &controller_state(inside)] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
        }
        let mut command = node_command(inside, &inside.scratch().join("state"));
        command.arg("--helper").arg(helper::socket(inside));
        let mut node = Guarded::spawn(&mut as_user(&command, NODE)).unwrap();
        wait_until_ready(&mut node);
        let steady = SteadyClients::start(HTTP);
        must_have_no_right(node.pid());
        must_be_confined(&helper);
        assert!(get(TARGET).unwrap().status == 200);
        // Ports come and go by the controller's word and the helper's hand.
        let text = fs::read_to_string(config.join("gateway.yaml")).unwrap();
        let listener = text.find("    - name:").expect("a listener");
        let second =
            "    - {name: second, port: 81, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}\n";
        config.write("gateway.yaml", &format!("{}{second}{}", &text[..listener], &text[listener..])).unwrap();
        let at = std::net::SocketAddr::from(([127, 0, 0, 1], 81));
        wait::until("the second listener", || {
            http::get(at, "127.0.0.1", TARGET).ok().filter(|response| response.status == 200)
        });
        steady.wait_for_more(500);
        steady.must_be_clean();
        assert!(!node.output().contains("a system call failed"), "{}", node.output());
    });
}
