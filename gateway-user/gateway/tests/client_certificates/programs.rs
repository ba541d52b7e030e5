//! curl, and Python's `ssl` over OpenSSL. One that is not installed is printed as such.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use gateway_testkit::scratch::Scratch;
use gateway_testkit::tls::SelfSigned;

use crate::common::text;

/// With a certificate a request is answered; without one there is no response. A session of a host that asks for none is of no
/// use where one is asked for.
const PYTHON: &str = r#"
import socket, ssl, sys
server, pair, version = sys.argv[1], sys.argv[2], sys.argv[3]

def context(own):
    made = ssl.create_default_context(cafile=server)
    made.minimum_version = made.maximum_version = getattr(ssl.TLSVersion, version)
    if own:
        made.load_cert_chain(pair)
    return made

def ask(made, name, session=None):
    plain = socket.create_connection(("127.0.0.1", 443), timeout=30)
    with made.wrap_socket(plain, server_hostname=name, session=session) as wrapped:
        wrapped.sendall(f"GET /headers HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := wrapped.recv(65536):
            data += piece
        return data, wrapped.session, wrapped.session_reused

def refused(made, name, session=None):
    try:
        data, _, _ = ask(made, name, session)
        return data == b""
    except (ssl.SSLError, ConnectionError):
        return True

shown, bare = context(True), context(False)
data, session, reused = ask(shown, "strict.example")
assert b" 200 " in data.split(b"\r\n")[0] and b"Hash=" in data and not reused, data
data, _, reused = ask(shown, "strict.example", session)
assert b"Hash=" in data and reused, (data, reused)
assert refused(bare, "strict.example")
data, session, _ = ask(bare, "open.example")
assert b" 200 " in data.split(b"\r\n")[0], data
data, _, reused = ask(bare, "open.example", session)
assert reused
assert refused(bare, "strict.example", session), "a session of another listener"
print("good")
"#;

/// True if a tool is installed; says so if not.
#[expect(clippy::print_stdout, reason = "for who reads why a test did less")]
fn has(tool: &str) -> bool {
    let command = |argument| {
        let mut command = Command::new(tool);
        command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let there = command("--version");
    if !there {
        println!("{tool} is not installed: not run");
    }
    there
}

pub(crate) fn try_all(server: &SelfSigned, client: &SelfSigned) {
    let folder = Scratch::new("client-programs").unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (trusted, pair) = (
        file("server.pem", &server.certificate),
        file("pair.pem", &format!("{}{}", client.key, client.certificate)),
    );
    if has("curl") {
        curl(&trusted, &pair);
    }
    if has("python3") {
        for version in ["TLSv1_2", "TLSv1_3"] {
            let mut python = Command::new("python3");
            let output = python.args(["-c", PYTHON]).arg(&trusted).arg(&pair).arg(version).output().unwrap();
            assert!(
                output.status.success() && text(&output).contains("good"),
                "{version}: {}",
                text(&output)
            );
        }
    }
}

fn curl(trusted: &Path, pair: &Path) {
    let ask = |arguments: &[&str], with: bool| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30", "--resolve", "strict.example:443:127.0.0.1", "--cacert"]);
        command.arg(trusted).args(arguments);
        if with {
            command.arg("--cert").arg(pair);
        }
        let evil = ["-H", "X-Forwarded-Client-Cert: Hash=evil", "-H", "x_forwarded_client_cert: Hash=evil"];
        command.args(evil).arg("https://strict.example/headers").output().unwrap()
    };
    let ways: [&[&str]; 3] =
        [&["--http1.1", "--tls-max", "1.2"], &["--http1.1", "--tlsv1.3"], &["--http2", "--tlsv1.3"]];
    for arguments in ways {
        let good = ask(arguments, true);
        let shown = text(&good);
        assert!(
            good.status.success() && shown.contains("Hash=") && !shown.contains("evil"),
            "{arguments:?}: {shown}"
        );
        let bare = ask(arguments, false);
        assert!(!bare.status.success() && !text(&bare).contains("Hash="), "{arguments:?}: {}", text(&bare));
    }
}
