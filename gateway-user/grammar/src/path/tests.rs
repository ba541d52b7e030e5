use super::*;

const KEEP: PathOptions = PathOptions { merge_slashes: MergeSlashes::Always, separators: Separators::Keep };
const RFC: PathOptions = PathOptions { merge_slashes: MergeSlashes::Never, separators: Separators::Keep };
const MATCH: PathOptions = PathOptions { merge_slashes: MergeSlashes::Match, separators: Separators::Keep };
const REFUSE: PathOptions =
    PathOptions { merge_slashes: MergeSlashes::Always, separators: Separators::Refuse };
const USUAL: PathOptions =
    PathOptions { merge_slashes: MergeSlashes::Always, separators: Separators::RefuseDangerous };

fn norm(path: &str, options: PathOptions) -> Result<String, PathError> {
    let mut out = Vec::new();
    normalize(path.as_bytes(), options, &mut out).map(|p| String::from_utf8(p.to_vec()).unwrap())
}

#[test]
fn paths_in_their_one_spelling() {
    let table = [
        ("/", "/"),
        ("*", "*"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/../..", "/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/../../etc/passwd", "/etc/passwd"),
        ("/a/b/c/./../../g", "/a/g"),
        ("/mid/content=5/../6", "/mid/6"),
        ("/.a/..b/c./d..", "/.a/..b/c./d.."),
        ("/...", "/..."),
        ("/a//b", "/a/b"),
        ("//", "/"),
        ("//a", "/a"),
        ("///a///", "/a/"),
        ("/a//../b", "/b"),
        ("/%7Euser", "/~user"),
        ("/%61%2d%5F", "/a-_"),
        ("/%2e%2E/a", "/a"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/.%2e", "/"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%2Fb", "/a%2Fb"),
        ("/%252e%252e/a", "/%252e%252e/a"),
        ("/%25%32%65", "/%252e"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%00b", "/a%00b"),
        ("/a\\..\\b", "/a\\..\\b"),
        ("/a;x=1/b", "/a;x=1/b"),
        ("/a|{b}\"^`<>", "/a|{b}\"^`<>"),
        ("/a/b%2F../c", "/a/b%2F../c"),
    ];
    for (path, want) in table {
        assert_eq!(norm(path, KEEP).as_deref(), Ok(want), "{path}");
    }
}

#[test]
fn slashes_stay_when_not_merged() {
    let table = [
        ("//", "//"),
        ("/a//b", "/a//b"),
        ("/a//../b", "/a/b"),
        ("/..//a", "//a"),
        ("/a//..", "/a/"),
        ("/a/..//", "//"),
    ];
    for (path, want) in table {
        assert_eq!(norm(path, RFC).as_deref(), Ok(want), "{path}");
    }
}

#[test]
fn refused_paths() {
    use PathError::*;
    let table = [
        ("", NotAbsolute),
        ("a", NotAbsolute),
        ("**", NotAbsolute),
        ("/%", BadEscape),
        ("/%4", BadEscape),
        ("/%4g", BadEscape),
        ("/%g4", BadEscape),
        ("/%+4", BadEscape),
        ("/../%zz", BadEscape),
        ("/a b", BadByte),
        ("/a\u{7f}", BadByte),
        ("/a\tb", BadByte),
        ("/ä", BadByte),
        ("/a?b", BadByte),
        ("/a#b", BadByte),
        ("//a#b", BadByte),
    ];
    for (path, want) in table {
        assert_eq!(norm(path, KEEP), Err(want), "{path}");
    }
    for path in ["/a%2fb", "/a%2F", "/%5c", "/%00", "/a\\b", "/../a%5Cb"] {
        assert_eq!(norm(path, REFUSE), Err(EncodedSeparator), "{path}");
    }
    assert_eq!(norm("/a%20b", REFUSE).as_deref(), Ok("/a%20b"));
}

/// Rows of paths that the three policies tell apart: as received, then what each makes of it.
#[test]
fn separators_are_refused_where_they_hide_dots() {
    use PathError::{EncodedSeparator as Encoded, HiddenDotSegment as Hidden};
    type Row<'a> = (&'a str, Result<&'a str, PathError>, Result<&'a str, PathError>);
    // The result with `RefuseDangerous`, and the one with `Refuse`.
    let table: &[Row<'_>] = &[
        // Names with slashes in them, as clients of these servers send them.
        (
            "/api/v4/projects/group%2Fproject/issues",
            Ok("/api/v4/projects/group%2Fproject/issues"),
            Err(Encoded),
        ),
        (
            "/api/v4/projects/a%2fb/repository/files/src%2Fmain.rs",
            Ok("/api/v4/projects/a%2Fb/repository/files/src%2Fmain.rs"),
            Err(Encoded),
        ),
        ("/@scope%2fpkg", Ok("/@scope%2Fpkg"), Err(Encoded)),
        ("/@scope%2Fpkg/-/pkg-1.0.0.tgz", Ok("/@scope%2Fpkg/-/pkg-1.0.0.tgz"), Err(Encoded)),
        ("/bucket/dir%2Fkey.txt", Ok("/bucket/dir%2Fkey.txt"), Err(Encoded)),
        ("/bucket/%2Fkey", Ok("/bucket/%2Fkey"), Err(Encoded)),
        ("/bucket/a%2F%2Fb", Ok("/bucket/a%2F%2Fb"), Err(Encoded)),
        ("/bucket/C%3A%5Ctemp", Ok("/bucket/C%3A%5Ctemp"), Err(Encoded)),
        ("/bucket/v1.2%2F.hidden%2F..rc%2Fend..", Ok("/bucket/v1.2%2F.hidden%2F..rc%2Fend.."), Err(Encoded)),
        ("/bucket/...%2Fa", Ok("/bucket/...%2Fa"), Err(Encoded)),
        // Path parameters.
        (
            "/cars;v=1/wheels;color=red;size=2",
            Ok("/cars;v=1/wheels;color=red;size=2"),
            Ok("/cars;v=1/wheels;color=red;size=2"),
        ),
        ("/app;jsessionid=1.route..2", Ok("/app;jsessionid=1.route..2"), Ok("/app;jsessionid=1.route..2")),
        ("/a;x=../b", Ok("/a;x=../b"), Ok("/a;x=../b")),
        ("/;/a", Ok("/;/a"), Ok("/;/a")),
        ("/...;x/a", Ok("/...;x/a"), Ok("/...;x/a")),
        // Dot segments that everybody sees are resolved, whatever stands beside them.
        ("/a%2Fb/..", Ok("/"), Err(Encoded)),
        ("/a;v=1/../b", Ok("/b"), Ok("/b")),
        ("/%2e%2e/a;b", Ok("/a;b"), Ok("/a;b")),
        // Encoded twice: decoded once it is still encoded.
        ("/%252e%252e/a", Ok("/%252e%252e/a"), Ok("/%252e%252e/a")),
        ("/..%252fa", Ok("/..%252fa"), Ok("/..%252fa")),
        ("/..%255ca", Ok("/..%255ca"), Ok("/..%255ca")),
        ("/..%3Ba/b", Ok("/..%3Ba/b"), Ok("/..%3Ba/b")),
        // Hidden.
        ("/..;/admin", Err(Hidden), Err(Hidden)),
        ("/.;/admin", Err(Hidden), Err(Hidden)),
        ("/public/..;v=1/admin", Err(Hidden), Err(Hidden)),
        ("/public/..;", Err(Hidden), Err(Hidden)),
        ("/public/%2e%2E;/admin", Err(Hidden), Err(Hidden)),
        ("/public/..;/../x", Err(Hidden), Err(Hidden)),
        ("/%2e%2e%2f", Err(Hidden), Err(Encoded)),
        ("/..%2Fadmin", Err(Hidden), Err(Encoded)),
        ("/a%2F..%2fb", Err(Hidden), Err(Encoded)),
        ("/a%2F..", Err(Hidden), Err(Encoded)),
        ("/a%2F.", Err(Hidden), Err(Encoded)),
        ("/a%2F../b", Err(Hidden), Err(Encoded)),
        ("/a/..%2F/../../b", Err(Hidden), Err(Encoded)),
        ("/a%2F..;x/b", Err(Hidden), Err(Encoded)),
        ("/a;b%2F../c", Err(Hidden), Err(Encoded)),
        ("/..%5c", Err(Hidden), Err(Encoded)),
        ("/a/..%5C..%5Cwindows", Err(Hidden), Err(Encoded)),
        ("/a%5C%2e%2e/b", Err(Hidden), Err(Encoded)),
        // No client needs them.
        ("/a%00", Err(Encoded), Err(Encoded)),
        ("/a%00.png", Err(Encoded), Err(Encoded)),
        ("/a\\b", Err(Encoded), Err(Encoded)),
        ("/..\\..", Err(Encoded), Err(Encoded)),
    ];
    for (path, usual, refuse) in table {
        assert_eq!(norm(path, USUAL).as_deref(), usual.as_ref().copied(), "{path}");
        assert_eq!(norm(path, REFUSE).as_deref(), refuse.as_ref().copied(), "{path}, where they are refused");
        let kept = norm(path, KEEP);
        assert!(kept.is_ok(), "{path}, where they are kept: {kept:?}");
    }
}

#[test]
fn a_normal_path_is_lent_back() {
    let mut out = Vec::new();
    let path = b"/a/b%20c/d";
    let got = normalize(path, KEEP, &mut out).unwrap();
    assert_eq!(got.as_ptr(), path.as_ptr());
    assert_eq!(out.capacity(), 0);
}

#[test]
fn slashes_are_merged_for_rules_alone() {
    // As received, as forwarded, and as rules see it.
    let table = [
        ("/a/b", "/a/b", "/a/b"),
        ("//", "/", "/"),
        ("//evil.example/x", "/evil.example/x", "/evil.example/x"),
        ("///admin", "/admin", "/admin"),
        ("/..//admin", "/admin", "/admin"),
        ("/x/..//admin", "/admin", "/admin"),
        ("/%2e%2e//admin", "/admin", "/admin"),
        ("/x//admin", "/x//admin", "/x/admin"),
        ("/a//../b", "/a/b", "/a/b"),
        ("/a//..//b", "/a//b", "/a/b"),
        (
            "/unsafe/300x200/https://images.example//a.png",
            "/unsafe/300x200/https://images.example//a.png",
            "/unsafe/300x200/https:/images.example/a.png",
        ),
        ("/bucket//key/", "/bucket//key/", "/bucket/key/"),
        ("/bucket/key//", "/bucket/key//", "/bucket/key/"),
    ];
    for (path, forwarded, seen) in table {
        let normal = norm(path, MATCH).unwrap();
        assert_eq!(normal, forwarded, "{path}");
        let mut out = Vec::new();
        assert_eq!(merged(normal.as_bytes(), &mut out), seen.as_bytes(), "{path}");
    }
}
