use super::*;

/// The rule with nodes by the names of their letters, and a clock.
struct World {
    rule: LossRule,
    now: Instant,
    /// Pairs of a witness and a node that it does not reach.
    cut: BTreeSet<(String, String)>,
    /// Nodes that answer no question.
    mute: BTreeSet<String>,
    /// Nodes by the port of their address.
    ports: BTreeMap<u16, String>,
}

impl World {
    fn new(names: &[&str]) -> Self {
        let now = Instant::now();
        let mut world = Self {
            rule: LossRule::new(now),
            now,
            cut: BTreeSet::new(),
            mute: BTreeSet::new(),
            ports: BTreeMap::new(),
        };
        for name in names {
            world.joins(name);
        }
        world
    }

    /// With time enough for the controller to settle, and for nodes to reach each other.
    fn settled(names: &[&str]) -> Self {
        let mut world = Self::new(names);
        world.run(SETTLE);
        world
    }

    fn address(&mut self, name: &str) -> SocketAddr {
        let port = u16::from(name.as_bytes()[0]);
        self.ports.insert(port, name.to_owned());
        ([192, 0, 2, 1], port).into()
    }

    fn joins(&mut self, name: &str) {
        let at = self.address(name);
        self.rule.joins(name, vec![at], self.now);
    }

    fn leaves(&mut self, name: &str) {
        self.rule.leaves(name, self.now);
    }

    fn owns(&mut self, names: &[&str]) {
        let owners = names.iter().map(|name| ((*name).to_owned(), vec![self.address(name)])).collect();
        self.rule.owned(&owners, self.now);
    }

    /// A node that no other one reaches.
    fn dies(&mut self, name: &str) {
        self.leaves(name);
        for witness in "abcdef".chars() {
            self.cut.insert((witness.to_string(), name.to_owned()));
        }
    }

    /// Time in which nodes answer what they are asked, two seconds later.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut answers: Vec<(Instant, Question)> = Vec::new();
        while self.now < end {
            self.now += Duration::from_millis(250);
            let now = self.now;
            for (_, Question { witness, id, targets }) in answers.extract_if(.., |(at, _)| *at <= now) {
                let about = self.ports[&targets[0].port()].clone();
                let is_there = self.rule.here().contains(&witness);
                if is_there && !self.mute.contains(&witness) {
                    let reached = !self.cut.contains(&(witness.clone(), about));
                    self.rule.probed(&witness, id, reached, now);
                }
            }
            for question in self.rule.tick(now) {
                answers.push((now + Duration::from_secs(2), question));
            }
        }
    }

    fn lost(&self) -> String {
        self.rule.lost().into_iter().collect()
    }

    #[track_caller]
    fn must_keep(&mut self, name: &str, reason: &str) {
        self.run(Duration::from_mins(2));
        assert_eq!(self.lost(), "");
        let said = self.rule.suspicion(name).unwrap();
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn a_node_that_two_others_do_not_reach_is_lost_until_it_is_back() {
    let mut world = World::settled(&["a", "b", "c", "d"]);
    assert_eq!(world.rule.suspicion("a"), None);
    world.dies("a");
    assert_eq!(world.lost(), "", "its stream alone says nothing");
    world.run(Duration::from_secs(3));
    assert_eq!(world.lost(), "a");
    let said = world.rule.suspicion("a").unwrap();
    assert!(said.contains("lost: its stream is gone, and ") && said.contains(" and "), "{said}");
    world.joins("a");
    assert_eq!((world.lost().as_str(), world.rule.suspicion("a")), ("", None));
    assert_eq!(world.rule.counts().lost, 1);
}

#[test]
fn a_node_that_one_other_reaches_is_kept_and_asked_after_until_none_does() {
    for reached_by in ["b", "c"] {
        let mut world = World::settled(&["a", "b", "c"]);
        world.dies("a");
        world.cut.remove(&(reached_by.to_owned(), "a".to_owned()));
        world.must_keep("a", &format!("{reached_by} reaches it"));
        world.dies("a");
        world.run(Duration::from_secs(6));
        assert_eq!(world.lost(), "a");
    }
}

#[test]
fn a_word_that_does_not_come_is_no_word_against_it() {
    let mut world = World::settled(&["a", "b", "c"]);
    world.mute.insert("c".to_owned());
    world.dies("a");
    world.must_keep("a", "c did not answer");
    assert!(world.rule.counts().unanswered > 1, "{:?}", world.rule.counts());
    world.mute.clear();
    world.run(Duration::from_secs(8));
    assert_eq!(world.lost(), "a");
}

#[test]
fn a_controller_that_loses_most_of_its_nodes_may_be_cut_off_itself() {
    let mut world = World::settled(&["a", "b", "c", "d", "e"]);
    for name in ["a", "b", "c"] {
        world.dies(name);
    }
    world.must_keep("a", "so are 3 of 5");
    // With one more of them back, the others are asked after.
    world.joins("c");
    world.run(Duration::from_secs(8));
    assert_eq!(world.lost(), "ab");
}

#[test]
fn nothing_moves_when_nobody_is_left_or_one_of_two_is_asked() {
    let mut world = World::settled(&["a"]);
    world.dies("a");
    world.must_keep("a", "no other node is there");
    let mut world = World::settled(&["a", "b"]);
    world.dies("a");
    world.run(Duration::from_secs(3));
    assert_eq!(world.lost(), "a", "one witness is as many as there are");
}

#[test]
fn a_controller_that_has_just_begun_asks_after_nobody() {
    let mut world = World::new(&["a", "b", "c"]);
    world.run(Duration::from_secs(4));
    world.dies("a");
    world.run(Duration::from_secs(10));
    assert!(world.rule.suspicion("a").unwrap().contains("just begun"));
    world.run(Duration::from_secs(8));
    assert_eq!(world.lost(), "a");
    let mut world = World::settled(&["a", "b", "c"]);
    world.rule.begins(world.now);
    world.dies("a");
    world.run(SETTLE - Duration::from_secs(1));
    assert_eq!(world.lost(), "", "it leads since then");
}

#[test]
fn probes_that_never_reach_anybody_say_nothing() {
    // A firewall between all of them.
    let mut world = World::new(&["a", "b", "c"]);
    for (witness, about) in [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")] {
        world.cut.insert((witness.to_owned(), about.to_owned()));
    }
    world.run(SETTLE);
    world.leaves("a");
    world.must_keep("a", "reach nobody");
    // One before this node alone.
    let mut world = World::new(&["a", "b", "c"]);
    for witness in ["b", "c"] {
        world.cut.insert((witness.to_owned(), "a".to_owned()));
    }
    world.run(SETTLE);
    world.leaves("a");
    world.must_keep("a", "no other node ever reached it");
    // Another one's cannot leave it: two of the rest are believed, and not that one.
    let mut world = World::new(&["a", "b", "c", "d"]);
    for about in ["a", "b", "d"] {
        world.cut.insert(("c".to_owned(), about.to_owned()));
    }
    world.run(SETTLE);
    world.dies("a");
    world.run(Duration::from_secs(8));
    let said = world.rule.suspicion("a").unwrap();
    assert!(world.lost() == "a" && said.contains("b and d"), "{said}");
}

#[test]
fn an_owner_that_this_controller_never_heard_is_asked_after_at_its_addresses() {
    let mut world = World::new(&["b", "c"]);
    world.owns(&["a", "b"]);
    world.run(SETTLE - Duration::from_secs(1));
    assert_eq!(world.lost(), "");
    world.must_keep("a", "reaches it");
    world.dies("a");
    world.run(Duration::from_secs(8));
    assert_eq!(world.lost(), "a");
    world.owns(&["b", "c"]);
    assert_eq!(world.rule.suspicion("a"), None, "nothing is its any more");
}

#[test]
fn a_node_that_serves_no_more_needs_no_witness_and_one_without_probes_stays() {
    let mut world = World::settled(&["a", "b", "c"]);
    world.rule.withdraws("a");
    world.leaves("a");
    assert_eq!(world.lost(), "a");
    world.rule.joins("b", Vec::new(), world.now);
    world.dies("b");
    world.run(Duration::from_mins(1));
    assert_eq!(world.lost(), "a");
    assert!(world.rule.suspicion("b").unwrap().contains("answers no probes"));
}

#[test]
fn an_answer_counts_once_and_from_the_one_who_was_asked() {
    let mut world = World::settled(&["a", "b", "c"]);
    world.dies("a");
    let asked = world.rule.tick(world.now);
    assert_eq!(asked.len(), 2, "{asked:?}");
    for _ in 0..2 {
        world.rule.probed(&asked[1].witness, asked[0].id, false, world.now);
        world.rule.probed(&asked[0].witness, asked[0].id, false, world.now);
        world.rule.probed("d", asked[1].id, false, world.now);
    }
    assert_eq!(world.lost(), "");
    world.rule.probed(&asked[1].witness, asked[1].id, false, world.now);
    assert_eq!(world.lost(), "a");
}

#[test]
fn names_that_come_and_go_are_not_remembered_for_ever() {
    let mut world = World::settled(&["a", "b", "c"]);
    world.owns(&["a"]);
    world.leaves("a");
    for number in 0..3 * MAX_NODES {
        let name = format!("x{number}");
        world.rule.joins(&name, Vec::new(), world.now);
        world.rule.leaves(&name, world.now);
    }
    assert!(world.rule.nodes.len() <= MAX_NODES, "{}", world.rule.nodes.len());
    assert!(world.rule.nodes.contains_key("a") && world.rule.nodes.contains_key("b"));
}

/// Whatever comes and goes, nobody is lost whose stream is there, and nobody without two words against it.
#[test]
fn no_node_is_lost_that_anybody_reaches() {
    let names = ["a", "b", "c", "d", "e"];
    let mut world = World::settled(&names);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2000 {
        let name = names[random.usize(..names.len())];
        match random.u8(..4) {
            0 => world.joins(name),
            1 => world.leaves(name),
            2 => drop(world.mute.insert(name.to_owned())),
            _ => drop(world.mute.remove(name)),
        }
        world.run(Duration::from_millis(random.u64(..5000)));
        assert_eq!(world.lost(), "", "each reaches each");
    }
}
