//! Kernels that refuse one step of steering: without it the gateway serves by plain sockets and names the
//! step, and where kernel programs are demanded it does not start. Nothing is left of the steps before.

mod common;
#[path = "common/refusing.rs"]
mod refusing;
#[path = "common/role.rs"]
mod role;

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{get, metric, metrics};
use gateway_testkit::seccomp::{Call, Verdict};
use gateway_testkit::{http, netns, wait};
use refusing::{announced, become_judged, serves_the_scenario, spawn_judged, status, wait_until_ready};

/// The judged system calls.
const CALLS: [i64; 2] = [libc::SYS_bpf, libc::SYS_setsockopt];

// include/uapi/linux/bpf.h
const MAP_CREATE: u64 = 0;
const MAP_UPDATE_ELEM: u64 = 2;
const PROG_LOAD: u64 = 5;
const OBJ_PIN: u64 = 6;
const LINK_CREATE: u64 = 28;
const MAP_TYPE_SOCKMAP: u32 = 15;

/// Last line of a verifier's log.
const COMPLAINT: &str = "R1 invalid mem access 'scalar'";

/// A kernel, as far as it differs from the one there is.
type Kernel = fn(&Call) -> io::Result<Verdict>;

/// The BPF command, if it is one.
fn command(call: &Call) -> Option<u64> {
    (call.number == libc::SYS_bpf).then_some(call.arguments[0])
}

/// Address of the command's attributes.
fn attributes(call: &Call) -> u64 {
    call.arguments[1]
}

/// True if it loads the program of this name: kinds and names are what tells ours from the loader's own
/// experiments.
fn loads(call: &Call, name: &str) -> io::Result<bool> {
    if command(call) != Some(PROG_LOAD) {
        return Ok(false);
    }
    // prog_name, 16 bytes, filled up with zeros.
    let said: [u8; 16] = call.read(attributes(call) + 48)?;
    Ok(said.starts_with(name.as_bytes()) && said[name.len()] == 0)
}

/// Puts a verifier's words where the caller wants them, if it does.
fn complain(call: &Call, words: &str) -> io::Result<()> {
    // log_size, log_buf.
    let (room, log) = (call.read_u32(attributes(call) + 28)?, call.read_u64(attributes(call) + 32)?);
    let text = format!("0: (85) call bpf_sk_assign#124\n{words}\nprocessed 12 insns (limit 1000000)\n\0");
    if room as usize > text.len() { call.write(log, text.as_bytes()) } else { Ok(()) }
}

/// True if it writes to the map of binds, our only hash.
fn writes_binds(call: &Call) -> io::Result<bool> {
    if command(call) != Some(MAP_UPDATE_ELEM) {
        return Ok(false);
    }
    let map = call.read_u32(attributes(call))?;
    let about = fs::read_to_string(format!("/proc/{}/fdinfo/{map}", call.thread))?;
    Ok(about.lines().any(|line| line.split_whitespace().eq(["map_type:", "1"])))
}

/// Serves by sockets and says why, and does not start where programs are demanded; nothing stays in the
/// kernel.
fn falls_back(name: &'static str, why: &'static [&'static str], kernel: Kernel) {
    netns::run("refused", move |inside| {
        let mut forced = spawn_judged(name, inside, &["--steering", "ebpf"], kernel);
        assert_eq!(forced.gateway.wait().code(), Some(1));
        wait::until("the reason", || forced.gateway.output().contains("no eBPF steering").then_some(()));
        let output = forced.gateway.output();
        let line = output.lines().find(|line| line.contains("no eBPF steering")).unwrap();
        why.iter().for_each(|why| assert!(line.contains(why), "{why:?} is not in {line}"));
        assert!(!inside.bpffs().join("sluice").exists(), "pins of a process that did not start");
        drop(forced);

        let _backend = common::start_backend();
        let mut judged = spawn_judged(name, inside, &["--steering", "auto"], kernel);
        wait_until_ready(&mut judged.gateway);
        serves_the_scenario(inside, &["127.0.0.1:80", "[::1]:80"]);
        for said in [announced(&judged.gateway), status()] {
            let line =
                said.lines().find(|line| line.contains("reuseport (")).unwrap_or_else(|| panic!("{said}"));
            why.iter().for_each(|why| assert!(line.contains(why), "{why:?} is not in {line}"));
        }
        let labels = [&["path=\"reuseport\""], why].concat();
        assert_eq!(metric("sluice_steering_info", &labels), 1.0, "{}", metrics());
        assert!(!inside.bpffs().join("sluice").exists(), "pins without programs");
        assert_eq!(bpf_objects(judged.gateway.pid()), Vec::<String>::new());
    });
}

/// BPF objects of a process: lines of its descriptors that name a program, a map or a link.
fn bpf_objects(pid: u32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten();
    let about = descriptors.filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect::<String>();
    let is_bpf = |line: &&str| ["prog_id:", "map_id:", "link_id:"].iter().any(|of| line.starts_with(of));
    about.lines().filter(is_bpf).map(str::to_owned).collect()
}

#[test]
fn a_program_that_the_verifier_refuses() {
    const NAME: &str = "a_program_that_the_verifier_refuses";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    falls_back(NAME, &["the verifier refused sluice_lookup", COMPLAINT], |call| {
        if !loads(call, "sluice_lookup")? {
            return Ok(Verdict::Allow);
        }
        complain(call, COMPLAINT)?;
        Ok(Verdict::Fail(libc::EACCES))
    });
}

#[test]
fn a_kind_of_program_that_the_kernel_does_not_know() {
    const NAME: &str = "a_kind_of_program_that_the_kernel_does_not_know";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    // Before Linux 5.14 the wish to migrate is an unknown attach type, of which the verifier has nothing to
    // say.
    falls_back(NAME, &["sluice_reuse", "Invalid argument", "Linux 5.14"], |call| {
        Ok(if loads(call, "sluice_reuse")? { Verdict::Fail(libc::EINVAL) } else { Verdict::Allow })
    });
}

#[test]
fn a_verifier_whose_words_fit_nowhere() {
    const NAME: &str = "a_verifier_whose_words_fit_nowhere";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    falls_back(NAME, &["sluice_lookup", "No space left on device"], |call| {
        Ok(if loads(call, "sluice_lookup")? { Verdict::Fail(libc::ENOSPC) } else { Verdict::Allow })
    });
}

#[test]
fn a_map_that_must_not_be_made() {
    const NAME: &str = "a_map_that_must_not_be_made";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    falls_back(NAME, &["no right to use BPF", "CAP_BPF"], |call| {
        let refused =
            command(call) == Some(MAP_CREATE) && call.read_u32(attributes(call))? == MAP_TYPE_SOCKMAP;
        Ok(if refused { Verdict::Fail(libc::EPERM) } else { Verdict::Allow })
    });
}

#[test]
fn a_link_that_the_kernel_does_not_know() {
    const NAME: &str = "a_link_that_the_kernel_does_not_know";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    falls_back(NAME, &["attaching sluice_lookup to the network namespace", "Invalid argument"], |call| {
        let refused = command(call) == Some(LINK_CREATE);
        Ok(if refused { Verdict::Fail(libc::EINVAL) } else { Verdict::Allow })
    });
}

#[test]
fn a_program_that_may_not_choose_among_sockets() {
    const NAME: &str = "a_program_that_may_not_choose_among_sockets";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    falls_back(NAME, &["attaching sluice_reuse to the workers' sockets", "Invalid argument"], |call| {
        let option = (call.arguments[1], call.arguments[2]);
        let attaches = (libc::SOL_SOCKET as u64, libc::SO_ATTACH_REUSEPORT_EBPF as u64);
        let refused = call.number == libc::SYS_setsockopt && option == attaches;
        Ok(if refused { Verdict::Fail(libc::EINVAL) } else { Verdict::Allow })
    });
}

#[test]
fn a_map_of_binds_that_takes_none() {
    const NAME: &str = "a_map_of_binds_that_takes_none";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    falls_back(NAME, &["map BINDS", "Cannot allocate memory"], |call| {
        Ok(if writes_binds(call)? { Verdict::Fail(libc::ENOMEM) } else { Verdict::Allow })
    });
}

#[test]
fn pins_that_must_not_be_made_are_done_without() {
    const NAME: &str = "pins_that_must_not_be_made_are_done_without";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    netns::run("no-pins", |inside| {
        let _backend = common::start_backend();
        let mut judged = spawn_judged(NAME, inside, &["--steering", "ebpf"], |call: &Call| {
            // Some are made before one is refused.
            let refused = command(call) == Some(OBJ_PIN) && {
                let path: [u8; 256] = call.read(call.read_u64(attributes(call))?)?;
                path.split(|byte| *byte == 0).next().is_some_and(|path| path.ends_with(b"/sluice_reuse"))
            };
            Ok(if refused { Verdict::Fail(libc::ENOSPC) } else { Verdict::Allow })
        });
        wait_until_ready(&mut judged.gateway);
        serves_the_scenario(inside, &["127.0.0.1:80", "[::1]:80"]);
        for said in [announced(&judged.gateway), status()] {
            assert!(said.contains("not pinned: pinning") && said.contains("No space left"), "{said}");
        }
        assert!(!inside.bpffs().join("sluice").exists(), "half of the pins");
        assert!(metric("sluice_steering_verdicts_total", &["verdict=\"steered\""]) >= 20.0);
    });
}

#[test]
fn a_listener_that_the_kernel_has_no_room_for_is_alone_in_that_and_comes_later() {
    const NAME: &str = "a_listener_that_the_kernel_has_no_room_for_is_alone_in_that_and_comes_later";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    netns::run("no-room", |inside| {
        let full = Arc::new(AtomicBool::new(false));
        let is_full = Arc::clone(&full);
        let mut judged = spawn_judged(NAME, inside, &["--steering", "auto"], move |call: &Call| {
            let refused = is_full.load(Ordering::SeqCst) && writes_binds(call)?;
            Ok(if refused { Verdict::Fail(libc::ENOMEM) } else { Verdict::Allow })
        });
        let _backend = common::start_backend();
        wait_until_ready(&mut judged.gateway);
        assert!(status().contains("ebpf ("), "{}", status());
        full.store(true, Ordering::SeqCst);
        let config = refusing::config(inside);
        let gateway = fs::read_to_string(config.join("gateway.yaml")).unwrap();
        let more =
            "    - {name: more, protocol: HTTP, port: 8081, allowedRoutes: {namespaces: {from: All}}}\n";
        fs::write(config.join("gateway.yaml"), format!("{gateway}{more}")).unwrap();
        judged.gateway.wait_for_output("Cannot allocate memory");
        assert_eq!(get("/httpbin/get").unwrap().status, 200, "the other listener");
        // It is logged before the status has it.
        let said = wait::until("the listener's status", || {
            let said = common::text(&common::sluice(&["status", "-o", "wide"]));
            let line = said.lines().find(|line| line.contains(" more "))?;
            let has_both = line.contains("PortUnavailable") && line.contains("Cannot allocate memory");
            has_both.then_some(said)
        });
        let line = said.lines().find(|line| line.contains(" 80 ")).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains(" OK"), "{said}");
        full.store(false, Ordering::SeqCst);
        let more = "127.0.0.1:8081".parse().unwrap();
        wait::until("the listener, now that there is room", || {
            http::get(more, "a", "/httpbin/get").ok().filter(|response| response.status == 200)
        });
    });
}

/// Linux before 5.19 asks CAP_BPF for every use of a map.
#[test]
fn maps_that_a_process_without_rights_may_not_use_are_done_without() {
    const NAME: &str = "maps_that_a_process_without_rights_may_not_use_are_done_without";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    netns::run("old-helped", |inside| {
        let helper = common::helper::start_helper(inside, &[]);
        let _backend = common::start_backend();
        let socket = common::helper::socket(inside).display().to_string();
        let flags = ["--steering", "auto", "--helper", &socket];
        let mut judged = spawn_judged(NAME, inside, &flags, |call: &Call| {
            Ok(if command(call).is_some() { Verdict::Fail(libc::EPERM) } else { Verdict::Allow })
        });
        wait_until_ready(&mut judged.gateway);
        common::helper::must_have_no_right(judged.gateway.pid());
        serves_the_scenario(inside, &["127.0.0.1:80", "[::1]:80"]);
        for said in [announced(&judged.gateway), status()] {
            assert!(said.contains("reuseport (") && said.contains("no right to use BPF"), "{said}");
        }
        assert_eq!(bpf_objects(judged.gateway.pid()), Vec::<String>::new());
        assert_eq!(bpf_objects(helper.pid()), Vec::<String>::new(), "what was lent is taken back");
        assert!(!inside.bpffs().join("sluice").exists());
    });
}
