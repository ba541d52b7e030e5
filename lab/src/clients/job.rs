//! A case over one transport and of one size, and the judgment of a try.

use super::case::{Case, Content};
use super::content;
use super::observation::Observation;
use super::testbed;
use super::transport::Transport;

/// One request to make, so many times.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) case: &'static Case,
    pub(super) transport: Transport,
    /// Bytes of the content of a case that is sized, else 0.
    pub(super) size: usize,
    pub(super) tries: u32,
    /// The client speaks HTTP/2, with prior knowledge or by ALPN.
    pub(super) http2: bool,
    /// The response's content where that is known.
    wanted: Option<content::Digest>,
}

impl Job {
    pub(super) fn new(case: &'static Case, transport: Transport, size: usize, tries: u32) -> Self {
        let wanted = match case.content {
            Content::Any => None,
            Content::Nothing => Some(content::digest(b"")),
            Content::Text => Some(content::digest(content::TEXT)),
            Content::Stream => Some(content::digest(&content::stream())),
            Content::Pattern => Some(content::digest(&content::pattern(size))),
            Content::Received => Some(content::digest(content::received(size).as_bytes())),
        };
        Self { case, transport, size, tries, http2: false, wanted }
    }

    /// The same over HTTP/2, or HTTP/1.1.
    pub(super) fn over_http2(self, http2: bool) -> Self {
        Self { http2, ..self }
    }

    /// Path and query.
    pub(super) fn target(&self) -> String {
        match self.case.content {
            Content::Pattern => format!("{}?{}", self.case.path, self.size),
            _ => self.case.path.to_owned(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        match (self.transport, self.case.server_name) {
            (Transport::Clear, _) => testbed::HTTP,
            (_, "") => testbed::HTTPS,
            _ => testbed::HTTPS_OF_ONE_NAME,
        }
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.transport == Transport::Clear { "http" } else { "https" };
        format!("{scheme}://{}:{}{}", testbed::HOST, self.port(), self.target())
    }

    /// The server name of a handshake.
    pub(super) fn server_name(&self) -> &'static str {
        if self.case.server_name.is_empty() { testbed::HOST } else { self.case.server_name }
    }

    /// The request without content, as one writes it by hand.
    pub(super) fn text(&self, fields: &str) -> String {
        let (method, target, port) = (self.case.method, self.target(), self.port());
        format!("{method} {target} HTTP/1.1\r\nHost: {}:{port}\r\n{fields}\r\n", self.server_name())
    }

    /// Its line in a file of jobs, under this number.
    pub(super) fn line(&self, number: usize) -> String {
        let Case { action, method, body, gzip, expect, field, server_name, .. } = self.case;
        let (action, body, version) = (action.name(), body.name(), self.transport.version());
        let http = if self.http2 { "2" } else { "1.1" };
        let (url, size, times, tries) = (self.url(), self.size, self.case.times(), self.tries);
        format!(
            "job={number}\tdoes={action}\tmethod={method}\turl={url}\tbody={body}\tsize={size}\tgzip={gzip}\t\
             expect={expect}\ttimes={times}\ttries={tries}\ttls={version}\thttp={http}\tname={server_name}\tfield={field}"
        )
    }

    /// The reason why a client did not see what it should, if there is one.
    pub(super) fn failure(&self, seen: &Observation) -> Option<String> {
        if let Some(error) = &seen.error {
            return Some(error.clone());
        }
        let (times, status) = (self.case.times() as usize, self.case.status);
        if seen.statuses.len() != times || seen.statuses.iter().any(|seen| *seen != status) {
            return Some(format!("status {:?}", seen.statuses));
        }
        if let Some(wanted) = &self.wanted
            && (seen.length != wanted.length || !["", &wanted.sha256].contains(&seen.sha256.as_str()))
        {
            return Some(format!("other content: {} of {} bytes", seen.length, wanted.length));
        }
        if self.http2 && seen.version.as_deref() != Some("2") {
            return Some(format!("over HTTP/{}", seen.version.as_deref().unwrap_or("?")));
        }
        match self.case.action {
            super::case::Action::Keep if seen.connections != Some(1) => Some(format!(
                "connections: {}",
                seen.connections.map_or("not known".into(), |n| n.to_string())
            )),
            super::case::Action::Resume if seen.resumed != Some(true) => Some("not resumed".to_owned()),
            super::case::Action::Trailers if seen.trailer.as_deref() != Some(content::TRAILER.1) => {
                Some(format!("trailer {:?}", seen.trailer))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::CASES;
    use super::*;

    fn job(name: &str, size: usize) -> Job {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        Job::new(case, Transport::Tls13, size, 1)
    }

    fn text() -> Observation {
        Observation::of(200, content::TEXT)
    }

    #[test]
    fn status_and_content_must_be_right() {
        assert_eq!(job("get", 0).failure(&text()), None);
        let cut = Observation::of(200, &content::TEXT[1..]);
        assert_eq!(job("get", 0).failure(&cut).unwrap(), "other content: 59 of 60 bytes");
        let refused = Observation::of(502, content::TEXT);
        assert_eq!(job("get", 0).failure(&refused).unwrap(), "status [502]");
        assert!(job("get", 0).failure(&Observation::default()).is_some(), "nothing was seen");
        let broken = Observation { error: Some("EPIPE".to_owned()), ..text() };
        assert_eq!(job("get", 0).failure(&broken).unwrap(), "EPIPE");
        assert_eq!(job("post-404", 9).failure(&Observation::of(404, b"any")), None);
    }

    #[test]
    fn a_client_that_shows_the_length_alone_is_judged_by_it() {
        let long = |length| Observation { sha256: String::new(), length, ..text() };
        assert_eq!(job("get", 0).failure(&long(60)), None);
        assert_eq!(job("get", 0).failure(&long(59)).unwrap(), "other content: 59 of 60 bytes");
    }

    #[test]
    fn version_and_trailer_must_be_the_ones_that_were_asked_for() {
        let by = |version: &str| Observation { version: Some(version.to_owned()), ..text() };
        let http2 = || job("get", 0).over_http2(true);
        assert_eq!(http2().failure(&by("2")), None);
        assert_eq!(http2().failure(&by("1.1")).unwrap(), "over HTTP/1.1");
        assert_eq!(http2().failure(&text()).unwrap(), "over HTTP/?");
        let trailer = |value: &str| Observation { trailer: Some(value.to_owned()), ..text() };
        assert_eq!(job("trailers", 0).failure(&trailer(content::TRAILER.1)), None);
        assert!(job("trailers", 0).failure(&trailer("another")).is_some());
        assert!(job("trailers", 0).failure(&text()).is_some());
    }

    #[test]
    fn connections_and_sessions_must_be_the_old_ones() {
        let kept = |connections| Observation { statuses: vec![200; 5], connections, ..text() };
        assert_eq!(job("keep", 0).failure(&kept(Some(1))), None);
        assert!(job("keep", 0).failure(&kept(Some(2))).is_some());
        assert!(job("keep", 0).failure(&kept(None)).is_some(), "nobody counted");
        assert!(job("keep", 0).failure(&text()).is_some(), "one of five");
        let resumed = |resumed| Observation { statuses: vec![200; 2], resumed, ..text() };
        assert_eq!(job("resume", 0).failure(&resumed(Some(true))), None);
        assert!(job("resume", 0).failure(&resumed(Some(false))).is_some());
        assert!(job("resume", 0).failure(&resumed(None)).is_some());
    }
}
