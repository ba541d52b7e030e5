//! Validity of values that filters write into messages. Status is decided by these functions and tables are
//! compiled by them, so that a rule that is accepted is a rule that is served.

use gateway_grammar::{Authority, Scheme, status, token};

use crate::{Filter, HeaderChange, HeaderMod, HostRewrite, PathRewrite, Redirect};

impl Filter {
    /// True if everything that the filter writes can be written.
    ///
    /// # Errors
    /// A line that names the value, and what to write instead where that can be said.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::RequestHeaders(change) => {
                let hosts = change.set.iter().filter(|set| set.name.eq_ignore_ascii_case("host"));
                hosts.map(|set| HostRewrite(set.value.clone())).try_for_each(|host| host.check())?;
                change.check()
            }
            Self::ResponseHeaders(change) => change.check(),
            Self::UrlRewrite { host, path } => {
                host.iter().try_for_each(HostRewrite::check)?;
                path.iter().try_for_each(|path| path.parts().map(drop))
            }
            Self::Cors(cors) => cors.check(),
            Self::Mirror(mirror) => mirror.share.check(),
        }
    }
}

impl HostRewrite {
    /// # Errors
    /// It is no host.
    pub fn check(&self) -> Result<(), String> {
        Authority::parse(self.0.as_bytes()).map(drop).ok_or_else(|| format!("{:?} is no host", self.0))
    }
}

impl PathRewrite {
    /// The path, and the query that takes the place of the request's if there is a `?`.
    ///
    /// # Errors
    /// A character that cannot stand in a request line or a `Location` as it is (RFC 3986 sections 3.3 and
    /// 3.4), with its percent-encoding.
    pub fn parts(&self) -> Result<(&str, Option<&str>), String> {
        let (Self::Full(text) | Self::Prefix(text)) = self;
        let stands = |c: &char| c.is_ascii_graphic() && !"#\"<>\\^`{|}".contains(*c);
        let Some(wrong) = text.chars().find(|c| !stands(c)) else {
            return Ok(match text.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (text, None),
            });
        };
        if wrong == '#' {
            return Err(format!(
                "{text:?} has a fragment, which is never sent; leave # and what follows away, or write %23"
            ));
        }
        let mut bytes = [0; 4];
        let encoded: String =
            wrong.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect();
        Err(format!("{text:?} has {wrong:?} in it, which no path can have; write {encoded}"))
    }
}

impl Redirect {
    /// # Errors
    /// A line that names the part that cannot be served.
    pub fn check(&self) -> Result<(), String> {
        if let Some(scheme) = self.scheme.as_deref().filter(|scheme| Scheme::parse(scheme).is_none()) {
            return Err(format!("{scheme:?} is no scheme to redirect to; use http or https"));
        }
        if let Some(hostname) =
            self.hostname.as_deref().filter(|host| Authority::parse(host.as_bytes()).is_none())
        {
            return Err(format!("{hostname:?} is no hostname to redirect to"));
        }
        if !status::REDIRECTS.contains(&self.status) {
            return Err(format!("{} is no status to redirect with", self.status));
        }
        self.path.iter().try_for_each(|path| path.parts().map(drop))
    }
}

impl HeaderMod {
    fn check(&self) -> Result<(), String> {
        self.set.iter().chain(&self.add).try_for_each(HeaderChange::check)?;
        self.remove.iter().try_for_each(|name| check_name(name))
    }
}

impl HeaderChange {
    /// # Errors
    /// The name is no token (RFC 9110 section 5.6.2), or the value has a control character that would end the
    /// line or be read differently by the next hop (section 5.5).
    pub fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        if !token::trim_ows(self.value.as_bytes()).iter().all(|byte| token::is_value_byte(*byte)) {
            return Err(format!(
                "the value of header {:?} has control characters in it; take them away",
                self.name
            ));
        }
        Ok(())
    }
}

/// # Errors
/// `name` is no field name (RFC 9110 section 5.6.2).
pub fn check_name(name: &str) -> Result<(), String> {
    token::is_token(name.as_bytes()).then_some(()).ok_or_else(|| format!("{name:?} is no header name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_is_a_path_and_may_have_a_query() {
        let parts = |text: &str| {
            PathRewrite::Full(text.to_owned())
                .parts()
                .map(|(path, query)| (path.to_owned(), query.map(str::to_owned)))
        };
        let good = |path: &str, query: Option<&str>| Ok((path.to_owned(), query.map(str::to_owned)));
        assert_eq!(parts("/a%20b;c=1/@:!$&'()*+,="), good("/a%20b;c=1/@:!$&'()*+,=", None));
        assert_eq!(parts("/index.php?page=1&a=/?"), good("/index.php", Some("page=1&a=/?")));
        assert_eq!(parts("?"), good("", Some("")));
        for (text, advice) in
            [("/a b", "%20"), ("/\u{e9}", "%C3%A9"), ("/\"", "%22"), ("/\r\n", "%0D"), ("/#a", "%23")]
        {
            let error = parts(text).unwrap_err();
            assert!(error.contains(advice), "{error}");
            // The advice works.
            let followed: String = text
                .chars()
                .map(|c| match c.is_ascii_graphic() && !"\"#".contains(c) {
                    true => c.to_string(),
                    false => c.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect(),
                })
                .collect();
            assert!(parts(&followed).is_ok(), "{followed}");
        }
    }
}
