//! The objects that are held only where they are wanted: Secrets that a Gateway of ours or a ListenerSet of one refers to, with leave, and ConfigMaps
//! and ClusterTrustBundles that a BackendTLSPolicy refers to. Of the others the version alone is known.
//!
//! An intruder in the proxy of one node finds in its memory and in its state directory what it serves with,
//! and not what else the cluster keeps. A watch of metadata says which there are and when they change; one that is wanted
//! is fetched (see [`super::fetch`]), and forgotten once it is wanted no more.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{Kind, ObjectKey};
use gateway_translate::TranslateOptions;

/// The kinds of which only what is wanted is held.
pub(super) const FETCHED: [Kind; 3] = [Kind::Secret, Kind::ConfigMap, Kind::ClusterTrustBundle];

/// Kind and name.
pub(super) type Place = (Kind, ObjectKey);

/// State of those objects beside what is held of them.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) options: TranslateOptions,
    /// The version of each that there is.
    versions: BTreeMap<Place, Box<str>>,
    /// Those that each object refers to and may read.
    wants: BTreeMap<Place, BTreeSet<Place>>,
    wanted: BTreeSet<Place>,
    /// Something has changed of which wants are made.
    pub(super) stale: bool,
    asked: BTreeMap<Place, Fetch>,
    /// Secrets of an earlier process that came without their key.
    pub(super) keyless: BTreeSet<ObjectKey>,
}

/// Outcome of one fetch.
#[derive(Debug)]
struct Fetch {
    /// The version that the watch had shown.
    version: Box<str>,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    UnderWay,
    Done,
    Failed(String),
}

impl Wanted {
    /// Knows no objects yet. The options say whose Gateways are ours.
    pub(super) fn new(options: TranslateOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// True if wants are made of objects of this kind.
    pub(super) fn depend_on(kind: Kind) -> bool {
        matches!(
            kind,
            Kind::GatewayClass
                | Kind::Gateway
                | Kind::ListenerSet
                | Kind::ReferenceGrant
                | Kind::BackendTlsPolicy
        )
    }

    /// Takes over new wants; the old ones are forgotten.
    pub(super) fn want(&mut self, wants: BTreeMap<Place, BTreeSet<Place>>) {
        self.wanted = wants.values().flatten().cloned().collect();
        self.wants = wants;
        self.stale = false;
        let wanted = &self.wanted;
        self.asked.retain(|key, _| wanted.contains(key));
    }

    pub(super) fn is_wanted(&self, key: &Place) -> bool {
        self.wanted.contains(key)
    }

    /// The watch has shown it in this version.
    pub(super) fn see(&mut self, key: Place, version: &str) {
        self.versions.insert(key, version.into());
    }

    /// The watch has shown that it is gone.
    pub(super) fn remove(&mut self, key: &Place) {
        self.versions.remove(key);
        self.asked.remove(key);
        self.forget_keyless(key);
    }

    fn forget_keyless(&mut self, (kind, key): &Place) {
        if *kind == Kind::Secret {
            self.keyless.remove(key);
        }
    }

    /// The names of all of a kind that there are.
    pub(super) fn names(&self, kind: Kind) -> impl Iterator<Item = &ObjectKey> {
        self.versions.keys().filter(move |(of, _)| *of == kind).map(|(_, key)| key)
    }

    /// Those to fetch, with their versions: wanted, there, in another version than `held` says, and not asked
    /// for in this one. They count as asked for from now on.
    pub(super) fn take_due(&mut self, held: impl Fn(&Place, &str) -> bool) -> Vec<Place> {
        let mut due = Vec::new();
        for key in &self.wanted {
            let Some(version) = self.versions.get(key) else { continue };
            let asked = self.asked.get(key);
            let waits =
                asked.is_some_and(|one| matches!(one.outcome, Outcome::UnderWay | Outcome::Failed(_)));
            if waits || asked.is_some_and(|one| one.version == *version) || held(key, version) {
                continue;
            }
            let asked = Fetch { version: version.clone(), outcome: Outcome::UnderWay };
            self.asked.insert(key.clone(), asked);
            due.push(key.clone());
        }
        due
    }

    /// Forgets what was under way.
    pub(super) fn begin(&mut self) {
        self.asked.retain(|_, asked| matches!(asked.outcome, Outcome::Done));
    }

    /// It was fetched, or is not there. False if nobody wants it any more.
    pub(super) fn fetched(&mut self, key: &Place) -> bool {
        let Some(asked) = self.asked.get_mut(key) else { return false };
        asked.outcome = Outcome::Done;
        self.forget_keyless(key);
        true
    }

    /// It could not be fetched, and is tried again. False if nobody wants it any more.
    pub(super) fn failed(&mut self, key: &Place, why: String) -> bool {
        let Some(asked) = self.asked.get_mut(key) else { return false };
        asked.outcome = Outcome::Failed(why);
        true
    }

    /// True if it is there, wanted, and has no response yet; `held` says whether some version of it is held.
    fn is_pending(&self, key: &Place, held: impl Fn(&Place) -> bool) -> bool {
        let responded = |asked: &Fetch| !matches!(asked.outcome, Outcome::UnderWay);
        self.versions.contains_key(key) && !held(key) && !self.asked.get(key).is_some_and(responded)
    }

    /// Number of those that have never been there and are being fetched.
    pub(super) fn pending(&self, held: impl Fn(&Place) -> bool) -> usize {
        self.wanted.iter().filter(|key| self.is_pending(key, &held)).count()
    }

    /// True if a change of this object is to wait for objects that it asks for and that are on their way: a listener
    /// would be without its certificate for as long, or a backend without its authorities. Only those of the same object,
    /// or of the grant's namespace, hold it up.
    pub(super) fn hold_up(&self, place: &Place, held: impl Fn(&Place) -> bool) -> bool {
        match place {
            (Kind::Gateway | Kind::ListenerSet | Kind::BackendTlsPolicy, _) => {
                let wants = self.wants.get(place).into_iter().flatten();
                wants.into_iter().any(|key| self.is_pending(key, &held))
            }
            (Kind::ReferenceGrant, grant) => {
                let first = (Kind::Secret, ObjectKey::new(&*grant.namespace, ""));
                let is_here =
                    |(kind, key): &&Place| *kind == Kind::Secret && key.namespace == grant.namespace;
                let mut there = self.wanted.range(first..).take_while(is_here);
                there.any(|key| self.is_pending(key, &held))
            }
            _ => false,
        }
    }

    /// Objects that could not be fetched, with the reason.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&Place, &str)> {
        self.asked.iter().filter_map(|(key, asked)| match &asked.outcome {
            Outcome::Failed(why) => Some((key, why.as_str())),
            Outcome::UnderWay | Outcome::Done => None,
        })
    }

    /// Those that are wanted and of which an earlier process kept no key.
    pub(super) fn without_key(&self) -> impl Iterator<Item = &ObjectKey> {
        self.keyless.iter().filter(|key| self.is_wanted(&(Kind::Secret, (*key).clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Place {
        (Kind::Secret, ObjectKey::new("shop", name))
    }

    fn gateway(name: &str) -> Place {
        (Kind::Gateway, ObjectKey::new("shop", name))
    }

    #[test]
    fn what_is_wanted_is_fetched_once_in_each_version() {
        let mut wanted = Wanted::default();
        let none = |_: &Place, _: &str| false;
        wanted.see(key("a"), "1");
        wanted.see(key("b"), "1");
        assert!(wanted.take_due(none).is_empty(), "nobody wants them");
        wanted.want([(gateway("gw"), BTreeSet::from([key("a"), key("missing")]))].into());
        assert_eq!(wanted.take_due(none), [key("a")]);
        assert!(wanted.take_due(none).is_empty(), "it is on its way");
        assert_eq!(wanted.pending(|_| false), 1);
        assert!(wanted.hold_up(&gateway("gw"), |_| false));
        assert!(!wanted.hold_up(&gateway("other"), |_| false));
        assert!(wanted.hold_up(&(Kind::ReferenceGrant, ObjectKey::new("shop", "grant")), |_| false));
        // It changes while it is on its way.
        wanted.see(key("a"), "2");
        assert!(wanted.take_due(none).is_empty());
        assert!(wanted.fetched(&key("a")));
        assert_eq!(wanted.take_due(|_, version| version == "1"), [key("a")]);
        assert!(wanted.failed(&key("a"), "no response".to_owned()));
        assert_eq!(wanted.pending(|_| false), 0, "nobody waits for what fails");
        assert!(wanted.take_due(none).is_empty(), "who fetches it tries again");
        assert!(wanted.fetched(&key("a")) && wanted.take_due(none).is_empty());
        wanted.want(BTreeMap::new());
        assert!(!wanted.fetched(&key("a")), "it is wanted no more");
    }
}
