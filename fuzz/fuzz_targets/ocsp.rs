//! OCSP responses of Secrets: whatever is in one, it is about our certificate or refused.
#![no_main]

use std::sync::LazyLock;

use gateway_tls::{Identity, Staple};
use libfuzzer_sys::fuzz_target;

static LEAF: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let certificate = include_bytes!("../../gateway-user/tls/tests/certificates/ocsp/leaf.pem");
    let key = include_bytes!("../../gateway-user/tls/tests/certificates/ocsp/leaf.key");
    Identity::read(certificate, key).expect("a certificate with its key").identity.chain.remove(0)
});

fuzz_target!(|data: &[u8]| {
    let Ok(staple) = Staple::read(data, &LEAF) else { return };
    assert_eq!(staple.der, data);
    // It names the certificate by its number.
    assert!(data.windows(4).any(|part| part == [0xd1, 0x23, 0x45, 0x67]));
    assert!(!staple.is_current(staple.this_update - 1));
    assert!(staple.next_update.is_none_or(|end| !staple.is_current(end)));
});
