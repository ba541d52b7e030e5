use super::*;

fn host(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

fn shown(listener: Option<&str>, route: &[&str]) -> Vec<String> {
    let route: Vec<_> = route.iter().map(|text| host(text)).collect();
    let listener = listener.map(host);
    let show = |name: &Option<Hostname>| name.as_ref().map_or("*".to_owned(), ToString::to_string);
    effective(listener.as_ref(), &route)
        .iter()
        .map(|name| format!("{} from {}", show(&name.effective), show(&name.original)))
        .collect()
}

#[test]
fn hostnames_narrow_as_the_specification_says() {
    assert_eq!(shown(None, &[]), ["* from *"]);
    assert_eq!(shown(Some("a.example.com"), &[]), ["a.example.com from *"]);
    assert_eq!(shown(None, &["*.example.com"]), ["*.example.com from *.example.com"]);
    assert_eq!(shown(Some("test.example.com"), &["*.example.com"]), ["test.example.com from *.example.com"]);
    assert_eq!(
        shown(Some("*.example.com"), &["test.example.com", "test.example.net", "foo.test.example.com"]),
        ["test.example.com from test.example.com", "foo.test.example.com from foo.test.example.com"]
    );
    assert_eq!(shown(Some("*.example.com"), &["example.com", "test.example.net"]), [""; 0]);
}

#[test]
fn of_several_originals_the_most_specific_is_kept_whatever_their_order() {
    let want = ["a.example.com from *.example.com"];
    assert_eq!(shown(Some("a.example.com"), &["*.com", "*.example.com"]), want);
    assert_eq!(shown(Some("a.example.com"), &["*.example.com", "*.com"]), want);
    let want = ["a.example.com from a.example.com"];
    assert_eq!(shown(Some("a.example.com"), &["*.example.com", "a.example.com"]), want);
}
