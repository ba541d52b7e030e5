//! Filters that decide about requests, where others change them.

use gateway_grammar::OriginPattern;
use serde::{Deserialize, Serialize};

use crate::{ClusterKey, check_name};

/// Every origin, method or header name.
pub const ANY: &str = "*";

/// `CORS`: pages of other origins that may use the responses (Fetch standard, CORS protocol; GEP-1767).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cors {
    /// Patterns of origins, each as written, or [`ANY`] alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Pages may send credentials.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub credentials: bool,
    /// Methods beside GET, HEAD and POST, or [`ANY`] alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Names of request fields, or [`ANY`] alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Names of response fields that pages may read, or [`ANY`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<String>,
    /// Seconds for which the response to a preflight may be kept.
    pub max_age: u32,
}

/// `RequestMirror`: copies of requests to a backend whose responses nobody sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mirror {
    /// The destination of the copies.
    pub cluster: ClusterKey,
    /// The share of requests that are copied.
    #[serde(default, skip_serializing_if = "Share::is_all")]
    pub share: Share,
}

/// `numerator` of `denominator` requests, each chosen by itself (GEP-3171).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Share {
    /// 0 to `denominator`.
    pub numerator: u32,
    /// At least 1.
    pub denominator: u32,
}

impl Default for Share {
    /// All requests.
    fn default() -> Self {
        Self { numerator: 1, denominator: 1 }
    }
}

impl Share {
    /// True if it is all requests.
    pub fn is_all(&self) -> bool {
        self.numerator == self.denominator
    }

    /// True if it is a share.
    ///
    /// # Errors
    /// A line that says what a share is.
    pub(crate) fn check(self) -> Result<(), String> {
        let Self { numerator, denominator } = self;
        match denominator > 0 && numerator <= denominator {
            true => Ok(()),
            false => {
                Err(format!("{numerator} of {denominator} is no share; write 0 up to all of at least 1"))
            }
        }
    }
}

impl Cors {
    /// True if everything can be compared and written.
    ///
    /// # Errors
    /// A line that names the value.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.origins.iter().try_for_each(|origin| Self::check_origin(origin))?;
        let names = [&self.methods, &self.headers, &self.exposed];
        names.into_iter().flatten().try_for_each(|name| check_name(name))
    }

    /// True if `origin` is [`ANY`] or a pattern.
    ///
    /// # Errors
    /// A line that says how origins are written.
    pub fn check_origin(origin: &str) -> Result<(), String> {
        if origin == ANY || OriginPattern::parse(origin).is_some() {
            return Ok(());
        }
        Err(format!(
            "{origin:?} is no origin; write http:// or https:// and a host such as www.example.com, *.example.com or *, \
             and after it the port, 1 to 65535, if it is not the scheme's"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_none_up_to_all() {
        let share = |numerator, denominator| Share { numerator, denominator };
        for good in [share(0, 1), share(1, 1), share(25, 50), share(u32::MAX, u32::MAX), Share::default()] {
            assert_eq!(good.check(), Ok(()), "{good:?}");
        }
        for bad in [share(0, 0), share(2, 1), share(1, 0)] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(Share::default().is_all() && share(50, 50).is_all() && !share(1, 2).is_all());
    }

    #[test]
    fn origins_are_checked_with_the_way_to_write_them() {
        for good in ["*", "https://a.example", "http://*.a.example:8080", "https://*"] {
            assert_eq!(Cors::check_origin(good), Ok(()), "{good}");
        }
        for bad in ["", "a.example", "https://a.example/", "https://a.example:0", "https://*a.example"] {
            let message = Cors::check_origin(bad).unwrap_err();
            assert!(message.contains("write http://"), "{message}");
        }
    }
}
