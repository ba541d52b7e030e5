//! From the TLS library's session to one of ours.

use rustls::server::UnbufferedServerConnection;
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets};

use super::EstablishedSession;
use super::capture::TrafficSecrets;
use super::keys::{Cipher, KeyMaterial, Secret, Seed};
use super::record::Format;
use super::sides::{Sides, Way};
use crate::Version;

impl EstablishedSession {
    /// Goes on where the library's session is, behind its handshake. `secrets` are those of a handshake of TLS 1.3. `None` if they
    /// are not those of its keys any more, or the library does not give them away.
    pub(crate) fn take_over(
        connection: UnbufferedServerConnection,
        secrets: Option<TrafficSecrets>,
        peer_closed: bool,
    ) -> Option<Self> {
        let version = Version::of(connection.protocol_version()?);
        let (extracted, _) = connection.dangerous_into_kernel_connection().ok()?;
        let secrets = secrets.map(|TrafficSecrets { client, server }| (server, client));
        let sides = sides(version, &extracted, secrets)?;
        Some(Self { peer_closed, ..Self::new(sides) })
    }
}

/// Both directions as they are, with the secrets of TLS 1.3 for what is sent and what is received.
pub(super) fn sides(
    version: Version,
    extracted: &ExtractedSecrets,
    secrets: Option<(Secret, Secret)>,
) -> Option<Sides> {
    let (out_number, out_keys) = &extracted.tx;
    let (incoming_number, incoming_keys) = &extracted.rx;
    let (cipher, out_key, out_iv) = parts(out_keys)?;
    let (_, incoming_key, incoming_iv) = parts(incoming_keys)?;
    let (out, incoming) = match version {
        Version::Tls13 => {
            let (out, incoming) = secrets?;
            (Seed::Traffic(out), Seed::Traffic(incoming))
        }
        Version::Tls12 => (
            Seed::Fixed(KeyMaterial::new(out_key, out_iv)?),
            Seed::Fixed(KeyMaterial::new(incoming_key, incoming_iv)?),
        ),
    };
    let is_same = out.gives(cipher, out_key, out_iv) && incoming.gives(cipher, incoming_key, incoming_iv);
    let out = Way { seed: out, number: *out_number };
    let incoming = Way { seed: incoming, number: *incoming_number };
    is_same.then(|| Sides::new(Format { version, cipher }, out, incoming))
}

/// Cipher, key and fixed part of the nonces; `None` of a cipher that is not known here.
fn parts(secrets: &ConnectionTrafficSecrets) -> Option<(Cipher, &[u8], &[u8])> {
    use ConnectionTrafficSecrets as Of;
    let (cipher, key, iv) = match secrets {
        Of::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
        Of::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
        Of::Chacha20Poly1305 { key, iv } => (Cipher::ChaCha20Poly1305, key, iv),
        _ => return None,
    };
    Some((cipher, key.as_ref(), iv.as_ref()))
}
