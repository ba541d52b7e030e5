//! The Secrets that are held, and the times at which.

use std::collections::BTreeSet;

use gateway_api_types::ResourceSet;
use gateway_testkit::scratch::Scratch;

use super::*;

const GATEWAYS: &str = "gateways.gateway.networking.k8s.io";
const CLASSES: &str = "gatewayclasses.gateway.networking.k8s.io";
const GRANTS: &str = "referencegrants.gateway.networking.k8s.io";

fn secret(namespace: &str, name: &str, key: &str) -> Value {
    let encoded = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
    json!({"metadata": {"name": name, "namespace": namespace, "uid": name}, "type": "kubernetes.io/tls",
        "data": {"tls.crt": encoded("certificate"), "tls.key": encoded(key)}})
}

/// A Gateway in namespace `shop` with these references, each `NAMESPACE/NAME`.
fn gateway(name: &str, class: &str, generation: i64, references: &[&str]) -> Value {
    let reference = |text: &&str| {
        let (namespace, name) = text.split_once('/').unwrap();
        json!({"namespace": namespace, "name": name})
    };
    let references: Vec<_> = references.iter().map(reference).collect();
    let listener =
        json!({"name": "l", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": references}});
    json!({"metadata": {"name": name, "namespace": "shop", "generation": generation, "uid": name},
        "spec": {"gatewayClassName": class, "listeners": [listener]}})
}

fn grant(to: &str) -> Value {
    json!({"metadata": {"name": "g", "namespace": "certs", "generation": 1, "uid": to}, "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "shop"}],
        "to": [{"group": "", "kind": "Secret", "name": to}]}})
}

/// A server with a class of ours and one of somebody else.
fn cluster() -> ApiServer {
    let api = server();
    for (name, controller) in [("sluice", gateway_translate::CONTROLLER_NAME), ("other", "example.com/other")]
    {
        api.put(
            CLASSES,
            json!({"metadata": {"name": name, "generation": 1}, "spec": {"controllerName": controller}}),
        );
    }
    api
}

fn secrets(resources: &ResourceSet) -> Vec<String> {
    resources.secrets.keys().map(ToString::to_string).collect()
}

/// The names of Secrets whose content was asked for.
fn fetched(api: &ApiServer) -> BTreeSet<String> {
    let requests = api.requests();
    let of_one = requests.iter().filter_map(|request| {
        let (path, query) = request.split_once('?')?;
        let namespace = path.strip_prefix("/api/v1/namespaces/")?.strip_suffix("/secrets")?;
        let name = query.split_once("metadata.name%3D")?.1.split_once("%2C")?.0;
        Some(format!("{namespace}/{name}"))
    });
    of_one.collect()
}

#[test]
fn a_secret_that_no_gateway_of_ours_refers_to_is_neither_in_memory_nor_on_disk() {
    let dir = Scratch::new("secrets").unwrap();
    let file = dir.join("objects");
    let api = cluster();
    for name in ["web", "stranger", "others"] {
        api.put("secrets", secret("shop", name, &format!("key-of-{name}")));
    }
    api.put("secrets", secret("certs", "granted", "key-of-granted"));
    api.put("secrets", secret("certs", "refused", "key-of-refused"));
    let mut opaque = secret("shop", "opaque", "key-of-opaque");
    opaque["type"] = "Opaque".into();
    api.put("secrets", opaque);
    api.put(GRANTS, grant("granted"));
    api.put(
        GATEWAYS,
        gateway("ours", "sluice", 1, &["shop/web", "shop/opaque", "certs/granted", "certs/refused"]),
    );
    api.put(GATEWAYS, gateway("foreign", "other", 1, &["shop/others"]));
    let mut reader = Reader::with(&api, &[], Some(file.clone()));
    reader.until("the first configuration", |view| {
        assert_eq!(secrets(&view.resources), ["certs/granted", "shop/web"], "whole from the first one on");
        true
    });
    let wanted: BTreeSet<String> = ["certs/granted", "shop/web"].map(str::to_owned).into();
    assert_eq!(fetched(&api), wanted, "of no other was anything but metadata asked for");
    assert!(reader.cluster.object(Kind::Secret, &ObjectKey::new("shop", "stranger")).is_none());

    let mut last_good_writer = reader.cluster.last_good_writer().unwrap();
    last_good_writer.begin(&reader.view.resources);
    until("the file", || file.exists().then_some(()));
    let text = std::fs::read_to_string(&file).unwrap();
    let on_disk = |name: &str| {
        let key = json!(k8s_openapi::ByteString(format!("key-of-{name}").into_bytes()));
        text.contains(key.as_str().unwrap())
    };
    assert!(on_disk("web") && on_disk("granted"));
    for name in ["stranger", "others", "refused", "opaque"] {
        assert!(!on_disk(name), "{name} is on disk");
    }
}

#[test]
fn what_is_referred_to_later_comes_later_and_goes_with_its_reference() {
    let api = cluster();
    api.put("secrets", secret("shop", "web", "1"));
    api.put("secrets", secret("certs", "shared", "1"));
    api.put(GATEWAYS, gateway("ours", "sluice", 1, &["certs/shared"]));
    let mut reader = Reader::of(&api, &[]);
    reader.until("a configuration", |view| {
        assert_eq!(secrets(&view.resources), [""; 0]);
        view.resources.gateways.len() == 1
    });
    let lists = reader.state(Kind::Secret).lists;
    // A grant comes, goes and comes again; the grant is not seen before what it opens is there.
    for _ in 0..2 {
        api.put(GRANTS, grant("shared"));
        reader.until("the grant", |view| {
            let granted = !view.resources.reference_grants.is_empty();
            assert_eq!(
                secrets(&view.resources).len(),
                usize::from(granted),
                "no listener is without meanwhile"
            );
            granted
        });
        api.delete(GRANTS, "certs", "g");
        reader.until("nothing", |view| view.resources.secrets.is_empty());
        assert!(reader.cluster.object(Kind::Secret, &ObjectKey::new("certs", "shared")).is_none());
    }
    // A reference is added.
    api.put(GATEWAYS, gateway("ours", "sluice", 2, &["certs/shared", "shop/web"]));
    reader.until("the Secret", |view| secrets(&view.resources) == ["shop/web"]);
    // The Secret is renewed, deleted, made anew.
    let key = ObjectKey::new("shop", "web");
    let content = |view: &StoreView| {
        let data = view.resources.secrets.get(&key)?.data.as_ref()?;
        Some(String::from_utf8(data["tls.key"].0.clone()).unwrap())
    };
    api.put("secrets", secret("shop", "web", "2"));
    reader.until("the renewed one", |view| {
        assert!(content(view).is_some(), "the old one serves until the new one is there");
        content(view).as_deref() == Some("2")
    });
    api.delete("secrets", "shop", "web");
    reader.until("none", |view| view.resources.secrets.is_empty());
    api.put("secrets", secret("shop", "web", "3"));
    reader.until("the new one", |view| content(view).as_deref() == Some("3"));
    api.delete(GATEWAYS, "shop", "ours");
    reader.until("nothing", |view| view.resources.secrets.is_empty());
    assert_eq!(reader.state(Kind::Secret).lists, lists, "no new list was needed");
}

#[test]
fn a_new_list_finds_what_was_renewed_and_deleted_meanwhile() {
    let api = cluster();
    for name in ["a", "b"] {
        api.put("secrets", secret("shop", name, "1"));
    }
    api.put(GATEWAYS, gateway("ours", "sluice", 1, &["shop/a", "shop/b"]));
    let mut reader = Reader::of(&api, &[]);
    reader.until("both", |view| secrets(&view.resources) == ["shop/a", "shop/b"]);
    api.set_away(true);
    until("a failure", || reader.state(Kind::Secret).failing.map(drop));
    api.put("secrets", secret("shop", "a", "2"));
    api.delete("secrets", "shop", "b");
    api.forget();
    api.set_away(false);
    reader.until("the server's state", |view| {
        let secret = &view.resources.secrets[&ObjectKey::new("shop", "a")];
        secret.data.as_ref().unwrap()["tls.key"].0 == b"2" && view.resources.secrets.len() == 1
    });
}

#[test]
fn a_certificate_that_cannot_be_fetched_holds_up_nobody_for_long_and_is_said() {
    let api = cluster();
    api.put("secrets", secret("shop", "web", "1"));
    // The watch may be made, and a list may not.
    api.set_forbidden("secrets", "list", true);
    api.put(GATEWAYS, gateway("ours", "sluice", 1, &["shop/web"]));
    api.put(ROUTES, route("a", 1, "/"));
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    reader.until("a line", |view| {
        let said = |line: &gateway_api_types::load::Diagnostic| {
            line.object == "Secret shop/web" && line.message.contains("have no certificate")
        };
        view.diagnostics.iter().any(said)
    });
    api.set_forbidden("secrets", "list", false);
    reader
        .until("the Secret", |view| secrets(&view.resources) == ["shop/web"] && view.diagnostics.is_empty());
}

#[test]
fn without_keys_on_disk_a_restart_without_the_server_has_no_certificates_and_says_so() {
    let dir = Scratch::new("secrets").unwrap();
    let file = dir.join("objects");
    let api = cluster();
    api.put("secrets", secret("shop", "web", "key"));
    api.put(GATEWAYS, gateway("ours", "sluice", 1, &["shop/web"]));
    api.put(ROUTES, route("a", 1, "/"));
    let mut first = Reader::keeping(&api, &[], Some(file.clone()), KeptKeys::LeftOut);
    first.until("the Secret", |view| secrets(&view.resources) == ["shop/web"]);
    let mut last_good_writer = first.cluster.last_good_writer().unwrap();
    last_good_writer.begin(&first.view.resources);
    until("the file", || file.exists().then_some(()));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("tls.key"));
    drop(first);

    api.set_away(true);
    let mut second = Reader::keeping(&api, &[], Some(file), KeptKeys::LeftOut);
    second.until("the rest, and a line", |view| {
        assert_eq!(routes(view), ["a"]);
        let said = |line: &gateway_api_types::load::Diagnostic| line.message.contains("--last-good=no-keys");
        view.diagnostics.iter().any(said)
    });
    let key = ObjectKey::new("shop", "web");
    let has_key = |view: &StoreView| {
        let data = view.resources.secrets.get(&key).and_then(|secret| secret.data.as_ref());
        data.is_some_and(|data| data.contains_key("tls.key"))
    };
    assert!(!has_key(&second.view));
    api.set_away(false);
    second.until("the key", |view| has_key(view) && view.diagnostics.is_empty());
}

#[test]
fn a_tenants_flood_of_large_routes_goes_live_behind_a_neighbours_edit() {
    let api = cluster();
    api.put(ROUTES, route("web", 1, "/1"));
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["web"]);
    let header = |n: usize| json!({"name": format!("h{n}"), "value": "x"});
    let matches = vec![json!({"headers": (0..16).map(header).collect::<Vec<_>>()}); 127];
    let events = |reader: &Reader| reader.state(Kind::HttpRoute).events;
    let before = events(&reader);
    for number in 0..40 {
        let mut large = route(&format!("r{number:02}"), 1, "/");
        large["metadata"]["namespace"] = "loud".into();
        large["spec"]["rules"] = json!([{"matches": matches}]);
        api.put(ROUTES, large);
    }
    api.put(ROUTES, route("web", 2, "/2"));
    until("all of them", || (events(&reader) == before + 41).then_some(()));
    let wakes = reader.wakes.load(Ordering::SeqCst);
    assert_eq!(reader.cluster.take(&mut reader.view), PollResult::New);
    assert_eq!(path_of(&reader.view, "web").as_deref(), Some("/2"), "the edit is in the first configuration");
    let taken = routes(&reader.view).len() - 1;
    assert!((1..12).contains(&taken), "beside {taken} of 40 that wait");
    assert!(reader.wakes.load(Ordering::SeqCst) > wakes, "who takes is told that there is more");
    reader.until("the others", |view| routes(view).len() == 41);
}
