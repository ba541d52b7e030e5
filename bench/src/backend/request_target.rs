//! The request targets that the backend serves.

use std::time::Duration;

use hyper::{Method, Uri};

use crate::id::{RequestId, Tag};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestTarget {
    Download { length: u64, id: Option<RequestId>, over: Duration, chunked: bool },
    Upload { id: Option<RequestId> },
    Arrivals(Tag),
}

impl RequestTarget {
    pub(super) fn parse(method: &Method, uri: &Uri) -> Option<Self> {
        let query = |name: &str| {
            let mut pairs =
                uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let id = match query("id") {
            Some(id) => Some(id.parse().ok()?),
            None => None,
        };
        let (first, rest) = match uri.path().strip_prefix('/')?.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (uri.path().strip_prefix('/')?, None),
        };
        match (method, first, rest) {
            (&Method::GET, "download", Some(length)) => Some(Self::Download {
                length: length.parse().ok()?,
                id,
                over: Duration::from_millis(query("over").map_or(Ok(0), str::parse).ok()?),
                chunked: query("chunked") == Some("1"),
            }),
            (&Method::POST, "upload", None) => Some(Self::Upload { id }),
            (&Method::GET, "witness", Some(tag)) => Some(Self::Arrivals(tag.parse().ok()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, target: &str) -> Option<RequestTarget> {
        RequestTarget::parse(&method, &target.parse().unwrap())
    }

    #[test]
    fn targets_are_understood() {
        let id = Tag::new(1).request(2);
        let (over, chunked) = (Duration::from_millis(5), true);
        assert_eq!(
            parse(Method::GET, &format!("/download/9?id={id}&over=5&chunked=1")),
            Some(RequestTarget::Download { length: 9, id: Some(id), over, chunked })
        );
        assert_eq!(parse(Method::POST, "/upload"), Some(RequestTarget::Upload { id: None }));
        assert_eq!(parse(Method::GET, "/witness/000001"), Some(RequestTarget::Arrivals(Tag::new(1))));
        for nonsense in ["/", "/download", "/download/x", "/download/1?id=2", "/upload", "/witness/zz"] {
            assert_eq!(parse(Method::GET, nonsense), None, "{nonsense}");
        }
    }
}
