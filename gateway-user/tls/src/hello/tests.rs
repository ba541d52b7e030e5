use super::*;

fn vector(bytes: usize, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    [&length[length.len() - bytes..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, content)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(0, &vector(2, &[&[0][..], &vector(2, name)].concat()))
}

/// A ClientHello in records of at most `size` bytes.
fn hello(extensions: Option<&[u8]>, size: usize) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend(vector(1, &[9; 32]));
    body.extend(vector(2, &[0x13, 0x01]));
    body.extend(vector(1, &[0]));
    body.extend(extensions.map(|all| vector(2, all)).unwrap_or_default());
    let message = [&[1][..], &vector(3, &body)].concat();
    let record = |part: &[u8]| [&[22, 3, 1][..], &vector(2, part)].concat();
    message.chunks(size).flat_map(record).collect()
}

fn found(name: Option<&str>) -> Peek {
    Peek::Hello { server_name: name.map(str::to_owned) }
}

#[test]
fn names_are_found_in_whatever_records_they_come() {
    let all = [extension(0x2b, &[2, 3, 4]), sni(b"WWW.Example.com"), extension(0x33, b"x")].concat();
    for size in [1, 2, 3, 5, 50, 10_000] {
        let bytes = hello(Some(&all), size);
        assert_eq!(peek(&bytes), found(Some("www.example.com")), "records of {size}");
        let mut reader = HelloReader::default();
        for cut in 0..bytes.len() {
            assert_eq!(peek(&bytes[..cut]), Peek::Incomplete, "records of {size} cut at {cut}");
            assert_eq!(reader.peek(&bytes[..cut]), Peek::Incomplete, "records of {size}, at {cut}");
        }
        assert_eq!(reader.peek(&bytes), found(Some("www.example.com")), "records of {size}");
    }
}

#[test]
fn a_final_dot_is_no_part_of_the_name() {
    for (name, want) in [
        ("www.example.com.", "www.example.com"),
        ("WWW.Example.COM.", "www.example.com"),
        ("localhost.", "localhost"),
        ("a_b.example", "a_b.example"),
        ("xn--bcher-kva.example.", "xn--bcher-kva.example"),
    ] {
        assert_eq!(peek(&hello(Some(&sni(name.as_bytes())), 10_000)), found(Some(want)), "{name}");
    }
}

/// Of a client that encrypts its ClientHello (RFC 9849) the outer one is all that can be read here, and the name in it is the
/// one that its server publishes for that. Values that nobody knows are passed over (RFC 8701).
#[test]
fn the_name_of_an_outer_hello_counts() {
    let encrypted = [&[0, 0, 1, 0, 1, 7][..], &vector(2, &[1; 32]), &vector(2, &[2; 200])].concat();
    let (ech, grease) = (extension(0xfe0d, &encrypted), extension(0x0a0a, b""));
    for all in [
        [&grease[..], &ech, &sni(b"public.example"), &extension(0x3a3a, &[0])].concat(),
        [&sni(b"public.example")[..], &grease, &ech].concat(),
    ] {
        for size in [1, 60, 10_000] {
            assert_eq!(peek(&hello(Some(&all), size)), found(Some("public.example")));
        }
    }
    // Without one there is no name, whatever is inside.
    assert_eq!(peek(&hello(Some(&ech), 10_000)), found(None));
}

#[test]
fn bytes_behind_a_hello_are_not_looked_at() {
    let mut bytes = hello(Some(&sni(b"a.example")), 40);
    bytes.extend_from_slice(b"\x00\xff no record");
    assert_eq!(peek(&bytes), found(Some("a.example")));
}

#[test]
fn without_a_name_there_is_none() {
    for extensions in [
        None,
        Some(Vec::new()),
        Some(extension(0x2b, &[2, 3, 4])),
        Some(sni(b"192.0.2.1")),
        Some(sni(b"2001:db8::1")),
    ] {
        assert_eq!(peek(&hello(extensions.as_deref(), 10_000)), found(None), "{extensions:?}");
    }
}

#[test]
fn what_is_no_hello_is_told_apart() {
    assert_eq!(peek(b"GET / HTTP/1.1\r\n"), Peek::NotTls);
    assert_eq!(peek(b"\x16\x02"), Peek::NotTls);
    assert_eq!(peek(b""), Peek::Incomplete);
    let one = hello(None, 10_000);
    let mut other = one.clone();
    other[5] = 2;
    assert_eq!(peek(&other), Peek::Malformed, "a ServerHello");
    let twice = [sni(b"a.example"), sni(b"b.example")].concat();
    let both = vector(2, &[&[0][..], &vector(2, b"a"), &[0], &vector(2, b"b")].concat());
    for bad in [
        twice,
        extension(0, &both),
        extension(0, &vector(2, b"")),
        sni(b""),
        sni(b"a..b"),
        sni(b"a b"),
        sni(b"a.example.."),
        sni(b"."),
        sni(b"192.0.2.1."),
        sni(&[0xff]),
        sni(&[b'a'; 300]),
        vec![0, 0, 9],
    ] {
        assert_eq!(peek(&hello(Some(&bad), 10_000)), Peek::Malformed, "{bad:?}");
    }
}

#[test]
fn nobody_makes_us_wait_for_more_than_a_hello() {
    let long = [22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff];
    assert_eq!(peek(&long), Peek::Malformed);
    assert_eq!(peek(&[22, 3, 1, 0xff, 0xff]), Peek::Malformed);
    let drip: Vec<u8> = [22, 3, 1, 0, 0].repeat(10);
    assert_eq!(peek(&drip), Peek::Malformed, "empty records");
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let mut bytes = hello(Some(&sni(b"www.example.com")), 40);
    for at in 0..bytes.len() {
        for change in [0, 1, 0x7f, 0xff] {
            let kept = std::mem::replace(&mut bytes[at], change);
            let _ = peek(&bytes);
            bytes[at] = kept;
        }
    }
}
