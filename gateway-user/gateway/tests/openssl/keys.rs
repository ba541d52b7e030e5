//! `openssl s_client` that changes keys on a connection.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait;

use crate::common::{Running, with_gateway_flags};
use crate::identity::{Identity, Key};

/// A client whose commands are letters at the beginning of what it reads (openssl-s_client(1)).
struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    errors: BufReader<ChildStderr>,
}

impl Client {
    fn start() -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", "127.0.0.1:443", "-servername", "keys.example", "-tls1_3"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let errors = BufReader::new(child.stderr.take().unwrap());
        Self { child, input, output, errors }
    }

    /// Makes a request on the connection, and waits for its response.
    fn ask(&mut self) -> bool {
        // A client that was refused may have gone.
        let _ = self.input.write_all(b"GET /get HTTP/1.1\r\nHost: keys.example\r\n\r\n");
        let status = lines(&mut self.output).find(|line| line.contains("HTTP/1.1 "));
        status.is_some_and(|status| status.contains("200 OK"))
    }

    /// Gives a command, and waits until it says so.
    fn command(&mut self, letter: &str, word: &str) -> bool {
        self.input.write_all(format!("{letter}\n").as_bytes()).unwrap();
        lines(&mut self.errors).any(|line| line.contains(word))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines until the end, also those that are no text.
fn lines(from: &mut impl BufRead) -> impl Iterator<Item = String> {
    from.split(b'\n').map_while(Result::ok).map(|line| String::from_utf8_lossy(&line).into_owned())
}

fn configure(running: &Running) {
    let dir = Scratch::new("openssl-keys").unwrap();
    let secret = Identity::self_signed(dir.path(), "keys.example", Key::P256).secret("ingress", "keys");
    running.config.write("secrets.yaml", &secret).unwrap();
    let gateway = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - name: keys
    protocol: HTTPS
    port: 443
    hostname: keys.example
    allowedRoutes: {namespaces: {from: All}}
    tls: {certificateRefs: [{name: keys}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: secure, namespace: team2}
spec:
  parentRefs: [{name: secure, namespace: ingress}]
  rules: [{backendRefs: [{name: httpbin, port: 8000}]}]
";
    running.config.write("secure.yaml", gateway).unwrap();
    wait::until("the listener", || Client::start().ask().then_some(()));
}

#[test]
fn clients_change_keys_as_often_as_they_like() {
    if !super::is_installed() {
        return;
    }
    with_gateway_flags("openssl-keys", &[], |_, running| {
        configure(running);
        let mut client = Client::start();
        // `K` asks for the gateway's update too.
        for letter in ["K", "k", "K", "K", "k"] {
            assert!(client.command(letter, "KEYUPDATE"), "{letter}");
            assert!(client.ask(), "a request behind {letter}");
            assert!(client.ask(), "and one more");
        }
    });
}
