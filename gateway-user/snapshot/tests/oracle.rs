//! The tables against a slow rival written from the specification's text.

mod support;

use std::cell::RefCell;

use gateway_ir::Generation;
use gateway_snapshot::{WorkerRegexes, compile};
use proptest::collection::vec;
use proptest::prelude::*;
use support::random::{from_tables, from_tables_in_steps, irs, requests};
use support::rival::{Outcome, outcome_of};

/// Random Irs, and requests to each: 24,000 comparisons.
const IRS: u32 = 1_500;
const REQUESTS: usize = 16;

/// How often each outcome was compared: a generator that no longer reaches one would go unnoticed otherwise.
#[derive(Debug, Default)]
struct Seen {
    hits: usize,
    /// Hits for which more than one match held.
    contested: usize,
    /// Hits of rules with an invalid expression.
    failing: usize,
    misses: [usize; 6],
}

#[test]
fn tables_agree_with_the_rival() {
    let config = ProptestConfig { cases: IRS, failure_persistence: None, ..ProptestConfig::default() };
    let codes = gateway_snapshot::RouteMiss::ALL.map(|miss| miss.code());
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let seen = RefCell::new(Seen::default());
    runner
        .run(&(irs(), vec(requests(), REQUESTS)), |(ir, requests)| {
            let snapshot = compile(&ir, Generation(1));
            let mut regexes = WorkerRegexes::new(&snapshot);
            for (local, request) in &requests {
                let found = from_tables(&snapshot, &mut regexes, *local, request);
                let (want, contenders) = outcome_of(&ir, *local, request);
                prop_assert_eq!(&found, &want, "{:?} to {}", request, local);
                let (_, other) = &requests[0];
                let in_steps = from_tables_in_steps(&snapshot, &mut regexes, *local, request, other);
                prop_assert_eq!(&in_steps, &want, "in steps: {:?} to {}", request, local);
                let mut seen = seen.borrow_mut();
                match found {
                    Outcome::NotServed => {}
                    Outcome::Miss(code) => {
                        let at = codes.iter().position(|known| *known == code);
                        seen.misses[at.expect("every code is in the list of all")] += 1;
                    }
                    Outcome::Hit { fails, .. } => {
                        seen.hits += 1;
                        seen.contested += usize::from(contenders > 1);
                        seen.failing += usize::from(fails);
                    }
                }
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.into_inner();
    // Drawn anew each time: floors far below what any run has had.
    assert!(seen.hits > 3_000 && seen.contested > 1_500 && seen.failing > 300, "{seen:?}");
    assert!(seen.misses.iter().all(|count| *count > 100), "{seen:?}");
}
