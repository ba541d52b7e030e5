//! One key, and the few that a Gateway has at a time.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};

use super::TicketScope;

/// Seconds for which a client may keep a ticket.
pub(super) const TICKET_LIFETIME: u32 = 12 * 60 * 60;
/// Age in seconds from which a key is too old to open a ticket.
pub(super) const OPENS: u64 = 24 * 60 * 60;
/// Bytes of a key's name, with which a ticket begins.
const NAME: usize = 16;

/// The secret of a key, and the time at which it was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketSecret {
    /// In seconds since 1970.
    pub made: u64,
    /// Random bytes, or derived from such.
    pub bytes: [u8; 32],
}

impl TicketSecret {
    /// New random bytes.
    pub(super) fn random(made: u64) -> std::io::Result<Self> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(std::io::Error::other)?;
        Ok(Self { made, bytes })
    }

    /// Another secret out of this one, by its purpose (RFC 5869 section 2.3). Neither tells the other.
    pub(super) fn derive(&self, purpose: &[&[u8]]) -> Option<Self> {
        Some(Self { made: self.made, bytes: derive(&self.bytes, purpose)? })
    }

    pub(super) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.made)
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketSecret of {}", self.made)
    }
}

/// A length of derived bytes.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(secret: &[u8], purpose: &[&[u8]]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let extracted = Salt::new(HKDF_SHA256, b"sluice tickets 1").extract(secret);
    extracted.expand(purpose, Bytes(N)).ok()?.fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A key in use.
struct TicketKey {
    name: [u8; NAME],
    // Nonces are random and a key is in use on all nodes at once: one that came twice would only tell that two tickets are
    // alike (RFC 8452).
    key: LessSafeKey,
}

impl TicketKey {
    fn new(secret: &TicketSecret) -> Option<Self> {
        let bytes: [u8; 32] = derive(&secret.bytes, &[b"key"])?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &bytes).ok()?);
        Some(Self { name: derive(&secret.bytes, &[b"name"])?, key })
    }

    fn aad(&self, scope: &TicketScope) -> Aad<[u8; NAME + 32]> {
        let mut aad = [0; NAME + 32];
        let (name, rest) = aad.split_at_mut(NAME);
        name.copy_from_slice(&self.name);
        rest.copy_from_slice(scope);
        Aad::from(aad)
    }
}

/// A Gateway's keys at a time.
pub(super) struct Ring {
    /// The first one seals.
    keys: Vec<TicketKey>,
    /// Time from which another one must seal.
    until: u64,
}

impl Ring {
    /// Keys of these secrets, of which the first one seals until then.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a TicketSecret>, until: u64) -> Self {
        Self { keys: secrets.into_iter().filter_map(TicketKey::new).collect(), until }
    }

    pub(super) fn is_good(&self, now: u64) -> bool {
        now < self.until
    }

    /// The key's name, a nonce, and the sealed content with its tag.
    pub(super) fn seal(&self, scope: &TicketScope, plain: &[u8]) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NAME + NONCE_LEN + plain.len() + AES_256_GCM_SIV.tag_len());
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let sealed = ticket.get_mut(NAME + NONCE_LEN..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.key.seal_in_place_separate_tag(nonce, key.aad(scope), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    /// The content of a ticket that one of these keys sealed for this scope.
    pub(super) fn open(&self, scope: &TicketScope, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let key = self.keys.iter().find(|key| key.name == name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut content = sealed.to_vec();
        let length = key.key.open_in_place(nonce, key.aad(scope), &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
    }
}
