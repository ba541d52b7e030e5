//! The digest by which two nodes tell whether they serve a Gateway alike.

mod hashed;

use std::collections::BTreeMap;
use std::fmt;

use gateway_ir::{Ir, ListenerId, ObjectName};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Stands for everything a node serves of a Gateway but its routes: addresses, ports, protocols, hostnames,
/// and certificates by their fingerprints.
///
/// Two nodes that report the same digest serve the Gateway alike, whatever generation of it either has seen.
/// Routes are left out: they change all the time, and no condition of a Gateway speaks of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GatewayDigest(
    /// 16 hexadecimal digits.
    pub String,
);

impl fmt::Display for GatewayDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The digest of every Gateway that is served at all, but for the listeners of its sets.
pub fn digests(ir: &Ir) -> BTreeMap<ObjectName, GatewayDigest> {
    of(ir, |id| id.set.is_none().then_some(&id.gateway))
}

/// The digest of every ListenerSet that is served at all. Each has its own: a set that is edited is no reason to wait for its
/// Gateway, or for others.
pub fn set_digests(ir: &Ir) -> BTreeMap<ObjectName, GatewayDigest> {
    of(ir, |id| id.set.as_ref())
}

/// The digests of listeners, together by the name that they have in `name`.
fn of(ir: &Ir, name: impl Fn(&ListenerId) -> Option<&ObjectName>) -> BTreeMap<ObjectName, GatewayDigest> {
    let mut hashes: BTreeMap<&ObjectName, Sha256> = BTreeMap::new();
    for bind in &ir.binds {
        for listener in &bind.listeners {
            let Some(name) = name(&listener.id) else { continue };
            let hash = hashes.entry(name).or_default();
            // Plain data without maps of structured keys, which is all that could fail.
            hash.update(serde_json::to_vec(&hashed::Bind::new(bind, listener)).unwrap_or_default());
        }
    }
    let short = |hash: Sha256| {
        hash.finalize().iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    };
    hashes.into_iter().map(|(name, hash)| (name.clone(), GatewayDigest(short(hash)))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gateway_ir::{
        Bind, BindAddress, Certificate, Hostname, Listener, ListenerSettings, ListenerTls, PrivateKey,
        RouteId, RouteKind, Serve, SharedMap, TlsVersion,
    };

    use super::*;

    fn ir(port: u16, hostname: Option<&str>, routes: usize) -> Ir {
        let gateway = ObjectName::new("edge", "gw");
        let route = |n: usize| {
            let id = RouteId { kind: RouteKind::HTTPRoute, object: ObjectName::new("edge", n.to_string()) };
            (id, Arc::default())
        };
        let listener = Listener {
            id: ListenerId::of_gateway(gateway, "web"),
            hostname: hostname.map(|text| Hostname::parse(text).unwrap()),
            serve: Serve::Http,
            tls: None,
            settings: ListenerSettings::default(),
            backend_certificate: None,
            routes: (0..routes).map(route).collect(),
        };
        let bind = Bind { address: BindAddress::Any, port, listeners: vec![listener] };
        Ir { binds: vec![bind], ..Ir::default() }
    }

    #[test]
    fn a_digest_follows_the_listeners_and_not_the_routes() {
        let base = digests(&ir(80, None, 0));
        assert_eq!(base.len(), 1);
        assert_eq!(base.values().next().unwrap().0.len(), 16);
        assert_eq!(base, digests(&ir(80, None, 3)), "routes have no part in it");
        let secured = |fingerprint: &str| {
            let mut ir = ir(80, None, 0);
            let certificate = Certificate {
                secret: ObjectName::new("edge", "cert"),
                names: Vec::new(),
                not_before: 0,
                not_after: 0,
                fingerprint: fingerprint.to_owned(),
                chain: Vec::new(),
                key: PrivateKey(Vec::new()),
                staple: None,
            };
            let tls = ListenerTls { certificates: vec![Arc::new(certificate)], ..ListenerTls::default() };
            ir.binds[0].listeners[0].tls = Some(tls);
            digests(&ir)
        };
        assert_eq!(secured("a"), secured("a"));
        assert_ne!(secured("a"), secured("b"), "a renewed certificate is another one");
        assert_ne!(base, digests(&ir(81, None, 0)));
        assert_ne!(base, digests(&ir(80, Some("a.example.com"), 0)));
    }

    fn certificate(name: &str, names: usize) -> Arc<Certificate> {
        Arc::new(Certificate {
            secret: ObjectName::new("edge", name),
            names: (0..names).map(|n| format!("{n}.example.com")).collect(),
            not_before: -1,
            not_after: 1_800_000_000,
            fingerprint: "ab:cd".to_owned(),
            chain: vec![vec![1], vec![2, 3]],
            key: PrivateKey(vec![4]),
            staple: None,
        })
    }

    /// Nodes of the previous version compare their digests with these: a value that changes leaves
    /// `Programmed` behind for as long as a cluster is updated.
    #[test]
    fn digests_are_those_of_the_versions_before() {
        let listener =
            |gateway: &str, name: &str, hostname: Option<&str>, tls: Option<ListenerTls>| Listener {
                id: ListenerId::of_gateway(ObjectName::new("edge", gateway), name),
                hostname: hostname.map(|text| Hostname::parse(text).unwrap()),
                serve: if tls.is_some() { Serve::Https } else { Serve::Http },
                tls,
                settings: ListenerSettings::default(),
                backend_certificate: None,
                routes: SharedMap::new(),
            };
        let tls = |certificates: &[&Arc<Certificate>], min_version, is_default| {
            let certificates = certificates.iter().map(|one| Arc::clone(one)).collect();
            Some(ListenerTls { certificates, min_version, is_default, ..ListenerTls::default() })
        };
        let (short, long) = (certificate("short", 2), certificate("long", 200));
        let ip = |text: &str| BindAddress::Ip(text.parse().unwrap());
        let bind = |address, port, listeners| Bind { address, port, listeners };
        let ir = Ir {
            binds: vec![
                bind(
                    BindAddress::Any,
                    80,
                    vec![
                        listener("plain", "web", None, None),
                        listener("hosts", "exact", Some("a.example.com"), None),
                        listener("hosts", "wildcard", Some("*.example.com"), None),
                    ],
                ),
                bind(ip("10.0.0.1"), 8080, vec![listener("addresses", "v4", None, None)]),
                bind(ip("fd00::1"), 8080, vec![listener("addresses", "v6", None, None)]),
                bind(
                    BindAddress::Any,
                    443,
                    vec![
                        listener("none", "tls", Some("none.example.com"), tls(&[], TlsVersion::Tls12, false)),
                        listener(
                            "one",
                            "tls",
                            Some("one.example.com"),
                            tls(&[&short], TlsVersion::Tls12, false),
                        ),
                        listener("two", "tls", None, tls(&[&short, &long], TlsVersion::Tls13, true)),
                    ],
                ),
            ],
            ..Ir::default()
        };
        let got: String = digests(&ir).iter().map(|(name, digest)| format!("{name} {digest}\n")).collect();
        let wanted = "\
edge/addresses 566c096d22f1cefd
edge/hosts 841eb69bfb7e4eaa
edge/none 9614c26283af2828
edge/one 57fc668c9c7fe1f3
edge/plain 5ce352a372eba825
edge/two a75f874cd0bf1343
";
        assert_eq!(got, wanted);
    }
}
