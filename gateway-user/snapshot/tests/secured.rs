//! Which listener secures a connection, and which requests it must not serve.

mod support;

use std::sync::Arc;

use gateway_ir::{
    Bind, BindAddress, Certificate, Generation, Ir, ListenerTls, ObjectName, PrivateKey, Serve,
};
use gateway_snapshot::{Snapshot, compile, compile_with};

fn certificate(name: &str) -> Arc<Certificate> {
    Arc::new(Certificate {
        secret: ObjectName::new("edge", name),
        names: Vec::new(),
        not_before: 0,
        not_after: 0,
        fingerprint: name.to_owned(),
        chain: Vec::new(),
        key: PrivateKey(Vec::new()),
        staple: None,
    })
}

/// Listeners by their hostnames, each with the certificates of those names.
fn ir(listeners: &[(&str, &[&str])]) -> Ir {
    let listener = |(hostname, certificates): &(&str, &[&str])| {
        let mut listener = support::listener(hostname, hostname, &[]);
        let certificates = certificates.iter().map(|name| certificate(name)).collect();
        listener.serve = Serve::Https;
        listener.tls = Some(ListenerTls { certificates, ..ListenerTls::default() });
        listener
    };
    let bind =
        Bind { address: BindAddress::Any, port: 443, listeners: listeners.iter().map(listener).collect() };
    Ir { binds: vec![bind], ..Ir::default() }
}

fn bind(snapshot: &Snapshot) -> &gateway_snapshot::BindTable {
    snapshot.bind("127.0.0.1:443".parse().unwrap()).unwrap()
}

const FOUR: [(&str, &[&str]); 4] = [
    ("", &["any"]),
    ("second-example.org", &["second"]),
    ("*.wildcard.org", &["wild"]),
    ("fourth-example.wildcard.org", &["fourth"]),
];

#[test]
fn the_most_specific_hostname_secures() {
    let snapshot = compile(&ir(&FOUR), Generation(1));
    let by = |name: Option<&str>| {
        let tls = bind(&snapshot).select(name)?.tls;
        tls.and_then(|tls| tls.certificates.first()).map(|one| one.fingerprint.clone())
    };
    for (name, want) in [
        (None, "any"),
        (Some("example.org"), "any"),
        (Some("second-example.org"), "second"),
        (Some("third-example.wildcard.org"), "wild"),
        (Some("a.b.wildcard.org"), "wild"),
        (Some("wildcard.org"), "any"),
        (Some("fourth-example.wildcard.org"), "fourth"),
    ] {
        assert_eq!(by(name).as_deref(), Some(want), "{name:?}");
    }
    let strict = compile(&ir(&FOUR[1..]), Generation(1));
    for name in [None, Some("example.org")] {
        assert!(bind(&strict).select(name).is_none(), "{name:?}");
    }
}

/// The cases of the official test `HTTPRouteHTTPSListenerDetectMisdirectedRequests`.
#[test]
fn requests_of_other_listeners_are_misdirected() {
    let snapshot = compile(&ir(&FOUR), Generation(1));
    for (name, host, want) in [
        ("example.org", "example.org", false),
        ("example.org", "second-example.org", true),
        ("example.org", "unknown-example.org", false),
        ("second-example.org", "second-example.org", false),
        ("second-example.org", "example.org", true),
        ("second-example.org", "unknown-example.org", true),
        ("third-example.wildcard.org", "fith-example.wildcard.org", false),
        ("third-example.wildcard.org", "fourth-example.wildcard.org", true),
        ("third-example.wildcard.org", "second-example.org", true),
        ("third-example.wildcard.org", "unknown-example.org", true),
        ("fourth-example.wildcard.org", "fourth-example.wildcard.org", false),
        ("fourth-example.wildcard.org", "fith-example.wildcard.org", true),
        ("unknown-example.org", "example.org", false),
    ] {
        assert_eq!(bind(&snapshot).is_misdirected(Some(name), host.as_bytes()), want, "{host} by {name}");
    }
    assert!(!bind(&snapshot).is_misdirected(None, b"example.org"));
    assert!(bind(&snapshot).is_misdirected(None, b"second-example.org"));
    let strict = compile(&ir(&FOUR[1..]), Generation(1));
    let by_second = |host: &[u8]| bind(&strict).is_misdirected(Some("second-example.org"), host);
    assert!(!by_second(b"nobody.example"), "a host that nobody serves is not there, and so 404");
    assert!(
        bind(&strict).is_misdirected(Some("gone.example"), b"second-example.org"),
        "its listener is gone"
    );
}

#[test]
fn a_marked_listener_takes_clients_without_a_server_name() {
    let mark = |names: &[(&str, &[&str])], at: usize| {
        let mut ir = ir(names);
        ir.binds[0].listeners[at].tls.as_mut().unwrap().is_default = true;
        compile(&ir, Generation(1))
    };
    for (first, listeners) in [(0, &FOUR[..]), (1, &FOUR[1..])] {
        let snapshot = mark(listeners, 1 - first);
        let info = bind(&snapshot).select(None).unwrap().listener;
        assert_eq!(
            info.text.as_ref(),
            bind(&snapshot).select(Some("second-example.org")).unwrap().listener.text.as_ref()
        );
        assert!(!bind(&snapshot).is_misdirected(None, b"second-example.org"));
        assert!(bind(&snapshot).is_misdirected(None, b"a.wildcard.org"));
    }
    let snapshot = mark(&FOUR[1..], 0);
    let routed = |name: Option<&'static str>, host: &'static str| {
        String::from_utf8(bind(&snapshot).routed_host(name, host.as_bytes()).to_vec()).unwrap()
    };
    for (name, host, want) in [
        (None, "", "second-example.org"),
        (None, "192.0.2.7", "second-example.org"),
        (None, "[2001:db8::7]", "second-example.org"),
        (None, "nobody.example", "nobody.example"),
        (None, "a.wildcard.org", "a.wildcard.org"),
        (Some("a.wildcard.org"), "", "a.wildcard.org"),
        (Some("a.wildcard.org"), "192.0.2.7", "192.0.2.7"),
    ] {
        assert_eq!(routed(name, host), want, "{host} by {name:?}");
    }
    // With a listener for every host an address is that one's, and a wildcard names no host to serve.
    assert_eq!(bind(&mark(&FOUR, 1)).routed_host(None, b"192.0.2.7"), b"192.0.2.7");
    assert_eq!(bind(&mark(&FOUR[1..], 1)).routed_host(None, b"192.0.2.7"), b"192.0.2.7");
    let plain = compile(&ir(&FOUR[1..]), Generation(1));
    assert_eq!(bind(&plain).routed_host(None, b""), b"");
}

#[test]
fn settings_stay_where_they_are_until_they_change() {
    let first = compile(&ir(&FOUR), Generation(1));
    let mut changed = FOUR;
    changed[1].1 = &["renewed"];
    let second = compile_with(&ir(&changed), Generation(2), Some(&first));
    let places =
        |snapshot: &Snapshot| bind(snapshot).tls().map(|(_, tls)| Arc::as_ptr(tls)).collect::<Vec<_>>();
    let (before, after) = (places(&first), places(&second));
    let same: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
    assert_eq!(same, [true, false, true, true]);
    let tls = bind(&second).select(Some("second-example.org")).unwrap().tls;
    assert_eq!(tls.unwrap().certificates[0].fingerprint, "renewed");
}
