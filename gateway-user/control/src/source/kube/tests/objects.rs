//! Objects from watches to the view.

use super::*;

#[test]
fn what_is_there_comes_at_once_and_what_changes_follows() {
    let api = server();
    api.put(ROUTES, route("a", 1, "/1"));
    api.put(
        "namespaces",
        json!({"metadata": {"name": "shop", "labels": {"x": "y"}}, "spec": {"finalizers": ["z"]}}),
    );
    let definition = json!({"metadata": {"name": "httproutes.gateway.networking.k8s.io", "annotations": {
        "gateway.networking.k8s.io/bundle-version": "v1.6.3", "gateway.networking.k8s.io/channel": "standard"}}});
    api.put("customresourcedefinitions.apiextensions.k8s.io", definition);
    api.put(
        "customresourcedefinitions.apiextensions.k8s.io",
        json!({"metadata": {"name": "things.example.com"}}),
    );
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    let namespace = &reader.view.resources.namespaces[&ObjectKey::new("", "shop")];
    assert_eq!(namespace.metadata.labels.as_ref().unwrap()["x"], "y");
    assert_eq!(namespace.spec, None, "its metadata is all that was asked for");
    let fetched = |request: &String| request.contains("configmaps") && request.contains("metadata.name");
    assert!(!api.requests().iter().any(fetched), "no policy refers to one");
    let installed = reader.view.resources.installed.clone().unwrap();
    let versions: Vec<_> = installed
        .definitions
        .iter()
        .map(|(name, one)| (name.as_str(), one.bundle_version.as_deref()))
        .collect();
    assert_eq!(versions, [(ROUTES, Some("v1.6.3"))]);
    assert!(api.requests().iter().any(|request| request.starts_with("/api/v1/secrets?") && request.contains("kubernetes.io%2Ftls")));

    api.put(ROUTES, route("a", 2, "/2"));
    api.put(ROUTES, route("b", 1, "/"));
    reader
        .until("the edit", |view| path_of(view, "a").as_deref() == Some("/2") && routes(view) == ["a", "b"]);
    api.delete(ROUTES, "shop", "a");
    reader.until_routes(&["b"]);
}

#[test]
fn nothing_is_taken_before_every_list_is_in() {
    let api = server();
    api.put(ROUTES, route("a", 1, "/"));
    api.set_away(true);
    let mut reader = Reader::of(&api, &[]);
    let why = until("a failure", || match reader.cluster.take(&mut reader.view) {
        PollResult::Waiting(why) if why.contains("cannot be reached") => Some(why),
        PollResult::Waiting(_) => None,
        other => panic!("{other:?}"),
    });
    assert!(why.contains("tried again"), "{why}");
    assert_eq!(reader.lines().len(), 1, "one line, though every kind fails: {:?}", reader.lines());
    assert!(routes(&reader.view).is_empty());
    api.set_away(false);
    reader.until_routes(&["a"]);
    assert_eq!(reader.lines(), [""; 0]);
}

#[test]
fn an_object_that_cannot_be_read_keeps_its_last_good_version_and_hurts_no_other() {
    let api = server();
    let mut broken = route("a", 2, "/2");
    broken["spec"]["rules"][0]["matches"][0]["path"]["type"] = "Glob".into();
    let mut never = broken.clone();
    never["metadata"]["name"] = "never".into();
    api.put(ROUTES, route("a", 1, "/1"));
    api.put(ROUTES, never);
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    let lines = reader.lines();
    assert!(
        lines[0].starts_with("HTTPRoute shop/never: spec.rules[0].matches[0].path.type: ")
            && lines[1].contains("left out"),
        "{lines:?}"
    );

    api.put(ROUTES, broken);
    api.put(ROUTES, route("b", 1, "/b"));
    reader.until("both changes", |view| routes(view) == ["a", "b"] && view.diagnostics.len() == 4);
    assert_eq!(path_of(&reader.view, "a").as_deref(), Some("/1"));
    assert!(reader.lines()[1].contains("last good version stays"), "{:?}", reader.lines());

    // A user who fixes one mistake and makes another is told of the new one.
    let wakes = reader.wakes.load(Ordering::SeqCst);
    let mut otherwise = route("a", 3, "/3");
    otherwise["spec"]["rules"][0]["matches"][0]["path"]["type"] = "Blob".into();
    api.put(ROUTES, otherwise);
    until("word of the other mistake", || (reader.wakes.load(Ordering::SeqCst) > wakes).then_some(()));
    reader.until("its line", |view| view.diagnostics.iter().any(|line| line.message.contains("Blob")));

    api.put(ROUTES, route("a", 3, "/3"));
    reader.until("the mended one", |view| path_of(view, "a").as_deref() == Some("/3"));
    api.delete(ROUTES, "shop", "never");
    reader.until("no line", |view| view.diagnostics.is_empty());
}

#[test]
fn a_thousand_changes_are_one_to_who_takes_them_together() {
    let api = server();
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&[]);
    let events = |reader: &Reader| reader.state(Kind::EndpointSlice).events;
    let before = reader.wakes.load(Ordering::SeqCst);
    for round in 0..1000 {
        api.put(SLICES, slice("s", "shop", &format!("10.0.{}.{}", round / 250, round % 250)));
    }
    until("all changes", || (events(&reader) == 1000).then_some(()));
    assert_eq!(reader.wakes.load(Ordering::SeqCst) - before, 1, "told once until it takes");
    assert_eq!(reader.cluster.take(&mut reader.view), PollResult::New);
    let slices = &reader.view.resources.endpoint_slices[&ObjectKey::new("shop", "s")];
    assert_eq!(slices.endpoints.as_ref().unwrap()[0].addresses, ["10.0.3.249"]);
    assert_eq!(reader.cluster.take(&mut reader.view), PollResult::Same);
}

#[test]
fn a_change_of_status_alone_is_seen_and_changes_nothing() {
    let api = server();
    api.put(ROUTES, route("a", 1, "/"));
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    let wakes = reader.wakes.load(Ordering::SeqCst);
    let mut with_status = route("a", 1, "/");
    with_status["status"] = json!({"parents": []});
    api.put(ROUTES, with_status);
    let key = ObjectKey::new("shop", "a");
    until("the status", || match reader.cluster.object(Kind::HttpRoute, &key) {
        Some(gateway_api_types::Object::HttpRoute(route)) => route.status.is_some().then_some(()),
        _ => None,
    });
    assert_eq!(reader.wakes.load(Ordering::SeqCst), wakes);
    assert_eq!(reader.cluster.take(&mut reader.view), PollResult::Same);
    let held = &reader.view.resources.http_routes[&key];
    assert_eq!(held.status, None, "a reader holds one version of an object, not the one before beside it");
    // An object of the same name is another one, though its generation is the same.
    let mut other = route("a", 1, "/");
    other["metadata"]["uid"] = "other".into();
    api.put(ROUTES, other);
    reader
        .until("the other", |view| view.resources.http_routes[&key].metadata.uid.as_deref() == Some("other"));
    assert!(
        matches!(reader.cluster.object(Kind::HttpRoute, &key), Some(gateway_api_types::Object::HttpRoute(route))
            if route.status.is_none())
    );
}

#[test]
fn namespaces_that_are_not_asked_for_are_not_read() {
    let api = server();
    for namespace in ["shop", "other", "third"] {
        api.put(SLICES, slice("s", namespace, "10.0.0.1"));
    }
    let mut reader = Reader::of(&api, &["other", "shop"]);
    reader.until("two slices", |view| view.resources.endpoint_slices.len() == 2);
    assert!(reader.view.resources.endpoint_slices.contains_key(&ObjectKey::new("shop", "s")));
    let lines = reader.lines();
    assert!(lines.len() == 2 && lines[0].contains("no namespace \"other\""), "{lines:?}");
    for namespace in ["other", "shop"] {
        api.put("namespaces", json!({"metadata": {"name": namespace}}));
    }
    reader.until("no complaint", |view| view.diagnostics.is_empty());
    let asked = api.requests();
    assert!(!asked.iter().any(|one| one.contains("/third/") || one.starts_with("/apis/discovery.k8s.io/v1/endpointslices")));
    api.delete(SLICES, "other", "s");
    reader.until("one slice", |view| view.resources.endpoint_slices.len() == 1);
}
