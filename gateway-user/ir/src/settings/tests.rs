//! Places and names of settings, and their text forms.

use super::*;

fn settings(all: &[(Setting, u64)]) -> ListenerSettings {
    let mut settings = ListenerSettings::default();
    all.iter().for_each(|(setting, value)| settings.set(*setting, Some(*value)));
    settings
}

#[test]
fn each_has_a_place_and_a_name_of_its_own() {
    for (index, setting) in Setting::ALL.into_iter().enumerate() {
        assert_eq!(setting as usize, index, "{setting:?}");
        assert_eq!(Setting::named(setting.name()), Some(setting));
    }
}

#[test]
fn before_the_listener_is_known_the_widest_holds() {
    let a = settings(&[(Setting::ClientIdleTimeout, 5_000), (Setting::ClientHeaderTimeout, 1_000)]);
    let b = settings(&[(Setting::ClientIdleTimeout, 7_000)]);
    assert_eq!(ListenerSettings::widest([&a, &b]), settings(&[(Setting::ClientIdleTimeout, 7_000)]));
    assert_eq!(ListenerSettings::widest([&a]), a);
    assert_eq!(ListenerSettings::widest([]), ListenerSettings::default());
}

#[test]
fn values_are_read_by_name_and_others_passed_over() {
    let one = settings(&[(Setting::ClientIdleTimeout, 5_000), (Setting::AccessLog, 0)]);
    let text = serde_json::to_string(&one).unwrap();
    assert_eq!(text, r#"{"clientIdleTimeout":5000,"accessLog":0}"#);
    assert_eq!(serde_json::from_str::<ListenerSettings>(&text).unwrap(), one);
    let newer = r#"{"clientIdleTimeout":5000,"ofTomorrow":{"a":[1]},"accessLog":0}"#;
    assert_eq!(serde_json::from_str::<ListenerSettings>(newer).unwrap(), one);
}

#[test]
fn durations_are_written_as_the_gateway_api_does() {
    let text = |value| Setting::RequestTimeout.text(value);
    assert_eq!([0, 1, 1_500, 90_000, 3_600_000].map(text), ["0s", "1ms", "1s500ms", "1m30s", "1h"]);
    assert_eq!(
        (Setting::MaxHeaders.text(7), Setting::AccessLog.text(0)),
        ("7".to_owned(), "false".to_owned())
    );
}
