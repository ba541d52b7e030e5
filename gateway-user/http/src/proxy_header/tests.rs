use proptest::collection::vec;
use proptest::prelude::*;

use super::ProxyHeaderError as E;
use super::*;

/// Client and destination.
type Said = (&'static str, &'static str);

/// Version 2 with this block.
fn binary(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [binary::SIGNATURE, &[version_command, family], &length, block].concat()
}

fn ipv4(tlvs: &[u8]) -> Vec<u8> {
    [&[192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 187], tlvs].concat()
}

fn ipv6() -> Vec<u8> {
    let (client, destination) = ("2001:db8::7", "2001:db8::1");
    let bytes = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    [&bytes(client)[..], &bytes(destination), &[0x12, 0x67, 1, 187]].concat()
}

/// Every header that is accepted, and what it says.
fn accepted() -> Vec<(Vec<u8>, Option<Said>)> {
    let line = |text: &str| format!("PROXY {text}\r\n").into_bytes();
    let (four, six) = (("192.0.2.7:4711", "10.0.0.1:443"), ("[2001:db8::7]:4711", "[2001:db8::1]:443"));
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    vec![
        (line("TCP4 192.0.2.7 10.0.0.1 4711 443"), Some(four)),
        (line("TCP6 2001:db8::7 2001:DB8:0:0:0:0:0:1 4711 443"), Some(six)),
        (line("TCP6 ::ffff:192.0.2.7 ::1 0 65535"), Some(("[::ffff:192.0.2.7]:0", "[::1]:65535"))),
        (line("UNKNOWN"), None),
        // The specification's longest line.
        (line(&format!("UNKNOWN {longest} {longest} 65535 65535")), None),
        (line("UNKNOWN  what ever"), None),
        (binary(0x21, 0x11, &ipv4(&[])), Some(four)),
        (binary(0x21, 0x11, &ipv4(&[4, 0, 0, 5, 0, 2, b'i', b'd'])), Some(four)),
        (binary(0x21, 0x21, &ipv6()), Some(six)),
        (binary(0x21, 0x11, &ipv4(&[&[4, 0x0f, 0xe1][..], &[0; 4065]].concat())), Some(four)),
        (binary(0x21, 0x00, b"skipped"), None),
        (binary(0x20, 0x00, &[]), None),
        (binary(0x20, 0x31, b"of any family"), None),
    ]
}

#[test]
fn headers_are_read_at_any_length_and_whatever_follows() {
    for (header, said) in accepted() {
        let source = said.map(|(client, destination)| Proxied {
            client: client.parse().unwrap(),
            destination: destination.parse().unwrap(),
        });
        let whole = Ok(Parsed::Complete { consumed: header.len(), source });
        assert_eq!(parse(&header), whole, "{:?}", header.escape_ascii().to_string());
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Ok(Parsed::Incomplete), "{cut} of {}", header.escape_ascii());
        }
        for behind in [&b"\r\n"[..], b"GET / HTTP/1.1\r\n", &[0; 5000], b"PROXY UNKNOWN\r\n"] {
            assert_eq!(parse(&[&header, behind].concat()), whole);
        }
    }
    assert_eq!(accepted().iter().map(|(header, _)| header.len()).max(), Some(MAX_HEADER));
}

#[test]
fn lines_that_are_none_are_refused() {
    let long = format!("UNKNOWN {}", "x".repeat(92));
    for (line, error) in [
        ("GET / HTTP/1.1\r\n", E::Missing),
        ("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", E::Missing),
        ("PROXY\tTCP4 1.2.3.4 1.2.3.4 1 2\r\n", E::Missing),
        ("\u{16}\u{3}\u{1}", E::Missing),
        (&format!("PROXY {long}\r\n"), E::LineTooLong),
        (&format!("PROXY {long}{long}"), E::LineTooLong),
        ("PROXY \r\n", E::BadLine),
        ("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", E::BadLine),
        ("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", E::BadLine),
        ("PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", E::BadLine),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", E::BadLine),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", E::BadLine),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", E::BadLine),
        ("PROXY TCP4\r\n", E::BadLine),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", E::BadLine),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1\r2\r\n", E::BadLine),
        ("PROXY TCP4 1.2.3.4 1.2.3.4\t1 2\r\n", E::BadLine),
        ("PROXY UNKNOWN \u{e9}\r\n", E::BadLine),
        ("PROXY UNKNOWN \0\r\n", E::BadLine),
        ("PROXY UNKNOWNS\r\n", E::UnsupportedFamily),
        ("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", E::UnsupportedFamily),
        ("PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", E::UnsupportedFamily),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", E::BadAddress),
        ("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.4 ::1 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP6 fe80::1%1 ::1 1 2\r\n", E::BadAddress),
        ("PROXY TCP6 [::1] ::1 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 -2\r\n", E::BadAddress),
    ] {
        assert_eq!(parse(line.as_bytes()), Err(error), "{line:?}");
    }
}

#[test]
fn blocks_that_are_none_are_refused() {
    let v4 = ipv4(&[]);
    for (header, error) in [
        (binary(0x11, 0x11, &v4), E::UnknownVersion),
        (binary(0x31, 0x11, &v4), E::UnknownVersion),
        (binary(0x22, 0x11, &v4), E::UnknownCommand),
        (binary(0x2f, 0x11, &v4), E::UnknownCommand),
        (binary(0x21, 0x12, &v4), E::UnsupportedFamily),
        (binary(0x21, 0x22, &ipv6()), E::UnsupportedFamily),
        (binary(0x21, 0x31, &[0; 216]), E::UnsupportedFamily),
        (binary(0x21, 0x32, &[0; 216]), E::UnsupportedFamily),
        (binary(0x21, 0x10, &v4), E::UnsupportedFamily),
        (binary(0x21, 0x01, &v4), E::UnsupportedFamily),
        (binary(0x21, 0x41, &v4), E::UnsupportedFamily),
        (binary(0x21, 0x11, &v4[..11]), E::TooShort),
        (binary(0x21, 0x11, &[]), E::TooShort),
        (binary(0x21, 0x21, &ipv6()[..35]), E::TooShort),
        (binary(0x21, 0x11, &[0; 4081]), E::TooLong),
        (binary(0x20, 0x00, &[0; 65535]), E::TooLong),
        (binary(0x21, 0x11, &ipv4(&[4])), E::BadTlv),
        (binary(0x21, 0x11, &ipv4(&[4, 0])), E::BadTlv),
        (binary(0x21, 0x11, &ipv4(&[4, 0, 1])), E::BadTlv),
        (binary(0x21, 0x11, &ipv4(&[4, 0, 1, 9, 4, 255, 255, 0])), E::BadTlv),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), E::Missing),
        (b"\r\nGET / HTTP/1.1\r\n".to_vec(), E::Missing),
    ] {
        assert_eq!(parse(&header), Err(error), "{}", header.escape_ascii());
    }
}

proptest! {
    #[test]
    fn headers_are_read_as_they_were_written(
        client in any::<SocketAddr>(), destination in any::<SocketAddr>(), behind in vec(any::<u8>(), 0..9),
    ) {
        // Neither has a scope or a flow in a header.
        let plain = |address: SocketAddr| SocketAddr::new(address.ip(), address.port());
        let said = Proxied { client: plain(client), destination: plain(destination) };
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        for header in [said.to_line(), said.to_binary()] {
            let Parsed::Complete { consumed, source } = parse(&[&header[..], &behind].concat()).unwrap() else {
                return Err(TestCaseError::fail("not whole"));
            };
            prop_assert_eq!(consumed, header.len());
            let read = source.unwrap();
            if client.is_ipv4() == destination.is_ipv4() {
                prop_assert_eq!(read, said);
            }
            prop_assert_eq!(canonical(read.client), canonical(client));
            prop_assert_eq!(canonical(read.destination), canonical(destination));
        }
    }
}

#[test]
fn headers_are_the_bytes_of_the_specification() {
    let said = |client: &str, destination: &str| Proxied {
        client: client.parse().unwrap(),
        destination: destination.parse().unwrap(),
    };
    let four = said("192.0.2.7:4711", "10.0.0.1:443");
    assert_eq!(four.to_line(), b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n");
    assert_eq!(four.to_binary(), binary(0x21, 0x11, &ipv4(&[])));
    let six = said("[2001:db8::7]:4711", "[2001:db8::1]:443");
    assert_eq!(six.to_line(), b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n");
    assert_eq!(six.to_binary(), binary(0x21, 0x21, &ipv6()));
    let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    assert!(said(longest, longest).to_line().len() <= 107);
    let mixed = said("[2001:db8::7]:1", "10.0.0.1:2").to_line();
    assert_eq!(mixed, b"PROXY TCP6 2001:db8::7 ::ffff:10.0.0.1 1 2\r\n");
}

#[test]
fn errors_are_numbered_in_order() {
    for (at, error) in E::ALL.into_iter().enumerate() {
        assert_eq!(error as usize, at, "{}", error.code());
    }
}
