//! Filters in the form in which they are applied.
//!
//! Each backend of a rule has the rule's edits and its own. Names and values are shared: a rule may have 256
//! KiB of them and sixteen backends.

use std::sync::Arc;

use gateway_grammar::names::{REASON_HEADER, is_alias, is_framing_field};
use gateway_grammar::{Authority, token};
use gateway_ir::{Filter, HeaderChange, HeaderMod, HostRewrite, check_name};

use crate::Cors;
use crate::rewrite::PathRewrite;

/// Everything that a rule, or a rule and one of its backends, changes on the way through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Edits of the request's header section, to be applied in this order. None of them concerns `host` or a
    /// field that frames messages.
    pub request: Vec<FieldEdit>,
    /// Edits of the response's header section, to be applied in this order; none concerns framing or
    /// `x-sluice-reason`.
    pub response: Vec<FieldEdit>,
    /// The `Host` to send instead of the client's.
    pub host: Option<Box<[u8]>>,
    /// The path to send instead of the client's.
    pub path: Option<PathRewrite>,
    /// The leave of pages of other origins: applied before all else to a request, and after all else to a response.
    pub cors: Option<Box<Cors>>,
    /// A name in `request` holds `_`.
    pub(crate) underscores: bool,
}

/// One change of a header section. Names are in lower case and compare without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldEdit {
    /// Remove every line of the name, then append this one.
    Set {
        /// Field name.
        name: Arc<str>,
        /// Field value.
        value: Arc<[u8]>,
    },
    /// Append a line.
    Add {
        /// Field name.
        name: Arc<str>,
        /// Field value.
        value: Arc<[u8]>,
    },
    /// Remove every line of the name.
    Remove {
        /// Field name.
        name: Arc<str>,
    },
}

impl Filters {
    /// True if nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These filters followed by `more`. Of two new hosts, paths or `CORS` the later one counts: a backend's
    /// `URLRewrite` works on the client's path, not on what the rule made of it.
    ///
    /// # Errors
    /// A line that names the value that could not be sent without changing the message around it.
    pub(crate) fn followed_by(&self, more: &[Filter]) -> Result<Self, String> {
        let mut all = self.clone();
        for filter in more {
            match filter {
                Filter::RequestHeaders(change) => all.edit_request(change)?,
                Filter::ResponseHeaders(change) => all.edit_response(change)?,
                Filter::UrlRewrite { host, path } => {
                    if let Some(HostRewrite(host)) = host {
                        all.host = Some(authority(host)?);
                    }
                    if let Some(path) = path {
                        all.path = Some(PathRewrite::compile(path)?);
                    }
                }
                // It changes nothing; targets have theirs.
                Filter::Mirror(_) => {}
                Filter::Cors(cors) => all.cors = Some(Box::new(Cors::compile(cors)?)),
            }
        }
        Ok(all)
    }

    /// A request has one `Host` line always (RFC 9112 section 3.2): setting it is a new host, adding to it or
    /// removing it changes nothing.
    fn edit_request(&mut self, change: &HeaderMod) -> Result<(), String> {
        for set in change.set.iter().filter(|set| set.name.eq_ignore_ascii_case("host")) {
            self.host = Some(authority(&set.value)?);
        }
        let before = self.request.len();
        edits(change, &mut self.request)?;
        let added = self.request.split_off(before);
        self.request.extend(added.into_iter().filter(|edit| edit.name() != "host"));
        self.underscores = self.request.iter().any(|edit| edit.name().contains('_'));
        Ok(())
    }

    /// Only the proxy gives the reason of a local reply.
    fn edit_response(&mut self, change: &HeaderMod) -> Result<(), String> {
        edits(change, &mut self.response)?;
        self.response.retain(|edit| edit.name() != REASON_HEADER);
        Ok(())
    }

    /// True if a request field could be taken for one that these filters set or remove, by a server to which
    /// `_` and `-` are one (see [`is_alias`]), and is not that field itself.
    pub fn shadows(&self, name: &[u8]) -> bool {
        self.request.iter().any(|edit| match edit {
            FieldEdit::Set { name: own, .. } | FieldEdit::Remove { name: own } => {
                is_alias(own.as_bytes(), name) && !own.as_bytes().eq_ignore_ascii_case(name)
            }
            FieldEdit::Add { .. } => false,
        })
    }

    /// True if these filters change a request field of that name, or of one that could be taken for it.
    pub fn concern(&self, name: &[u8]) -> bool {
        self.request.iter().any(|edit| is_alias(edit.name().as_bytes(), name))
    }

    /// True if the name of a request field that is set or removed holds `_`, so that [`Self::shadows`] may
    /// hold of a name that has none.
    pub fn have_underscores(&self) -> bool {
        self.underscores
    }
}

impl FieldEdit {
    /// The field that it changes.
    pub fn name(&self) -> &str {
        match self {
            Self::Set { name, .. } | Self::Add { name, .. } | Self::Remove { name } => name,
        }
    }
}

fn edits(change: &HeaderMod, out: &mut Vec<FieldEdit>) -> Result<(), String> {
    let free = |name: &str| !is_framing_field(name.as_bytes());
    for set in &change.set {
        let (name, value) = line(set)?;
        if free(&name) {
            out.push(FieldEdit::Set { name, value });
        }
    }
    for add in &change.add {
        let (name, value) = line(add)?;
        if free(&name) {
            out.push(FieldEdit::Add { name, value });
        }
    }
    for name in &change.remove {
        let name = field_name(name)?;
        if free(&name) {
            out.push(FieldEdit::Remove { name });
        }
    }
    Ok(())
}

fn line(change: &HeaderChange) -> Result<(Arc<str>, Arc<[u8]>), String> {
    change.check()?;
    Ok((field_name(&change.name)?, token::trim_ows(change.value.as_bytes()).into()))
}

fn field_name(name: &str) -> Result<Arc<str>, String> {
    check_name(name)?;
    Ok(name.to_ascii_lowercase().into())
}

fn authority(host: &str) -> Result<Box<[u8]>, String> {
    if Authority::parse(host.as_bytes()).is_none() {
        return Err(format!("{host:?} is no host"));
    }
    Ok(host.as_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, value: &str) -> HeaderChange {
        HeaderChange { name: name.into(), value: value.into() }
    }

    fn request(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> Filter {
        let list = |list: &[(&str, &str)]| list.iter().map(|(name, value)| change(name, value)).collect();
        let remove = remove.iter().map(|&name| name.to_owned()).collect();
        Filter::RequestHeaders(HeaderMod { set: list(set), add: list(add), remove })
    }

    #[test]
    fn edits_keep_their_order_and_fold_names() {
        let filters =
            Filters::default().followed_by(&[request(&[("X-A", "1")], &[("X-B", " 2 ")], &["X-C"])]).unwrap();
        assert_eq!(
            filters.request,
            [
                FieldEdit::Set { name: "x-a".into(), value: (*b"1").into() },
                FieldEdit::Add { name: "x-b".into(), value: (*b"2").into() },
                FieldEdit::Remove { name: "x-c".into() },
            ]
        );
    }

    #[test]
    fn host_is_rewritten_and_framing_is_left_alone() {
        let filters = Filters::default()
            .followed_by(&[
                request(&[("Host", "a.example")], &[("host", "b.example")], &["host"]),
                request(&[("Transfer-Encoding", "chunked")], &[("content-length", "3")], &["Connection"]),
            ])
            .unwrap();
        assert!(filters.request.is_empty());
        assert_eq!(filters.host.as_deref(), Some(b"a.example".as_slice()));
    }

    #[test]
    fn nothing_can_break_out_of_its_line() {
        let rewrite = |host: Option<&str>, path: Option<&str>| Filter::UrlRewrite {
            host: host.map(|host| HostRewrite(host.into())),
            path: path.map(|path| gateway_ir::PathRewrite::Full(path.into())),
        };
        for bad in [
            request(&[("a b", "1")], &[], &[]),
            request(&[("", "1")], &[], &[]),
            request(&[], &[("a", "1\r\nb: 2")], &[]),
            request(&[("host", "a b")], &[], &[]),
            request(&[], &[], &["a:"]),
            rewrite(Some("a\r\nb"), None),
            rewrite(Some("a/b"), None),
            rewrite(None, Some("/a b")),
            rewrite(None, Some("/a\r\n")),
            rewrite(None, Some("/a#b")),
        ] {
            assert!(Filters::default().followed_by(std::slice::from_ref(&bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_later_rewrite_counts() {
        let rewrite = |host: &str| Filter::UrlRewrite { host: Some(HostRewrite(host.into())), path: None };
        let rule = Filters::default().followed_by(&[rewrite("rule.example")]).unwrap();
        let both = rule.followed_by(&[rewrite("backend.example")]).unwrap();
        assert_eq!(both.host.as_deref(), Some(b"backend.example".as_slice()));
    }
}
