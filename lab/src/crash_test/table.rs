//! The figures for people.

use std::time::Duration;

use gateway_testkit::crash::Verdict;

use crate::table;

const HEADERS: [&str; 10] =
    ["set-up", "kills", "served", "cut", "unserved", "lost", "gone ms", "least ms", "median ms", "most ms"];
/// Failures that are shown one by one for each set-up.
const SHOWN_FAILURES: usize = 5;

/// One line for each set-up; times are from the kill: until the process was gone, and until the next one
/// responded (least, median, most).
pub(super) fn print(rows: &[(String, Verdict)]) {
    println!("\n{}\n", table::render(HEADERS, &[0], rows.iter().map(|(name, verdict)| row(name, verdict))));
    println!(
        "cut: under way at the kill. unserved: came between the kill and the first response of the next process."
    );
    println!(
        "lost: all other failures. Times from the kill: process gone (median); first response (least, median, most)."
    );
    for (name, verdict) in rows {
        verdict.lost.iter().take(SHOWN_FAILURES).for_each(|why| println!("{name}: lost: {why}"));
    }
}

fn row(name: &str, verdict: &Verdict) -> Vec<String> {
    let Verdict { served, cut, unserved, lost, ending, recovery } = verdict;
    let counts = [recovery.len() as u64, *served, *cut, *unserved, lost.len() as u64];
    let times = [median(ending), least(recovery), median(recovery), most(recovery)].map(millis);
    let counts = counts.iter().map(u64::to_string);
    [name.to_owned()].into_iter().chain(counts).chain(times).collect()
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

fn least(times: &[Duration]) -> Duration {
    times.iter().min().copied().unwrap_or_default()
}

fn most(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_off_in_order_of_length() {
        let times: Vec<Duration> = [30, 10, 20].map(Duration::from_millis).into();
        let all = [least(&times), median(&times), most(&times), median(&[])].map(millis);
        assert_eq!(all, ["10.0", "20.0", "30.0", "0.0"]);
    }
}
