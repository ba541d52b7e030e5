//! The certificates of controllers as time goes on. Pure.
//!
//! Nodes trust what the ConfigMap has had for a day: its copies in their pods are as old as a kubelet's look at it, and a
//! node reads them when it connects. So an authority is published long before it signs, and stays until what it signed is
//! over.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use super::authority::{BACKDATED_SECONDS, Pair, authority, serving};

/// Time for which an authority is published before it signs.
const PUBLISHED_SECONDS: i64 = 24 * 3600;

/// The contents of the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificates {
    /// The authority that signs.
    pub(super) signing: Pair,
    /// The one that will.
    pub(super) next: Option<Pair>,
    /// Certificate of the one that did.
    pub(super) before: Option<String>,
    /// The certificate that controllers show.
    pub(super) serving: Pair,
}

impl Certificates {
    /// Those of a cluster that has none.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn new(now: i64) -> Result<Self, rcgen::Error> {
        let signing = authority(now)?;
        let serving = serving(&signing, now)?;
        Ok(Self { signing, next: None, before: None, serving })
    }

    /// Those that are to take their place now, if any. `published` is what nodes are told to trust.
    ///
    /// # Errors
    /// They cannot be read, or the system gives no random numbers.
    pub(super) fn after(&self, now: i64, published: &str) -> Result<Option<Self>, rcgen::Error> {
        let mut next = self.clone();
        if is_over(self.signing.validity(), now) {
            // Nobody kept them in time: nodes trust none of these any more.
            return Self::new(now).map(Some);
        }
        if next.before.as_ref().is_some_and(|one| is_over(gateway_tls::validity(one.as_bytes()), now)) {
            next.before = None;
        }
        if next.next.is_none() && is_due(self.signing.validity(), now) {
            next.next = Some(authority(now)?);
        }
        let has_waited = |one: &&Pair| {
            let since = one.validity().map_or(now, |(first, _)| first + BACKDATED_SECONDS);
            published.contains(one.certificate.trim()) && now >= since + PUBLISHED_SECONDS
        };
        if let Some(signing) = self.next.as_ref().filter(has_waited) {
            next.before = Some(std::mem::replace(&mut next.signing, signing.clone()).certificate);
            next.next = None;
            next.serving = serving(&next.signing, now)?;
        } else if is_due(self.serving.validity(), now) {
            next.serving = serving(&next.signing, now)?;
        }
        Ok((next != *self).then_some(next))
    }

    /// The certificates that nodes are to trust, in PEM.
    pub(super) fn trusted(&self) -> String {
        let next = self.next.as_ref().map(|one| &one.certificate);
        let all = [Some(&self.signing.certificate), next, self.before.as_ref()];
        all.into_iter().flatten().map(|one| format!("{}\n", one.trim())).collect()
    }

    /// The Secret's entries.
    pub(super) fn to_data(&self) -> BTreeMap<String, ByteString> {
        let pair = |name: &str, pair: &Pair| {
            [(format!("{name}.crt"), pair.certificate.clone()), (format!("{name}.key"), pair.key.clone())]
        };
        let mut data: Vec<(String, String)> = pair("ca", &self.signing).into();
        data.extend(pair("tls", &self.serving));
        data.extend(self.next.iter().flat_map(|next| pair("next", next)));
        data.extend(self.before.iter().map(|one| ("before.crt".to_owned(), one.clone())));
        data.into_iter().map(|(name, text)| (name, ByteString(text.into_bytes()))).collect()
    }

    /// Reads the Secret's entries.
    ///
    /// # Errors
    /// One is missing, or is none.
    pub(super) fn of_data(data: &BTreeMap<String, ByteString>) -> Result<Self, String> {
        let text = |name: &str| {
            data.get(name)
                .map(|bytes| String::from_utf8(bytes.0.clone()).map_err(|_| format!("{name} is not text")))
                .transpose()
        };
        let pair = |name: &str| -> Result<Option<Pair>, String> {
            let (crt, key) = (format!("{name}.crt"), format!("{name}.key"));
            match (text(&crt)?, text(&key)?) {
                (None, None) => Ok(None),
                (Some(certificate), Some(private)) => {
                    let pair = Pair { certificate, key: private };
                    pair.validity().ok_or_else(|| format!("{crt} is no certificate"))?;
                    rcgen::KeyPair::from_pem(&pair.key).map_err(|_| format!("{key} is no private key"))?;
                    Ok(Some(pair))
                }
                (None, Some(_)) => Err(format!("{crt} is missing")),
                (Some(_), None) => Err(format!("{key} is missing")),
            }
        };
        let needed = |name: &str| pair(name)?.ok_or_else(|| format!("{name}.crt is missing"));
        let before = text("before.crt")?.filter(|text| gateway_tls::validity(text.as_bytes()).is_some());
        Ok(Self { signing: needed("ca")?, next: pair("next")?, before, serving: needed("tls")? })
    }
}

fn is_over(validity: Option<(i64, i64)>, now: i64) -> bool {
    validity.is_none_or(|(_, last)| now > last)
}

/// True in the last third of a validity.
fn is_due(validity: Option<(i64, i64)>, now: i64) -> bool {
    validity.is_none_or(|(first, last)| now > last - (last - first) / 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;
    const START: i64 = 1_800_000_000;

    /// True if somebody who trusts `trusted` believes what is shown at `now`: its signer is among them, and both are valid.
    fn believes(trusted: &str, shown: &Certificates, now: i64) -> bool {
        let valid = |pem: &str| {
            gateway_tls::validity(pem.as_bytes()).is_some_and(|(first, last)| (first..=last).contains(&now))
        };
        trusted.contains(shown.signing.certificate.trim())
            && valid(&shown.signing.certificate)
            && valid(&shown.serving.certificate)
    }

    #[test]
    fn who_reads_what_is_trusted_once_a_day_is_never_refused() {
        let mut now = START;
        let mut certificates = Certificates::new(now).unwrap();
        let (mut known, mut signers, mut shown) = (certificates.trusted(), 1, 1);
        while now < START + 5 * 365 * DAY {
            now += DAY / 4;
            if let Some(next) = certificates.after(now, &certificates.trusted()).unwrap() {
                signers += i32::from(next.signing != certificates.signing);
                shown += i32::from(next.serving != certificates.serving);
                assert!(
                    believes(&known, &next, now),
                    "a copy that is a day old, {} days on",
                    (now - START) / DAY
                );
                certificates = next;
            }
            assert!(believes(&known, &certificates, now));
            if (now - START) % DAY == 0 {
                known = certificates.trusted();
            }
            assert!(known.matches("BEGIN").count() <= 3);
        }
        assert!((7..=9).contains(&signers), "{signers} signers in five years");
        assert!((85..=110).contains(&shown), "{shown} certificates in five years");
    }

    #[test]
    fn an_authority_that_could_not_be_published_does_not_sign() {
        let first = Certificates::new(START).unwrap();
        let published = first.trusted();
        let mut certificates = first.clone();
        for day in (0..360).map(|day| START + day * DAY) {
            certificates = certificates.after(day, &published).unwrap().unwrap_or(certificates);
            assert!(believes(&published, &certificates, day));
        }
        assert!(certificates.next.is_some());
        // Better another one than none.
        let late = certificates.after(START + 366 * DAY, &published).unwrap().unwrap();
        assert!(believes(&late.trusted(), &late, START + 366 * DAY));
    }

    #[test]
    fn the_secret_holds_all_of_it_and_says_what_is_wrong() {
        let first = Certificates::new(START).unwrap();
        let at = START + 300 * DAY;
        let second = first.after(at, "").unwrap().unwrap();
        let third = second.after(at + DAY, &second.trusted()).unwrap().unwrap();
        assert_eq!(third.before.as_ref(), Some(&first.signing.certificate));
        for one in [&first, &second, &third] {
            assert_eq!(Certificates::of_data(&one.to_data()).as_ref(), Ok(one));
        }
        let without = |name: &str| {
            let mut data = first.to_data();
            data.remove(name);
            Certificates::of_data(&data).unwrap_err()
        };
        assert_eq!(without("ca.key"), "ca.key is missing");
        assert_eq!(without("tls.crt"), "tls.crt is missing");
        let with = |name: &str, text: &str| {
            let mut data = first.to_data();
            data.insert(name.to_owned(), ByteString(text.as_bytes().to_vec()));
            Certificates::of_data(&data).unwrap_err()
        };
        assert_eq!(with("tls.key", "x"), "tls.key is no private key");
        assert_eq!(with("ca.crt", "x"), "ca.crt is no certificate");
    }

    #[tokio::test]
    async fn a_node_that_trusts_it_gets_through_and_no_other() {
        let now = jiff::Timestamp::now().as_second();
        let (ours, others) = (Certificates::new(now).unwrap(), Certificates::new(now).unwrap());
        let handshake = async |trusted: String| {
            let acceptor =
                super::super::shown(ours.serving.certificate.as_bytes(), ours.serving.key.as_bytes())
                    .unwrap();
            let connector =
                tokio_rustls::TlsConnector::from(gateway_tls::stream_client(trusted.as_bytes()).unwrap());
            let (near, far) = tokio::io::duplex(1 << 16);
            let (served, connected) =
                tokio::join!(acceptor.0.accept(near), connector.connect(gateway_tls::stream_name(), far));
            drop(served);
            connected.map(drop)
        };
        handshake(ours.trusted()).await.unwrap();
        handshake([others.trusted(), ours.trusted()].concat()).await.unwrap();
        let error = handshake(others.trusted()).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
    }

    #[test]
    fn a_certificate_with_another_name_is_refused_with_the_name_to_use() {
        let mut other = rcgen::CertificateParams::new(vec!["controller.example".to_owned()]).unwrap();
        other.distinguished_name = rcgen::DistinguishedName::new();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = other.self_signed(&key).unwrap().pem();
        let error = super::super::shown(certificate.as_bytes(), key.serialize_pem().as_bytes())
            .map(drop)
            .unwrap_err();
        assert!(
            error.contains("controller.example") && error.contains("put sluice-controller among"),
            "{error}"
        );
    }
}
