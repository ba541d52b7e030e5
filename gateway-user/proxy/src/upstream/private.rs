//! Connections to backends that are logged in. NTLM and Negotiate log in a connection and not a request, against HTTP's
//! own rule (RFC 4559 section 6, RFC 9110 section 11.7): whoever sends the next request on it is taken for that user. So it
//! carries requests of one client connection only, and ends with it.

use std::rc::Rc;

use gateway_io::Stream;

use super::{Backend, Cluster, Lease};

/// Most that one client connection keeps: it talks to one application as a rule.
const MAX_CONNECTIONS: usize = 4;

/// Those of one client connection, between two requests.
#[derive(Debug, Default)]
pub(crate) struct PrivateConnections(Vec<(Rc<Backend>, Stream)>);

impl PrivateConnections {
    /// One to an endpoint of the cluster that is still silent.
    pub(crate) fn take(&mut self, cluster: &Cluster) -> Option<Lease> {
        loop {
            let at = self.0.iter().position(|(backend, _)| cluster.has(backend))?;
            let (backend, mut stream) = self.0.swap_remove(at);
            if stream.recv.try_recv().is_none() {
                return Some(Lease::again(backend, stream));
            }
        }
    }

    /// Keeps one for the client's next request.
    pub(super) fn keep(&mut self, backend: Rc<Backend>, stream: Stream) {
        if self.0.len() >= MAX_CONNECTIONS {
            self.0.remove(0);
        }
        self.0.push((backend, stream));
    }
}

/// True if a field of credentials or challenges (RFC 9110 section 11) names a scheme that logs a connection in. Too often at
/// worst, where a quoted text says so.
pub(crate) fn logs_connections_in(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| {
        let scheme = part.trim_ascii_start().split(|byte| matches!(byte, b' ' | b'\t')).next();
        scheme
            .is_some_and(|name| name.eq_ignore_ascii_case(b"ntlm") || name.eq_ignore_ascii_case(b"negotiate"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_found_among_others() {
        for value in
            ["NTLM", "ntlm TlRMTVNTUAAB", "Basic realm=\"a\", Negotiate", "Digest a=b,NTLM", "Negotiate\tYII"]
        {
            assert!(logs_connections_in(value.as_bytes()), "{value}");
        }
        for value in ["", "Basic bnRsbQ==", "Bearer NTLM", "NTLMv2", "Digest realm=\"NTLM\""] {
            assert!(!logs_connections_in(value.as_bytes()), "{value}");
        }
    }
}
