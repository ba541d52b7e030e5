//! Requests that clients lost by kills.

use std::time::{Duration, Instant};

use super::clients::Attempt;

/// One kill.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// Just before the signal was sent.
    pub signalled: Instant,
    /// When the process was gone; its successor is started then.
    pub reaped: Instant,
}

/// Counts of all requests by outcome.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Number of verified responses.
    pub served: u64,
    /// Number of requests that failed on connections opened before a kill: those that the process
    /// had under way.
    pub cut: u64,
    /// Number of requests for which a connection was asked between a kill and the first response of the next
    /// process: refused, or reset.
    pub unserved: u64,
    /// All other failures, with what was seen: there must be none.
    pub lost: Vec<String>,
    /// For each kill, from the signal to the process's end.
    pub ending: Vec<Duration>,
    /// For each kill, from the signal to the first response on a connection opened after the process's end.
    pub recovery: Vec<Duration>,
}

impl Verdict {
    pub(super) fn new(kills: Vec<Kill>, attempts: &[Attempt]) -> Self {
        let mut verdict = Self::default();
        // Until when each kill is an excuse.
        let mut outages = Vec::new();
        for kill in &kills {
            let served = attempts.iter().filter(|a| a.failed.is_none() && a.opened > kill.reaped);
            let Some(first) = served.map(|a| a.ended).min() else { continue };
            outages.push((kill.signalled, first));
            verdict.ending.push(kill.reaped - kill.signalled);
            verdict.recovery.push(first - kill.signalled);
        }
        for attempt in attempts {
            let Some(why) = &attempt.failed else {
                verdict.served += 1;
                continue;
            };
            let Attempt { opened, ended, .. } = *attempt;
            let crosses = kills.iter().any(|kill| opened <= kill.signalled && ended >= kill.signalled);
            if outages.iter().any(|(gone, back)| *gone < opened && opened <= *back) {
                verdict.unserved += 1;
            } else if crosses {
                verdict.cut += 1;
            } else {
                let after = outages.iter().rev().find(|(_, back)| *back < opened);
                let after = after.map_or(String::new(), |(_, back)| {
                    format!(
                        " (connection asked for {} ms after the last recovery)",
                        (opened - *back).as_millis()
                    )
                });
                verdict.lost.push(format!("{why}{after}"));
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_one_place() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let attempt = |opened: u64, ended: u64, failed: bool| Attempt {
            opened: at(opened),
            ended: at(ended),
            failed: failed.then(|| "reset".to_owned()),
        };
        let kills = vec![Kill { signalled: at(10), reaped: at(12) }];
        let attempts = [
            attempt(1, 5, false),   // before
            attempt(2, 4, true),    // before, and nobody's excuse
            attempt(3, 11, true),   // under way
            attempt(4, 40, true),   // under way, and told late
            attempt(13, 14, true),  // nobody there
            attempt(15, 30, false), // the first response
            attempt(20, 45, true),  // taken by a socket of the dead process
            attempt(31, 32, true),  // after that nothing may fail
            attempt(33, 34, false),
        ];
        let verdict = Verdict::new(kills, &attempts);
        let Verdict { served, cut, unserved, lost, ending, recovery } = verdict;
        assert_eq!((served, cut, unserved, lost.len()), (3, 2, 2, 2), "{lost:?}");
        assert_eq!((ending, recovery), (vec![Duration::from_millis(2)], vec![Duration::from_millis(20)]));
    }
}
