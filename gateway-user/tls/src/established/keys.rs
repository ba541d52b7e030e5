//! The keys of one direction, and the secret that they are made from, again after a rest.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{aead, hkdf};
use zeroize::Zeroize as _;

/// Bytes of a nonce of every cipher (RFC 5116 section 5, RFC 8439).
pub(super) const NONCE: usize = aead::NONCE_LEN;
/// Bytes of the longest key.
const KEY_MAX: usize = 32;
/// Bytes of the longest traffic secret, that of SHA-384.
const SECRET_MAX: usize = 48;

/// The ciphers that there are, in both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Cipher {
    fn algorithm(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &aead::AES_128_GCM,
            Self::Aes256Gcm => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    /// The hash of its suite of TLS 1.3 (RFC 8446 appendix B.4).
    fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Self::Aes256Gcm => hkdf::HKDF_SHA384,
            Self::Aes128Gcm | Self::ChaCha20Poly1305 => hkdf::HKDF_SHA256,
        }
    }

    /// Most records that are sealed with one key (RFC 8446 section 5.5). ChaCha20-Poly1305 needs no limit. Nor do forgeries: the
    /// first one ends the session.
    pub(super) fn records_per_key(self) -> u64 {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 1 << 24,
            Self::ChaCha20Poly1305 => u64::MAX,
        }
    }
}

/// A traffic secret of TLS 1.3 (RFC 8446 section 7.1), as long as the suite's hash.
pub(crate) struct Secret {
    bytes: [u8; SECRET_MAX],
    len: u8,
}

impl Secret {
    /// `None` if that is longer than any hash there is.
    pub(crate) fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; SECRET_MAX];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        Some(Self { bytes, len: u8::try_from(from.len()).ok()? })
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The one that takes its place with a key update (RFC 8446 section 7.2).
    pub(super) fn next(&self, cipher: Cipher) -> Result<Self, Unspecified> {
        let mut next = Self { bytes: [0; SECRET_MAX], len: self.len };
        let out = next.bytes.get_mut(..usize::from(self.len)).unwrap_or_default();
        expand(cipher, self.as_slice(), b"traffic upd", out)?;
        Ok(next)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// A key with the fixed part of its nonces.
pub(super) struct KeyMaterial {
    key: [u8; KEY_MAX],
    iv: [u8; NONCE],
}

impl KeyMaterial {
    /// `None` if one of them has another length than any key or nonce.
    pub(super) fn new(key: &[u8], iv: &[u8]) -> Option<Self> {
        let mut own = Self { key: [0; KEY_MAX], iv: iv.try_into().ok()? };
        own.key.get_mut(..key.len())?.copy_from_slice(key);
        Some(own)
    }

    /// Those of a traffic secret (RFC 8446 section 7.3).
    fn of(secret: &Secret, cipher: Cipher) -> Result<Self, Unspecified> {
        let mut own = Self { key: [0; KEY_MAX], iv: [0; NONCE] };
        let key = own.key.get_mut(..cipher.algorithm().key_len()).ok_or(Unspecified)?;
        expand(cipher, secret.as_slice(), b"key", key)?;
        expand(cipher, secret.as_slice(), b"iv", &mut own.iv)?;
        Ok(own)
    }
}

impl Drop for KeyMaterial {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

/// That from which a direction's key is made.
pub(super) enum Seed {
    /// Of TLS 1.3.
    Traffic(Secret),
    /// Of TLS 1.2, whose keys stay.
    Fixed(KeyMaterial),
}

impl Seed {
    /// True if these are the key and nonce that it gives.
    pub(super) fn gives(&self, cipher: Cipher, key: &[u8], iv: &[u8]) -> bool {
        let Some(wanted) = KeyMaterial::new(key, iv) else { return false };
        let is_same = |own: &KeyMaterial| own.key == wanted.key && own.iv == wanted.iv;
        match self {
            Self::Traffic(secret) => KeyMaterial::of(secret, cipher).is_ok_and(|own| is_same(&own)),
            Self::Fixed(own) => is_same(own),
        }
    }

    /// The cipher with its key, and the fixed part of nonces.
    pub(super) fn context(&self, cipher: Cipher) -> Result<Context, Unspecified> {
        match self {
            Self::Traffic(secret) => Context::new(cipher, &KeyMaterial::of(secret, cipher)?),
            Self::Fixed(material) => Context::new(cipher, material),
        }
    }
}

/// A cipher that is ready to be used with one key: some 600 bytes of AWS-LC's.
pub(super) struct Context {
    pub(super) key: aead::LessSafeKey,
    iv: [u8; NONCE],
}

impl Context {
    fn new(cipher: Cipher, material: &KeyMaterial) -> Result<Self, Unspecified> {
        let algorithm = cipher.algorithm();
        let key = material.key.get(..algorithm.key_len()).ok_or(Unspecified)?;
        Ok(Self { key: aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key)?), iv: material.iv })
    }

    /// The nonce of the record with this number (RFC 8446 section 5.3, RFC 7905 section 2).
    pub(super) fn nonce(&self, number: u64) -> [u8; NONCE] {
        let mut nonce = self.iv;
        for (byte, part) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= part;
        }
        nonce
    }

    /// The nonce that a record of AES-GCM in TLS 1.2 brings with it (RFC 5288 section 3).
    pub(super) fn explicit_nonce(&self, explicit: [u8; 8]) -> [u8; NONCE] {
        let mut nonce = self.iv;
        for (byte, part) in nonce.iter_mut().rev().zip(explicit.into_iter().rev()) {
            *byte = part;
        }
        nonce
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}

/// Length of what is expanded, as the library asks for it.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label without a context (RFC 8446 section 7.1).
fn expand(cipher: Cipher, secret: &[u8], label: &[u8], out: &mut [u8]) -> Result<(), Unspecified> {
    const PREFIX: &[u8] = b"tls13 ";
    let length = u16::try_from(out.len()).map_err(|_| Unspecified)?.to_be_bytes();
    let labelled = u8::try_from(PREFIX.len() + label.len()).map_err(|_| Unspecified)?;
    let info = [&length[..], &[labelled], PREFIX, label, &[0]];
    let expander = hkdf::Prk::new_less_safe(cipher.hkdf(), secret);
    expander.expand(&info, Length(out.len()))?.fill(out)
}
