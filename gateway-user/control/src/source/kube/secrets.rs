//! The Secrets that are held: those that a Gateway of ours refers to, with leave. Of the others the version
//! alone is known.
//!
//! An intruder in the proxy of one node finds in its memory and in its state directory what it serves with,
//! and not what else the cluster keeps. A watch of metadata says which Secrets there are and when they
//! change; one that is wanted is fetched (see [`super::fetch`]), and forgotten once it is wanted no more.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{Kind, ObjectKey};
use gateway_translate::TranslateOptions;

/// State of Secrets beside those that are held.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub(super) options: TranslateOptions,
    /// The version of each that there is.
    versions: BTreeMap<ObjectKey, Box<str>>,
    /// Secrets that Gateways refer to and may read.
    wants: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    wanted: BTreeSet<ObjectKey>,
    /// Something has changed of which wants are made.
    pub(super) stale: bool,
    asked: BTreeMap<ObjectKey, SecretFetch>,
    /// Those of an earlier process that came without their key.
    pub(super) keyless: BTreeSet<ObjectKey>,
}

/// Outcome of one fetch.
#[derive(Debug)]
struct SecretFetch {
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

impl Secrets {
    /// Nothing is known yet. The options say whose Gateways are ours.
    pub(super) fn new(options: TranslateOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// True if wants are made of objects of this kind.
    pub(super) fn depend_on(kind: Kind) -> bool {
        matches!(kind, Kind::GatewayClass | Kind::Gateway | Kind::ReferenceGrant)
    }

    /// Takes over new wants; the old ones are forgotten.
    pub(super) fn want(&mut self, wants: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>) {
        self.wanted = wants.values().flatten().cloned().collect();
        self.wants = wants;
        self.stale = false;
        let wanted = &self.wanted;
        self.asked.retain(|key, _| wanted.contains(key));
    }

    pub(super) fn is_wanted(&self, key: &ObjectKey) -> bool {
        self.wanted.contains(key)
    }

    /// The watch has shown it in this version.
    pub(super) fn see(&mut self, key: ObjectKey, version: &str) {
        self.versions.insert(key, version.into());
    }

    /// The watch has shown that it is gone.
    pub(super) fn remove(&mut self, key: &ObjectKey) {
        self.versions.remove(key);
        self.asked.remove(key);
        self.keyless.remove(key);
    }

    /// The names of all that there are.
    pub(super) fn names(&self) -> impl Iterator<Item = &ObjectKey> {
        self.versions.keys()
    }

    /// Those to fetch, with their versions: wanted, there, in another version than `held` says, and not asked
    /// for in this one. They count as asked for from now on.
    pub(super) fn take_due(&mut self, held: impl Fn(&ObjectKey, &str) -> bool) -> Vec<ObjectKey> {
        let mut due = Vec::new();
        for key in &self.wanted {
            let Some(version) = self.versions.get(key) else { continue };
            let asked = self.asked.get(key);
            let waits =
                asked.is_some_and(|one| matches!(one.outcome, Outcome::UnderWay | Outcome::Failed(_)));
            if waits || asked.is_some_and(|one| one.version == *version) || held(key, version) {
                continue;
            }
            let asked = SecretFetch { version: version.clone(), outcome: Outcome::UnderWay };
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
    pub(super) fn fetched(&mut self, key: &ObjectKey) -> bool {
        let Some(asked) = self.asked.get_mut(key) else { return false };
        asked.outcome = Outcome::Done;
        self.keyless.remove(key);
        true
    }

    /// It could not be fetched, and is tried again. False if nobody wants it any more.
    pub(super) fn failed(&mut self, key: &ObjectKey, why: String) -> bool {
        let Some(asked) = self.asked.get_mut(key) else { return false };
        asked.outcome = Outcome::Failed(why);
        true
    }

    /// True if it is there, wanted, and has no response yet; `held` says whether some version of it is held.
    fn is_pending(&self, key: &ObjectKey, held: impl Fn(&ObjectKey) -> bool) -> bool {
        let responded = |asked: &SecretFetch| !matches!(asked.outcome, Outcome::UnderWay);
        self.versions.contains_key(key) && !held(key) && !self.asked.get(key).is_some_and(responded)
    }

    /// Number of those that have never been there and are being fetched.
    pub(super) fn pending(&self, held: impl Fn(&ObjectKey) -> bool) -> usize {
        self.wanted.iter().filter(|key| self.is_pending(key, &held)).count()
    }

    /// True if a change of this object is to wait for certificates that it asks for and that are on their
    /// way: a listener would be without for as long. Only those of the same Gateway, or of the grant's
    /// namespace, hold it up.
    pub(super) fn hold_up(&self, kind: Kind, key: &ObjectKey, held: impl Fn(&ObjectKey) -> bool) -> bool {
        match kind {
            Kind::Gateway => {
                let wants = self.wants.get(key).into_iter().flatten();
                wants.into_iter().any(|key| self.is_pending(key, &held))
            }
            Kind::ReferenceGrant => {
                let first = ObjectKey::new(&*key.namespace, "");
                let there = self.wanted.range(first..).take_while(|one| one.namespace == key.namespace);
                there.into_iter().any(|key| self.is_pending(key, &held))
            }
            _ => false,
        }
    }

    /// Why some could not be fetched.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&ObjectKey, &str)> {
        self.asked.iter().filter_map(|(key, asked)| match &asked.outcome {
            Outcome::Failed(why) => Some((key, why.as_str())),
            Outcome::UnderWay | Outcome::Done => None,
        })
    }

    /// Those that are wanted and of which an earlier process kept no key.
    pub(super) fn without_key(&self) -> impl Iterator<Item = &ObjectKey> {
        self.keyless.iter().filter(|key| self.is_wanted(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("shop", name)
    }

    #[test]
    fn what_is_wanted_is_fetched_once_in_each_version() {
        let mut secrets = Secrets::default();
        let none = |_: &ObjectKey, _: &str| false;
        secrets.see(key("a"), "1");
        secrets.see(key("b"), "1");
        assert!(secrets.take_due(none).is_empty(), "nobody wants them");
        secrets.want([(key("gw"), BTreeSet::from([key("a"), key("missing")]))].into());
        assert_eq!(secrets.take_due(none), [key("a")]);
        assert!(secrets.take_due(none).is_empty(), "it is on its way");
        assert_eq!(secrets.pending(|_| false), 1);
        assert!(secrets.hold_up(Kind::Gateway, &key("gw"), |_| false));
        assert!(!secrets.hold_up(Kind::Gateway, &key("other"), |_| false));
        assert!(secrets.hold_up(Kind::ReferenceGrant, &key("grant"), |_| false));
        // It changes while it is on its way.
        secrets.see(key("a"), "2");
        assert!(secrets.take_due(none).is_empty());
        assert!(secrets.fetched(&key("a")));
        assert_eq!(secrets.take_due(|_, version| version == "1"), [key("a")]);
        assert!(secrets.failed(&key("a"), "no response".to_owned()));
        assert_eq!(secrets.pending(|_| false), 0, "nobody waits for what fails");
        assert!(secrets.take_due(none).is_empty(), "who fetches it tries again");
        assert!(secrets.fetched(&key("a")) && secrets.take_due(none).is_empty());
        secrets.want(BTreeMap::new());
        assert!(!secrets.fetched(&key("a")), "it is wanted no more");
    }
}
