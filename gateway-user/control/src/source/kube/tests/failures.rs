//! Failures of watches.

use super::*;

#[test]
fn a_server_that_is_away_takes_nothing_away() {
    let api = server();
    api.put(ROUTES, route("a", 1, "/1"));
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    api.set_away(true);
    reader.until("failing watches", |view| {
        assert_eq!(routes(view), ["a"]);
        view.diagnostics.iter().any(|line| line.message.contains("cannot be reached"))
    });
    until("every watch to fail", || {
        reader.cluster.watches().iter().all(|(_, state, _)| state.failing.is_some()).then_some(())
    });
    assert!(reader.state(Kind::HttpRoute).synced);
    api.put(ROUTES, route("a", 2, "/2"));
    api.set_away(false);
    reader.until("the edit", |view| {
        assert_eq!(routes(view), ["a"]);
        path_of(view, "a").as_deref() == Some("/2")
    });
    reader.until("no line", |view| view.diagnostics.is_empty());
}

#[test]
fn a_watch_that_is_cut_goes_on_where_it_was() {
    let api = server();
    api.put(ROUTES, route("a", 1, "/"));
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    let lists = reader.state(Kind::HttpRoute).lists;
    for round in 2..12 {
        // A watch from before the last event is told to list anew.
        api.forget();
        api.cut();
        api.put(ROUTES, route("a", round, &format!("/{round}")));
        reader.until("the edit", |view| {
            assert_eq!(routes(view), ["a"]);
            path_of(view, "a") == Some(format!("/{round}"))
        });
    }
    assert_eq!(reader.state(Kind::HttpRoute).lists, lists, "no new list was needed");
}

#[test]
fn bookmarks_carry_a_quiet_watch_over_what_the_server_forgets() {
    let api = server();
    api.put(ROUTES, route("a", 1, "/"));
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    let lists = reader.state(Kind::HttpRoute).lists;
    api.put(SLICES, slice("s", "shop", "10.0.0.1"));
    api.forget();
    let before = reader.state(Kind::HttpRoute).last_event;
    api.bookmark(ROUTES);
    until("the bookmark", || (reader.state(Kind::HttpRoute).last_event > before).then_some(()));
    api.cut();
    api.put(ROUTES, route("b", 1, "/"));
    reader.until_routes(&["a", "b"]);
    assert_eq!(reader.state(Kind::HttpRoute).lists, lists, "no new list was needed");
}

#[test]
fn a_server_that_has_forgotten_gives_a_new_list_and_nothing_is_dropped_meanwhile() {
    let api = server();
    for name in ["a", "b", "c"] {
        api.put(ROUTES, route(name, 1, "/"));
    }
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a", "b", "c"]);
    api.set_away(true);
    until("a failure", || reader.state(Kind::HttpRoute).failing.map(drop));
    api.delete(ROUTES, "shop", "b");
    api.put(ROUTES, route("d", 1, "/"));
    api.forget();
    api.set_away(false);
    reader.until("the new list", |view| {
        let now = routes(view);
        assert!(now.contains(&"a") && now.contains(&"c"), "{now:?}");
        now == ["a", "c", "d"]
    });
}

#[test]
fn a_server_that_streams_no_lists_is_asked_for_pages() {
    let api = server();
    api.set_streaming(false);
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    for name in names {
        api.put(ROUTES, route(name, 1, "/"));
    }
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&names);
    let pages =
        api.requests().iter().filter(|one| one.contains("/httproutes?") && one.contains("limit=")).count();
    assert_eq!(pages, 3, "{:?}", api.requests());
    api.delete(ROUTES, "shop", "g");
    reader.until_routes(&names[..6]);
    assert_eq!(reader.lines(), [""; 0]);
}

#[test]
fn lines_that_are_no_events_cost_nobody_anything() {
    let api = server();
    api.put(ROUTES, route("a", 1, "/"));
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    for line in ["not JSON", "{\"type\":\"MODIFIED\"}", "{\"type\":\"WHAT\",\"object\":{}}", "[]"] {
        api.garbage(ROUTES, line);
    }
    api.bookmark(ROUTES);
    api.put(
        ROUTES,
        json!({"metadata": {"name": "odd", "namespace": "shop", "generation": 1}, "spec": "none"}),
    );
    api.put(ROUTES, route("b", 1, "/"));
    reader.until_routes(&["a", "b"]);
    reader
        .until("the odd one", |view| view.diagnostics.iter().any(|line| line.object == "HTTPRoute shop/odd"));
}

#[test]
fn a_kind_that_is_forbidden_is_said_once_with_its_verb_and_all_else_is_served() {
    let api = server();
    api.put(ROUTES, route("a", 1, "/"));
    api.put(SLICES, slice("s", "shop", "10.0.0.1"));
    api.set_forbidden("secrets", "watch", true);
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    let lines = reader.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("not watch secrets") && lines[0].contains("system:serviceaccount:s:sluice"),
        "{lines:?}"
    );
    let asked = |reader: &Reader| reader.state(Kind::Secret).failures;
    until("it to be tried again", || (asked(&reader) > 2).then_some(()));
    let take = |reader: &mut Reader| reader.cluster.take(&mut reader.view);
    assert_eq!(take(&mut reader), PollResult::Same, "nothing new to say");

    // A kind that was never seen holds nothing up, whatever happens to its watch.
    api.set_away(true);
    until("every watch to fail", || {
        reader.cluster.watches().iter().all(|(_, state, _)| state.failing.is_some()).then_some(())
    });
    api.put(ROUTES, route("b", 1, "/"));
    api.set_away(false);
    until("the route", || {
        let result = reader.cluster.take(&mut reader.view);
        assert!(!matches!(result, PollResult::Waiting(_)), "{result:?}");
        (routes(&reader.view) == ["a", "b"]).then_some(())
    });

    api.set_forbidden("secrets", "watch", false);
    reader.until("no line", |view| view.diagnostics.is_empty());

    // Objects from before the right was taken stay.
    api.set_forbidden(SLICES, "watch", true);
    reader.until("the other line", |view| {
        view.diagnostics.iter().any(|line| line.message.contains("stays in force"))
    });
    assert_eq!(reader.view.resources.endpoint_slices.len(), 1);
}

#[test]
fn a_kind_that_is_not_installed_is_said_and_found_once_it_is() {
    let missing = Subject::Objects(Kind::HttpRoute);
    let plurals: Vec<String> = (WATCHED.into_iter().map(Subject::Objects))
        .chain([Subject::Definitions])
        .filter(|subject| *subject != missing)
        .map(Subject::resource)
        .collect();
    let api = ApiServer::start(&plurals.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let mut reader = Reader::of(&api, &[]);
    reader.until("the rest", |view| view.resources.installed.is_some());
    let lines = reader.lines();
    assert!(
        lines.len() == 1 && lines[0].contains("has no httproutes.gateway.networking.k8s.io"),
        "{lines:?}"
    );
    api.install(ROUTES);
    api.put(ROUTES, route("a", 1, "/"));
    reader.until_routes(&["a"]);
    reader.until("no line", |view| view.diagnostics.is_empty());
}

#[test]
fn a_process_that_starts_while_the_server_is_away_begins_with_what_the_last_one_saw() {
    let dir = gateway_testkit::scratch::Scratch::new("last-good").unwrap();
    let file = dir.join("objects");
    let api = server();
    api.put(ROUTES, route("a", 1, "/1"));
    api.put(ROUTES, route("b", 1, "/1"));
    let mut first = Reader::with(&api, &[], Some(file.clone()));
    first.until_routes(&["a", "b"]);
    let mut last_good_writer = first.cluster.last_good_writer().unwrap();
    last_good_writer.begin(&first.view.resources);
    until("the file", || file.exists().then_some(()));
    drop(first);

    api.set_away(true);
    let mut second = Reader::with(&api, &[], Some(file.clone()));
    second.until_routes(&["a", "b"]);
    second
        .until("a line", |view| view.diagnostics.iter().any(|line| line.message.contains("stays in force")));

    // Removed objects go, new ones come, and unchanged ones stay the same object.
    let before = second.view.resources.http_routes[&ObjectKey::new("shop", "a")].clone();
    api.delete(ROUTES, "shop", "b");
    api.put(ROUTES, route("c", 1, "/"));
    api.set_away(false);
    second.until("the server's state", |view| {
        assert!(routes(view).contains(&"a"));
        routes(view) == ["a", "c"]
    });
    assert!(Arc::ptr_eq(&before, &second.view.resources.http_routes[&ObjectKey::new("shop", "a")]));
}

#[test]
fn a_server_that_is_just_starting_is_not_believed_when_it_refuses() {
    let api = server();
    api.put(ROUTES, route("a", 1, "/"));
    api.set_forbidden(ROUTES, "watch", true);
    let mut reader = Reader::of(&api, &[]);
    until("two rejections", || (reader.state(Kind::HttpRoute).failures > 1).then_some(()));
    let result = reader.cluster.take(&mut reader.view);
    assert!(matches!(result, PollResult::Waiting(_)), "{result:?}");
    api.set_forbidden(ROUTES, "watch", false);
    reader.until("the route, and not less", |view| {
        assert_eq!(routes(view), ["a"], "nothing was taken before");
        true
    });
    assert_eq!(reader.lines(), [""; 0]);
}
