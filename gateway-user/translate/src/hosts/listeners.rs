//! The listeners that are served, as hosts see them: which one takes a host's requests.

use std::collections::BTreeMap;

use gateway_ir::{BindAddress, Hostname, ListenerId, Serve};

use crate::attach::Attachment;
use crate::gateway::GatewayState;
use crate::listener::ListenerState;
use crate::read::find_parent;

/// A listener: the indices of its Gateway and of itself in that.
pub(super) type Place = (u32, u32);

/// Every listener of connections that is served. Equal to another one if every host's requests reach the same listener.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listeners {
    served: BTreeMap<Place, ListenerId>,
    /// Where each is served.
    binds: BTreeMap<Place, Vec<(BindAddress, u16)>>,
    /// The listeners of each address and port.
    by_bind: BTreeMap<(BindAddress, u16), BTreeMap<Option<Hostname>, Place>>,
}

impl Listeners {
    pub(super) fn of(gateways: &[GatewayState<'_>]) -> Self {
        let mut all = Self::default();
        for (g, gateway) in (0u32..).zip(gateways) {
            let has_hosts = |listener: &ListenerState<'_>| listener.serve != Some(Serve::Udp);
            let listeners = (0u32..).zip(&gateway.listeners);
            for (l, listener) in listeners.filter(|(_, one)| gateway.serves(one) && has_hosts(one)) {
                let place = (g, l);
                all.served.insert(place, listener.id.clone());
                let binds: Vec<_> = gateway.addresses.iter().map(|one| (*one, listener.spec.port)).collect();
                for bind in &binds {
                    all.by_bind.entry(*bind).or_default().insert(listener.hostname.clone(), place);
                }
                all.binds.insert(place, binds);
            }
        }
        all
    }

    /// The listener of an attachment, if it is served.
    pub(super) fn find(&self, gateways: &[GatewayState<'_>], attachment: &Attachment) -> Option<Place> {
        let (gateway, _) = find_parent(gateways, &attachment.at)?;
        let place = (u32::try_from(gateway).ok()?, u32::try_from(attachment.listener).ok()?);
        self.served.contains_key(&place).then_some(place)
    }

    pub(super) fn id(&self, place: Place) -> Option<&ListenerId> {
        self.served.get(&place)
    }

    /// The listeners that take all requests for a host away from this one because their hostname is more
    /// specific, one for each of its addresses; none if it is reached on any.
    pub(super) fn instead_of(&self, place: Place, host: Option<&Hostname>) -> Vec<Place> {
        let mut others = Vec::new();
        for bind in self.binds.get(&place).into_iter().flatten() {
            match self.by_bind.get(bind).and_then(|all| serving(all, host)) {
                Some(other) if other != place => others.push(other),
                _ => return Vec::new(),
            }
        }
        others
    }
}

/// The listener with the most specific hostname that covers a host.
fn serving(all: &BTreeMap<Option<Hostname>, Place>, host: Option<&Hostname>) -> Option<Place> {
    if all.len() == 1 {
        return all.values().next().copied();
    }
    if let Some(place) = all.get(&host.cloned()) {
        return Some(*place);
    }
    let mut rest = match host? {
        Hostname::Exact(name) | Hostname::Wildcard(name) => name.as_str(),
    };
    while let Some((_, suffix)) = rest.split_once('.') {
        if let Some(place) = all.get(&Some(Hostname::Wildcard(suffix.to_owned()))) {
            return Some(*place);
        }
        rest = suffix;
    }
    all.get(&None).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_hostname_serves() {
        let names = ["a.example.com", "*.example.com", "*.com", ""];
        let host = |text: &str| (!text.is_empty()).then(|| Hostname::parse(text).unwrap());
        let all: BTreeMap<_, _> = (0u32..).zip(names).map(|(n, name)| (host(name), (0, n))).collect();
        for (asked, want) in [
            ("a.example.com", 0),
            ("b.example.com", 1),
            ("c.a.example.com", 1),
            ("*.a.example.com", 1),
            ("*.example.com", 1),
            ("example.com", 2),
            ("*.com", 2),
            ("com", 3),
            ("", 3),
        ] {
            assert_eq!(serving(&all, host(asked).as_ref()), Some((0, want)), "{asked}");
        }
    }
}
