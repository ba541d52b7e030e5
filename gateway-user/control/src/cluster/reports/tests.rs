use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::*;

fn record(name: &str, generation: u64) -> ReportEvent {
    let status = RecordStatus { generation, ..RecordStatus::default() };
    ReportEvent { node: name.to_owned(), version: None, status: Some(status) }
}

/// The same where reports are not asked for.
fn sign(name: &str, version: &str) -> ReportEvent {
    ReportEvent { node: name.to_owned(), version: Some(version.to_owned()), status: None }
}

fn names(reports: &ReportCache, now: Instant) -> Vec<String> {
    reports.current(now, None).into_keys().collect()
}

/// A whole list arrives.
fn list(reports: &mut ReportCache, list: Vec<ReportEvent>, now: Instant) {
    let nodes: Vec<String> = list.iter().map(|said| said.node.clone()).collect();
    for said in list {
        reports.observe(said, now);
    }
    reports.retain(&nodes.iter().map(String::as_str).collect(), now);
}

/// `who` renews every ten seconds, and is heard.
fn renew(reports: &mut ReportCache, who: &[&str], from: Instant, times: u32) -> Instant {
    for n in 1..=times {
        for name in who {
            let program = format!("{n} {from:?}");
            let status = RecordStatus { program, ..RecordStatus::default() };
            reports
                .observe(ReportEvent { status: Some(status), ..record(name, 1) }, from + RENEW_INTERVAL * n);
        }
    }
    from + RENEW_INTERVAL * times
}

#[test]
fn a_silent_node_has_no_say_and_a_list_wakes_nobody() {
    let (mut reports, start) = (ReportCache::default(), Instant::now());
    list(&mut reports, vec![record("a", 1), record("b", 1)], start);
    let now = renew(&mut reports, &["b"], start, 3);
    assert_eq!(names(&reports, now), ["a", "b"]);
    let now = renew(&mut reports, &["b"], now, 1);
    assert_eq!(names(&reports, now), ["b"]);
    let b = ReportEvent { status: reports.records["b"].status.clone(), ..record("b", 1) };
    list(&mut reports, vec![record("a", 1), b], now);
    assert_eq!(names(&reports, now), ["b"], "a said nothing new");
    list(&mut reports, Vec::new(), now);
    assert!(reports.current(now, None).is_empty(), "who is not listed is gone");
}

#[test]
fn silence_is_not_counted_while_nothing_can_be_heard() {
    let (mut reports, start) = (ReportCache::default(), Instant::now());
    list(&mut reports, ["a", "b", "gone"].map(|name| record(name, 1)).into(), start);
    let cut = renew(&mut reports, &["a", "b"], start, 4);
    assert_eq!(names(&reports, cut), ["a", "b"]);
    // The server is gone for long, and the watch says so.
    let mut failed = reports.clone();
    failed.fail(cut + Duration::from_secs(1));
    failed.fail(cut + Duration::from_secs(90));
    // Or it says nothing.
    for mut reports in [failed, reports] {
        let back = cut + Duration::from_secs(100);
        assert_eq!(names(&reports, back), ["a", "b"]);
        // This node's own report is what is heard first; b's is late.
        assert!(reports.observe(record("a", 2), back));
        let now = renew(&mut reports, &["a"], back, 3);
        assert_eq!(names(&reports, now), ["a", "b"], "who was gone before does not come back");
        let now = renew(&mut reports, &["a"], now, 1);
        assert_eq!(names(&reports, now), ["a"], "b has had its time");
    }
}

#[test]
fn a_watch_that_breaks_again_and_again_keeps_no_dead_node_alive() {
    let (mut reports, start) = (ReportCache::default(), Instant::now());
    list(&mut reports, vec![record("a", 1), record("dead", 1)], start);
    let mut now = start;
    for _ in 0..6 {
        now = renew(&mut reports, &["a"], now, 1);
        reports.fail(now);
        now += Duration::from_secs(2);
        let same = reports
            .records
            .iter()
            .map(|(name, known)| ReportEvent { status: known.status.clone(), ..record(name, 0) });
        let same = same.collect();
        list(&mut reports, same, now);
    }
    assert_eq!(names(&reports, now), ["a"]);
}

#[test]
fn a_leader_that_begins_hears_for_a_while_before_it_judges() {
    let (mut reports, start) = (ReportCache::default(), Instant::now());
    list(&mut reports, vec![record("a", 1), record("b", 1)], start);
    let won = start + Duration::from_secs(35);
    let now = renew(&mut reports, &["b"], start, 7);
    assert_eq!(names(&reports, now), ["b"]);
    let at = |now| reports.current(now, Some(won)).into_keys().collect::<Vec<_>>();
    assert_eq!(
        (at(now), at(won + REPORT_TIMEOUT)),
        (vec!["a".to_owned(), "b".to_owned()], vec!["b".to_owned()])
    );
    let late = reports.current(now, Some(start + REPORT_TIMEOUT));
    assert_eq!(late.into_keys().collect::<Vec<_>>(), ["b"], "a was silent before");
}

#[test]
fn that_a_node_is_still_there_is_no_news() {
    let (mut reports, start) = (ReportCache::default(), Instant::now());
    list(&mut reports, vec![record("a", 1), record("b", 1)], start);
    let renewed = |generation, second| {
        let renew_time = Some(MicroTime(Timestamp::from_second(second).unwrap()));
        let status = RecordStatus { generation, renew_time, ..RecordStatus::default() };
        ReportEvent { status: Some(status), ..record("a", 0) }
    };
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(!reports.observe(renewed(1, 10), at(10)) && !reports.observe(renewed(1, 20), at(20)));
    assert!(reports.observe(renewed(2, 30), at(30)), "it runs something else");
    let b = ReportEvent { status: renewed(1, 45).status, ..record("b", 1) };
    assert!(reports.observe(b, at(45)), "it was silent");
}

#[test]
fn who_does_not_lead_knows_who_speaks_and_not_what_is_said() {
    let (mut reports, start) = (ReportCache::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    list(&mut reports, vec![sign("a", "1"), sign("dead", "1")], start);
    for (version, seconds) in [("2", 10), ("3", 20), ("4", 30), ("5", 41)] {
        assert!(!reports.observe(sign("a", version), at(seconds)), "nobody waits for it");
    }
    assert!(reports.current(at(41), None).is_empty());
    // The leader falls silent, and this process wins. The reports come by a list of their own.
    let won = at(42);
    reports.begin();
    assert!(!reports.is_complete(), "nothing is planned before they are here");
    let whole = |name, version: &str| ReportEvent { version: Some(version.to_owned()), ..record(name, 1) };
    list(&mut reports, vec![whole("a", "5"), whole("dead", "1")], won);
    assert!(reports.is_complete());
    let names = |reports: &ReportCache| reports.current(won, Some(won)).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&reports), ["a"], "it was heard while another led that the other is dead");
    reports.begin();
    assert!(names(&reports).is_empty() && !reports.is_complete(), "another leads again");
}

#[test]
fn a_report_that_cannot_be_read_says_that_its_node_is_there() {
    let item = |status: serde_json::Value| -> Item<false> {
        let metadata = serde_json::json!({"name": "a", "namespace": "sys", "resourceVersion": "7"});
        serde_json::from_value(serde_json::json!({"metadata": metadata, "status": status})).unwrap()
    };
    let read = ReportEvent::from(item(serde_json::json!({"generation": 3})));
    assert_eq!((read.node.as_str(), read.version.as_deref()), ("a", Some("7")));
    assert_eq!(read.status.unwrap().generation, 3);
    let broken = ReportEvent::from(item(serde_json::json!({"generation": "three"})));
    assert_eq!(broken.status, Some(RecordStatus::default()));
    let metadata: Item<true> =
        serde_json::from_value(serde_json::json!({"metadata": {"name": "a"}})).unwrap();
    assert_eq!(ReportEvent::from(metadata).status, None);
}
