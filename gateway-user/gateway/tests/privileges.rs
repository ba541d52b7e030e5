//! Rights are given up once they are not needed, on every thread, and nothing that comes later misses them.

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Running, SLUICE, get, sluice, start_gateway, text};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::{http, wait};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Names the kernel programs under test where they are not those built in.
const OBJECT: &str = "SLUICE_EBPF_OBJECT";
/// A user that no system has.
const UID: u32 = 54_321;
/// The user of `--user=auto`.
const AUTO: u32 = 65_532;
const DAC_OVERRIDE: u64 = 1 << 1;
const NET_BIND_SERVICE: u64 = 1 << 10;
const SYS_PTRACE: u64 = 1 << 19;

/// Lines of /proc/PID/status for each thread: its name and the sets in this order.
const SETS: [&str; 5] = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"];

/// Real, effective, saved and file system user, the same of the group, and the other groups, of each thread.
fn ids(pid: u32) -> Vec<(String, String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    status
        .map(|status| {
            let field = |name| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
            (field("Uid:"), field("Gid:"), field("Groups:"))
        })
        .collect()
}

/// Every thread is this user in each respect, and in no other group.
#[track_caller]
fn all_are(pid: u32, uid: u32) {
    let four = format!("{uid}\t{uid}\t{uid}\t{uid}");
    for (users, groups, others) in ids(pid) {
        assert_eq!((users.as_str(), groups.as_str()), (four.as_str(), four.as_str()));
        assert!(uid == 0 || others.is_empty(), "{others}");
    }
}

fn threads(pid: u32) -> Vec<(String, [u64; 5], bool)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread may end while it is looked at.
    let status = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    status
        .map(|status| {
            let field = |name| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
            let sets = SETS.map(|set| u64::from_str_radix(&field(set), 16).unwrap());
            (field("Name:"), sets, field("NoNewPrivs:") == "1")
        })
        .collect()
}

/// Every thread holds exactly this, in the bounding set too unless it was not the process's to change.
#[track_caller]
fn all_hold(pid: u32, rights: u64, bounded: bool) {
    let threads = threads(pid);
    assert!(threads.len() > 4, "control, two workers, compiler, take-over: {threads:?}");
    for (name, [inheritable, permitted, effective, bounding, ambient], no_new_privs) in threads {
        // One only ever writes to what is open, the other ones give memory back.
        let rights = if ["log", "jemalloc_bg_thd"].contains(&name.as_str()) { 0 } else { rights };
        assert_eq!((permitted, effective), (rights, rights), "{name}");
        assert_eq!((inheritable, ambient, no_new_privs), (0, 0, true), "{name}");
        assert!(!bounded || bounding == rights, "{name}: {bounding:x}");
    }
}

/// Everything that happens to a gateway later: other listeners, other endpoints, SIGHUP, a take-over, the
/// end.
fn lives_on(inside: &Inside, running: &mut Running, log: &str) {
    running.edit("gateway.yaml", "port: 80", "port: 81");
    let low = "127.0.0.1:81".parse().unwrap();
    let asked =
        |to| http::get(to, "127.0.0.1", "/httpbin/get").ok().filter(|response| response.status == 200);
    wait::until("the new listener", || asked(low));
    running.edit("gateway.yaml", "port: 81", "port: 80");
    running.wait_for_status("/httpbin/get", 200);
    let moved = inside.scratch().join("moved.log");
    std::fs::rename(log, moved).unwrap();
    running.gateway.signal(Signal::SIGHUP).unwrap();
    wait::until("a log file anew", || {
        get("/httpbin/get").unwrap();
        std::fs::metadata(log).ok().filter(|file| file.len() > 0)
    });
}

fn root_drops(label: &str, flags: &'static [&'static str], uid: u32, rights: u64) {
    netns::run(label, move |inside| {
        let log = inside.scratch().join("access.log").display().to_string();
        let flags: Vec<&str> = flags.iter().copied().chain(["--access-log", &log]).collect();
        let mut running = Running::start(inside, &flags);
        all_hold(running.gateway.pid(), rights, true);
        all_are(running.gateway.pid(), uid);
        lives_on(inside, &mut running, &log);
        all_hold(running.gateway.pid(), rights, true);
        all_are(running.gateway.pid(), uid);
        assert_eq!(std::fs::metadata(&log).unwrap().uid(), uid, "a log file anew");
        // Both sides of a take-over have dropped theirs.
        let new = start_gateway(inside, running.config.path(), &flags);
        assert!(running.gateway.wait().success(), "{}", running.log());
        running.gateway = new;
        wait::until("the end of the take-over", || running.log().contains("took over from").then_some(()));
        all_hold(running.gateway.pid(), rights, true);
        all_are(running.gateway.pid(), uid);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success());
        assert!(!inside.bpffs().join("sluice").exists(), "kernel objects are removed without a right");
    });
}

#[test]
fn root_becomes_a_user_with_low_ports_with_kernel_programs() {
    root_drops("drop-ebpf", &["--steering", "ebpf"], AUTO, NET_BIND_SERVICE);
}

#[test]
fn root_becomes_a_user_with_low_ports_without_kernel_programs() {
    root_drops("drop-reuseport", &["--steering", "reuseport"], AUTO, NET_BIND_SERVICE);
}

#[test]
fn root_that_stays_keeps_the_right_to_read_files_with_kernel_programs() {
    root_drops("keep-ebpf", &["--steering", "ebpf", "--user", "keep"], 0, DAC_OVERRIDE | NET_BIND_SERVICE);
}

#[test]
fn root_that_stays_keeps_the_right_to_read_files_without_kernel_programs() {
    root_drops(
        "keep-reuseport",
        &["--steering", "reuseport", "--user=keep"],
        0,
        DAC_OVERRIDE | NET_BIND_SERVICE,
    );
}

#[test]
fn root_becomes_the_user_that_is_asked_for() {
    root_drops("user-number", &["--steering", "ebpf", "--user", "54321"], UID, NET_BIND_SERVICE);
}

#[test]
fn pins_need_no_leave_of_a_bpffs_that_is_roots_alone() {
    netns::run("closed-bpffs", |inside| {
        std::fs::set_permissions(inside.bpffs(), PermissionsExt::from_mode(0o700)).unwrap();
        let flags = ["--steering", "ebpf", "--drain-min", "0s"];
        let mut running = Running::start(inside, &flags);
        for _ in 0..2 {
            let said = text(&sluice(&["status"]));
            assert!(said.contains("pinned in") && !said.contains("not pinned"), "{said}");
            let pinned = common::pins::pins(inside.bpffs());
            assert!(pinned.iter().any(|pin| pin.ends_with("lookup_link")), "{pinned:?}");
            let new = start_gateway(inside, running.config.path(), &flags);
            assert!(running.gateway.wait().success(), "{}", running.log());
            running.gateway = new;
            running.gateway.wait_for_output("took over from");
        }
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success());
        assert_eq!(common::pins::owners(inside.bpffs()), Vec::<PathBuf>::new());
    });
}

#[test]
fn a_file_that_the_user_could_not_read_later_is_an_error_at_the_start() {
    netns::run("user-cannot", |inside| {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        let secret = config.join("team1-route.yaml");
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
        let mut gateway = common::spawn_gateway(inside, config.path(), &[]);
        assert_eq!(gateway.wait().code(), Some(1), "{}", gateway.output());
        wait::until("the reason", || gateway.output().contains("--user=keep").then_some(()));
        assert!(gateway.output().contains(secret.to_str().unwrap()), "{}", gateway.output());
        assert!(!inside.scratch().join("state").exists(), "nobody was disturbed");
        let kept = start_gateway(inside, config.path(), &["--user", "keep"]);
        all_are(kept.pid(), 0);
    });
}

#[test]
fn root_without_the_rights_to_change_users_says_so_once_and_stays() {
    netns::run("user-weak", |inside| {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all,+bpf,+perfmon,+net_admin", "--inh-caps=-all", SLUICE, "run"]);
        command.arg(config.path()).arg("--state-dir").arg(inside.scratch().join("state"));
        command.args(["--steering", "ebpf", "--bpffs"]).arg(inside.bpffs());
        let mut gateway = Guarded::spawn(&mut command).unwrap();
        common::wait_until_ready(&mut gateway);
        all_are(gateway.pid(), 0);
        assert_eq!(gateway.output().matches("stays root").count(), 2, "one line: {}", gateway.output());
        assert!(gateway.output().contains("takes CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SETGID, CAP_SETUID"));
    });
}

#[test]
fn what_is_listed_is_kept_and_status_says_so() {
    netns::run("keep", |inside| {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        let held = |flags: &[&str]| {
            let gateway = start_gateway(inside, config.path(), flags);
            let threads = threads(gateway.pid());
            (threads[0].1[2], text(&sluice(&["status"])))
        };
        let (effective, status) =
            held(&["--steering", "ebpf", "--keep-capabilities", "CAP_SYS_PTRACE", "--drain-min", "0s"]);
        assert_eq!(effective, NET_BIND_SERVICE | SYS_PTRACE);
        let line = status.lines().find(|line| line.starts_with("capabilities:")).unwrap();
        assert!(
            line.contains("CAP_NET_BIND_SERVICE, CAP_SYS_PTRACE") && !line.contains("CAP_DAC_OVERRIDE"),
            "{line}"
        );
        let own = threads(std::process::id())[0].1[2];
        assert_eq!(held(&["--steering", "ebpf", "--keep-capabilities", "all"]).0, own);
    });
}

/// A copy of a file that anybody may read and run: the build's own directory may be closed to others.
fn for_anybody(inside: &Inside, file: impl AsRef<Path>, name: &str) -> PathBuf {
    let copy = inside.scratch().join(name);
    std::fs::copy(file, &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    copy
}

/// Starts `sluice run` as another user with these capabilities and no others.
fn spawn_as_user(inside: &Inside, config: &Scratch, rights: &str, flags: &[&str]) -> Guarded {
    for dir in ["state", "logs"].map(|name| inside.scratch().join(name)) {
        std::fs::create_dir_all(&dir).unwrap();
        chown(&dir, Some(UID), Some(UID)).unwrap();
    }
    chown(inside.bpffs(), Some(UID), Some(UID)).unwrap();
    let given = format!("-all{rights}");
    let mut command = Command::new("setpriv");
    command.args(["--clear-groups", &format!("--reuid={UID}"), &format!("--regid={UID}")]);
    for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
        command.arg(format!("{set}={given}"));
    }
    // Kernel programs other than those built in.
    if let Some(object) = std::env::var_os(OBJECT) {
        command.env(OBJECT, for_anybody(inside, object, "object"));
    }
    command
        .arg(for_anybody(inside, SLUICE, "sluice"))
        .arg("run")
        .arg(config.path())
        .args(flags)
        .arg("--bpffs")
        .arg(inside.bpffs());
    command.arg("--state-dir").arg(inside.scratch().join("state"));
    Guarded::spawn(&mut command).unwrap()
}

#[test]
fn a_user_with_three_rights_steers_with_kernel_programs_and_ends_up_with_none() {
    netns::run("user-ebpf", |inside| {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        let backend = common::start_backend();
        let log = inside.scratch().join("logs/access.log").display().to_string();
        let flags = ["--steering", "ebpf", "--access-log", &log];
        let rights = ",+bpf,+perfmon,+net_admin";
        let gateway = spawn_as_user(inside, &config, rights, &flags);
        let mut running = Running { config, gateway, backend };
        running.wait_for_status("/httpbin/get", 200);
        all_hold(running.gateway.pid(), 0, false);
        lives_on(inside, &mut running, &log);
        std::fs::remove_file(inside.scratch().join("sluice")).unwrap();
        let new = spawn_as_user(inside, &running.config, rights, &flags);
        assert!(running.gateway.wait().success(), "{}", running.log());
        running.gateway = new;
        running.gateway.wait_for_output("took over from");
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        all_hold(running.gateway.pid(), 0, false);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success());
        assert!(!inside.bpffs().join("sluice").exists());
    });
}

#[test]
fn each_of_the_three_rights_is_needed_and_named_when_it_is_missing() {
    netns::run("user-missing", |inside| {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        for rights in [",+perfmon,+net_admin", ",+bpf,+net_admin", ",+bpf,+perfmon"] {
            let mut gateway = spawn_as_user(inside, &config, rights, &["--steering", "ebpf"]);
            assert_eq!(gateway.wait().code(), Some(1), "{rights}: {}", gateway.output());
            wait::until("the reason", || gateway.output().contains("no right to use BPF").then_some(()));
            assert!(gateway.output().contains("CAP_PERFMON"), "{}", gateway.output());
        }
    });
}

/// The pod of `deploy/kubernetes/together.yaml`.
fn manifest() -> Value {
    let path = std::path::absolute("../../deploy/kubernetes/together.yaml").unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let set = text.split("\n---\n").find(|part| part.contains("\nkind: DaemonSet\n")).unwrap();
    let manifest: Value = serde_saphyr::from_str(set).unwrap();
    manifest["spec"]["template"]["spec"].clone()
}

fn container(pod: &Value, name: &str) -> Value {
    let lists = ["initContainers", "containers"].map(|list| pod[list].as_array().unwrap());
    let mut all = lists.into_iter().flatten();
    all.find(|container| container["name"] == name).unwrap().clone()
}

#[test]
fn in_the_pod_of_the_manifest_each_container_has_what_it_needs_alone() {
    let pod = manifest();
    assert_eq!(pod["automountServiceAccountToken"], false);
    let mounts = |name: &str| {
        let mounts = container(&pod, name)["volumeMounts"].as_array().unwrap().clone();
        mounts.iter().map(|mount| mount["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(mounts("node"), "state stream helper probe", "no token");
    assert_eq!(mounts("helper"), "state helper helper-probe", "no token, and no word of a controller");
    assert_eq!(mounts("controller"), "stream controller-probe account", "no helper");
    for name in ["node", "controller"] {
        let context = &container(&pod, name)["securityContext"];
        assert_eq!(context["runAsUser"], AUTO, "{name}");
        assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
        assert!(context["capabilities"]["add"].is_null(), "{name}: {context}");
    }
    assert_eq!(
        container(&pod, "helper")["restartPolicy"],
        "Always",
        "it ends after the node, which needs it until then"
    );
    let arguments = container(&pod, "helper")["args"].to_string();
    assert!(arguments.contains(&format!("--node-uid={AUTO}")), "{arguments}");
}

/// A process in a PID namespace of its own, and `unshare`, which has started it.
struct Pod(Guarded);

impl std::ops::Deref for Pod {
    type Target = Guarded;
    fn deref(&self) -> &Guarded {
        &self.0
    }
}

impl std::ops::DerefMut for Pod {
    fn deref_mut(&mut self) -> &mut Guarded {
        &mut self.0
    }
}

impl Drop for Pod {
    /// The end of `unshare` does not end it: whoever changes users gets no signal for that any more
    /// (prctl(2), PR_SET_PDEATHSIG).
    fn drop(&mut self) {
        let of = self.0.pid();
        let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), Signal::SIGKILL);
        }
    }
}

/// Capabilities of a pod with one container, `args: [run]`: the first three for kernel programs and their maps, the last four
/// to go on as uid 65532.
const ALONE: [&str; 8] =
    ["bpf", "perfmon", "net_admin", "net_bind_service", "chown", "dac_override", "setgid", "setuid"];

/// `sluice run` as such a pod's container: its capabilities, and a PID namespace of its own.
fn spawn_pod(inside: &Inside, config: &Path, name: &str) -> Pod {
    let rights: String = ALONE.iter().map(|right| format!(",+{right}")).collect();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "setpriv", "--no-new-privs", "--inh-caps=-all"]);
    command.arg(format!("--bounding-set=-all{rights}")).args([SLUICE, "run"]).arg(config);
    command.args(["--steering", "ebpf", "--drain-min", "0s", "--bpffs", "/nowhere/at/all"]);
    command.arg("--state-dir").arg(inside.scratch().join("state")).env("POD_NAME", name);
    Pod(Guarded::spawn(&mut command).unwrap())
}

/// The process that `unshare` has started.
fn child(of: u32) -> u32 {
    let file = format!("/proc/{of}/task/{of}/children");
    wait::until("the process in the pod", || {
        std::fs::read_to_string(&file).ok()?.split(' ').next()?.parse().ok()
    })
}

#[test]
fn a_pod_with_one_container_steers_unpinned_and_keeps_low_ports_alone() {
    let pod = manifest();
    let container = &container(&pod, "node");
    assert!(pod["hostPID"].is_null(), "the lock names the pod");
    assert!(!pod.to_string().contains("bpf\""), "no BPF file system of the node: {pod}");
    assert!(container["resources"]["limits"]["memory"].is_string());
    let by_field = |field: &str| {
        let variables = container["env"].as_array().unwrap().iter();
        variables.filter(|variable| variable["valueFrom"]["fieldRef"]["fieldPath"] == field).count()
    };
    assert_eq!(by_field("metadata.name"), 1, "POD_NAME");
    netns::run("pod", |inside| {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        let _backend = common::start_backend();
        let mut old = spawn_pod(inside, config.path(), "sluice-a");
        common::wait_until_ready(&mut old);
        let state = inside.scratch().join("state");
        let said = text(&sluice(&["status", "--state-dir", state.to_str().unwrap()]));
        assert!(said.contains("ebpf (workers on port") && said.contains("not pinned"), "{said}");
        assert_eq!(std::fs::read_to_string(state.join("lock")).unwrap(), "1\n0\nsluice-a\n");
        all_are(child(old.pid()), AUTO);
        all_hold(child(old.pid()), NET_BIND_SERVICE, false);
        let steady = common::steady::SteadyClients::start(common::HTTP);
        let mut new = spawn_pod(inside, config.path(), "sluice-b");
        new.wait_for_output("took over from sluice");
        steady.wait_for_more(50);
        assert!(new.output().contains("(pid 1 in pod sluice-a)"), "{}", new.output());
        assert!(old.output().contains("(pid 1 in pod sluice-b) asks to take over"), "{}", old.output());
        assert!(old.wait().success(), "{}", old.output());
        steady.must_be_clean();
        all_are(child(new.pid()), AUTO);
        all_hold(child(new.pid()), NET_BIND_SERVICE, false);
        let done =
            text(&sluice(&["cleanup", "--state-dir", state.to_str().unwrap(), "--bpffs", "/nowhere/at/all"]));
        assert!(done.contains("in use by pid 1 in pod sluice-b"), "{done}");
    });
}

/// System calls that failed, by a worker or by anybody.
fn denied(thread: &str) -> f64 {
    common::metric("sluice_seccomp_denied_total", &[thread])
}

/// True if every thread but those that never do anything for others has a filter (seccomp(2): mode 2).
fn filtered(pid: u32) -> Vec<(String, bool)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let of = |status: String| {
        let field = |name| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
        (field("Name:"), field("Seccomp:") == "2")
    };
    status.map(of).collect()
}

fn nothing_is_denied(label: &str, flags: &'static [&'static str]) {
    netns::run(label, move |inside| {
        let log = inside.scratch().join("access.log").display().to_string();
        let flags: Vec<&str> = flags.iter().copied().chain(["--access-log", &log]).collect();
        let mut running = Running::start(inside, &flags);
        lives_on(inside, &mut running, &log);
        for (name, filtered) in filtered(running.gateway.pid()) {
            assert!(filtered, "{name}");
        }
        let new = start_gateway(inside, running.config.path(), &flags);
        assert!(running.gateway.wait().success(), "{}", running.log());
        running.gateway = new;
        running.gateway.wait_for_output("took over from");
        lives_on_again(&running);
        let page = common::metrics();
        assert!(!page.contains("sluice_seccomp_denied_total{"), "{page}\n{}", running.log());
    });
}

/// Other listeners after a take-over.
fn lives_on_again(running: &Running) {
    running.edit("gateway.yaml", "port: 80", "port: 81");
    let low = "127.0.0.1:81".parse().unwrap();
    wait::until("the new listener", || {
        http::get(low, "127.0.0.1", "/httpbin/get").ok().filter(|response| response.status == 200)
    });
}

#[test]
fn no_thread_makes_a_call_that_is_not_on_its_list_ebpf_uring() {
    nothing_is_denied("calls-eu", &["--steering", "ebpf", "--io", "uring"]);
}

#[test]
fn no_thread_makes_a_call_that_is_not_on_its_list_reuseport_epoll() {
    nothing_is_denied("calls-re", &["--steering", "reuseport", "--io", "epoll"]);
}

#[test]
fn a_worker_that_opens_a_file_is_refused_counted_and_named_and_serves_on() {
    netns::run("calls-open", |inside| {
        let start = |flags: &[&str]| Running::start_with(inside, flags, &[("SLUICE_FAULT", "requests")]);
        let open = |running: &Running| {
            let mut client = http::Client::connect(common::HTTP.parse().unwrap()).unwrap();
            client.send("GET /httpbin/get HTTP/1.1\r\nHost: a\r\nX-Sluice-Fault: open\r\n\r\n").unwrap();
            assert_eq!(client.response().unwrap().status, 200);
            wait::until("what became of it", || {
                running.log().contains("injected: a file").then(|| running.log())
            })
        };
        let mut running = start(&["--drain-min", "0s"]);
        assert!(open(&running).contains("injected: a file was not opened"), "{}", running.log());
        assert_eq!(denied("thread=\"worker\",call=\"openat\""), 1.0, "{}", common::metrics());
        running.gateway.wait_for_output("a system call failed that threads of this kind never make");
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        drop(running);
        for flag in ["log", "off"] {
            let running = start(&["--drain-min", "0s", "--seccomp", flag]);
            assert!(
                open(&running).contains("injected: a file was opened"),
                "--seccomp={flag}: {}",
                running.log()
            );
            assert_eq!(denied("thread"), 0.0);
        }
    });
}
