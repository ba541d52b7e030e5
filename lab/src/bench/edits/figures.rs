//! Times of changes, and whether the bars are met.

use std::process::ExitCode;
use std::time::Duration;

use crate::bars::Edits;

/// Times, each from the event of the watch; sorted.
pub(super) struct Figures {
    /// Until all workers route by a change.
    pub(super) routes: Vec<Duration>,
    /// The part of that in which tables were compiled.
    pub(super) compiling: Vec<Duration>,
    /// Until nothing accepts where a listener was.
    pub(super) listeners: Vec<Duration>,
}

impl Figures {
    pub(super) fn judge(&self, bars: &Edits, routes: usize) -> ExitCode {
        let rows = [
            ("a route's change until all workers have it", &self.routes, bars.route_ms),
            ("a listener's removal until nothing accepts", &self.listeners, bars.listener_removal_ms),
        ];
        let mut ended = ExitCode::SUCCESS;
        println!("{routes} routes, milliseconds from the watch event:");
        let compiling = (at(&self.compiling, 50), at(&self.compiling, 99));
        println!(
            "  tables of a change compiled in {:.2} (p50), {:.2} (p99)",
            ms(compiling.0),
            ms(compiling.1)
        );
        for (what, times, bar) in rows {
            let (p50, p99) = (at(times, 50), at(times, 99));
            println!("  {what}: {:.2} (p50), {:.2} (p99) of {}", ms(p50), ms(p99), times.len());
            if p99 > bar.milliseconds() {
                eprintln!("error: {what}: more than {bar} ms");
                ended = ExitCode::FAILURE;
            }
        }
        ended
    }
}

/// The time that so many hundredths of all do not exceed.
fn at(sorted: &[Duration], hundredths: usize) -> Duration {
    let at = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::Bars;

    #[test]
    fn bars_are_held_against_the_ninety_ninth_of_a_hundred() {
        let bars = Bars::read().unwrap().edits;
        let some = |last: crate::bars::Bar| vec![Duration::ZERO, last.milliseconds()];
        let judge = |routes: Vec<Duration>, listeners: Vec<Duration>| {
            Figures { routes, compiling: Vec::new(), listeners }.judge(&bars, 1)
        };
        let (route, listener) = (some(bars.route_ms), some(bars.listener_removal_ms));
        let more = |times: &[Duration]| times.iter().map(|time| *time + Duration::from_micros(1)).collect();
        let text = |code: ExitCode| format!("{code:?}");
        let (good, bad) = (text(ExitCode::SUCCESS), text(ExitCode::FAILURE));
        assert_eq!(text(judge(route.clone(), listener.clone())), good);
        assert_eq!(text(judge(more(&route), listener.clone())), bad);
        assert_eq!(text(judge(route, more(&listener))), bad);
    }
}
