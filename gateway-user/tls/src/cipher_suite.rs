//! Names of cipher suites that listeners may be limited to.

use rustls::CipherSuite as Id;

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherSuite {
    iana: &'static str,
    openssl: &'static str,
    pub(crate) id: Id,
}

const fn suite(iana: &'static str, openssl: &'static str, id: Id) -> CipherSuite {
    CipherSuite { iana, openssl, id }
}

/// Those that the TLS library has, all of them with forward secrecy and authenticated encryption: of TLS 1.3 (RFC 8446
/// appendix B.4), which OpenSSL names as IANA does, then of TLS 1.2 (RFC 5289, RFC 7905).
const ALL: [CipherSuite; 9] = [
    suite("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", Id::TLS13_AES_256_GCM_SHA384),
    suite("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", Id::TLS13_AES_128_GCM_SHA256),
    suite("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", Id::TLS13_CHACHA20_POLY1305_SHA256),
    suite(
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        Id::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        Id::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        Id::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    suite(
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        Id::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    suite(
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        Id::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    suite(
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
        Id::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

impl CipherSuite {
    /// The suite of a name of IANA's or OpenSSL's, in any case; `None` if the TLS library has none of that name.
    pub fn named(name: &str) -> Option<Self> {
        let is_same = |own: &str| own.eq_ignore_ascii_case(name);
        ALL.into_iter().find(|suite| is_same(suite.iana) || is_same(suite.openssl))
    }

    /// IANA's name.
    pub fn name(self) -> &'static str {
        self.iana
    }

    /// True if it is of TLS 1.3, which has suites of its own.
    pub fn is_tls13(self) -> bool {
        self.iana == self.openssl
    }

    /// Every suite that there is.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_has_every_suite_and_no_other() {
        let mut library: Vec<_> =
            crate::provider().cipher_suites.iter().map(|suite| u16::from(suite.suite())).collect();
        let mut named: Vec<_> = CipherSuite::all().map(|suite| u16::from(suite.id)).collect();
        library.sort_unstable();
        named.sort_unstable();
        assert_eq!(library, named);
    }

    #[test]
    fn both_names_are_known_and_bad_suites_are_not() {
        let iana = CipherSuite::named("tls_ecdhe_rsa_with_aes_128_gcm_sha256");
        assert_eq!(iana, CipherSuite::named("ECDHE-RSA-AES128-GCM-SHA256"));
        assert!(iana.is_some_and(|suite| !suite.is_tls13()));
        assert!(CipherSuite::named("TLS_AES_128_GCM_SHA256").is_some_and(CipherSuite::is_tls13));
        for bad in ["", "AES128-SHA", "ECDHE-RSA-AES128-SHA256", "DES-CBC3-SHA", "NULL", "HIGH"] {
            assert_eq!(CipherSuite::named(bad), None, "{bad}");
        }
    }
}
