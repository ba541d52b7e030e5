//! PROXY headers: whole at one length alone, whatever follows, and with one meaning.
#![no_main]

use std::net::SocketAddr;

use gateway_http::proxy_header::{MAX_HEADER, Parsed, Proxied, parse};
use libfuzzer_sys::fuzz_target;
use ppp::{v1, v2};

/// The header as an independent reader understands it; `None` if it names nobody.
fn theirs(header: &[u8]) -> Option<Proxied> {
    let (client, destination): (SocketAddr, SocketAddr) = if header.starts_with(b"PROXY ") {
        match v1::Header::try_from(header).expect("a line that we accept").addresses {
            v1::Addresses::Unknown => return None,
            v1::Addresses::Tcp4(v1::IPv4 {
                source_address,
                source_port,
                destination_address,
                destination_port,
            }) => ((source_address, source_port).into(), (destination_address, destination_port).into()),
            v1::Addresses::Tcp6(v1::IPv6 {
                source_address,
                source_port,
                destination_address,
                destination_port,
            }) => ((source_address, source_port).into(), (destination_address, destination_port).into()),
        }
    } else {
        let header = v2::Header::try_from(header).expect("a block that we accept");
        assert_eq!(header.command, v2::Command::Proxy);
        assert!(header.tlvs().all(|tlv| tlv.is_ok()), "TLVs that end elsewhere");
        match header.addresses {
            v2::Addresses::IPv4(v2::IPv4 {
                source_address,
                source_port,
                destination_address,
                destination_port,
            }) => ((source_address, source_port).into(), (destination_address, destination_port).into()),
            v2::Addresses::IPv6(v2::IPv6 {
                source_address,
                source_port,
                destination_address,
                destination_port,
            }) => ((source_address, source_port).into(), (destination_address, destination_port).into()),
            v2::Addresses::Unspecified | v2::Addresses::Unix(_) => return None,
        }
    };
    Some(Proxied { client, destination })
}

fuzz_target!(|data: &[u8]| {
    let first = parse(data);
    let appended = parse(&[data, b"\r\nGET / HTTP/1.1\r\n\r\n"].concat());
    let Ok(Parsed::Complete { consumed, source }) = first else {
        // Bytes that are no header do not become one.
        assert!(first.is_ok() || appended == first);
        return;
    };
    assert!(consumed <= data.len() && consumed <= MAX_HEADER);
    assert_eq!(appended, first, "what follows counts");
    assert_eq!(parse(&data[..consumed]), first);
    for cut in 0..consumed {
        assert_eq!(parse(&data[..cut]), Ok(Parsed::Incomplete), "{cut} of {consumed}");
    }
    // A header that names nobody may have anything behind that, of which readers take more or less.
    if let Some(said) = source {
        assert_eq!(theirs(&data[..consumed]), source);
        // And what we write of it says the same, to both readers.
        for header in [said.to_line(), said.to_binary()] {
            assert_eq!(parse(&header), Ok(Parsed::Complete { consumed: header.len(), source }));
            assert_eq!(theirs(&header), source);
        }
    }
});
