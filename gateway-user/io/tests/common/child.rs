//! Cases that change their whole process (filters, limits) run in a copy of the test binary.

use std::{env, process::Command};

const CHILD: &str = "SLUICE_IO_TEST_CHILD";

/// In the test: runs itself again in a child process and expects it to pass. In the child: runs `body`.
///
/// `name` is the test's own path, as the test binary lists it.
pub fn in_a_process_of_its_own(name: &str, body: impl FnOnce() + Send + 'static) {
    if env::var_os(CHILD).is_some() {
        super::on_thread(name, body);
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    let output =
        child.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, "1").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{name} in its own process:\n{out}\n{err}");
}
