//! The shared grammar accepts and gives what the codec's and the representation's own rules accepted and gave.

use gateway_grammar::{Authority, FieldId, Method, names, path, status, token};
use gateway_http::h1;
use gateway_http::h1::path as old;
use proptest::prelude::*;

fn names() -> impl Strategy<Value = String> {
    let table =
        names::FIELDS.iter().chain(names::PREFIXES).map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let known = proptest::sample::select(table);
    let changed = (known, any::<u64>(), "[a-z_-]{0,3}").prop_map(|(name, bits, tail)| {
        let change = |(at, c): (usize, char)| match bits >> (at % 32) & 3 {
            0 if c == '-' && bits & 1 << 40 != 0 => '_',
            1 => c.to_ascii_uppercase(),
            _ => c,
        };
        let name: String = name.chars().enumerate().map(change).collect();
        if bits & 1 << 41 == 0 { name } else { name + &tail }
    });
    prop_oneof![changed, "[A-Za-z_-]{0,20}", "\\PC{0,12}"]
}

fn paths() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[/.;%\\\\a2fFeE5cC~0-]{1,2}", 1 => Just("%2e".to_owned()), 1 => Just("%2F".to_owned()), 1 => Just("%5c".to_owned()),
        1 => Just("%c3%A9".to_owned()), 1 => Just("//".to_owned()), 1 => Just("/../".to_owned()), 1 => "\\PC{1}",
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| "/".to_owned() + &pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn on_names(name in names()) {
        let bytes = name.as_bytes();
        prop_assert_eq!(names::is_end_to_end(bytes), h1::is_end_to_end(bytes));
        prop_assert_eq!(names::is_forbidden_trailer(bytes), h1::is_forbidden_trailer(bytes));
        prop_assert_eq!(names::is_proxy_field(bytes), gateway_ir::is_proxy_field(bytes));
        prop_assert_eq!(names::is_framing_field(bytes), gateway_ir::is_framing_field(&name.to_ascii_lowercase()));
        prop_assert_eq!(FieldId::of(bytes) as u8, h1::FieldId::of(bytes) as u8);
        prop_assert_eq!(FieldId::of(bytes).is_ours_to_write(), h1::FieldId::of(bytes).is_ours_to_write());
        prop_assert_eq!(token::is_token(bytes), gateway_ir::check_name(&name).is_ok());
        prop_assert_eq!(Method::from_token(bytes) as u8, h1::Method::from_token(bytes) as u8);
    }

    #[test]
    fn on_values(value in proptest::collection::vec(any::<char>(), 0..6)) {
        let value: String = value.into_iter().collect();
        let change = gateway_ir::HeaderChange { name: "a".into(), value: value.clone() };
        let trimmed = token::trim_ows(value.as_bytes());
        prop_assert_eq!(trimmed, value.trim_matches([' ', '\t']).as_bytes());
        prop_assert_eq!(trimmed.iter().all(|b| token::is_value_byte(*b)), change.check().is_ok());
    }

    #[test]
    fn on_paths(text in paths()) {
        let all = [path::MergeSlashes::Match, path::MergeSlashes::Always, path::MergeSlashes::Never];
        let theirs = [old::MergeSlashes::Match, old::MergeSlashes::Always, old::MergeSlashes::Never];
        for (merge_slashes, old_merge) in all.into_iter().zip(theirs) {
            let all = [path::Separators::Keep, path::Separators::RefuseDangerous, path::Separators::Refuse];
            let theirs = [old::Separators::Keep, old::Separators::RefuseDangerous, old::Separators::Refuse];
            for (separators, old_separators) in all.into_iter().zip(theirs) {
                let (mut one, mut other) = (Vec::new(), Vec::new());
                let options = path::PathOptions { merge_slashes, separators };
                let old_options = old::PathOptions { merge_slashes: old_merge, separators: old_separators };
                let new = path::normalize(text.as_bytes(), options, &mut one);
                let old = old::normalize(text.as_bytes(), old_options, &mut other);
                prop_assert_eq!(new.map_err(|e| (e.to_string(), e.reason())), old.map_err(|e| (e.to_string(), e.reason())));
            }
        }
        let (mut one, mut other) = (Vec::new(), Vec::new());
        prop_assert_eq!(path::merged(text.as_bytes(), &mut one), old::merged(text.as_bytes(), &mut other));
        prop_assert_eq!(path::normalize_route_path(&text), gateway_ir::normalize_route_path(&text));
        prop_assert_eq!(path::normalize_route_prefix(&text), gateway_ir::normalize_route_prefix(&text));
        // The rule of translate's check, for paths that the CRD lets pass.
        let lower = text.to_ascii_lowercase();
        let options = path::PathOptions { merge_slashes: path::MergeSlashes::Never, separators: path::Separators::Keep };
        let is_valid = path::normalize(text.as_bytes(), options, &mut one).is_ok();
        if is_valid && !lower.contains("%2f") && !path::has_dot_segment(text.as_bytes()) {
            let replaced = lower.replace("%5c", "/").replace("%2e", ".");
            let hides = replaced.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")));
            let route = path::normalize_route_path(&text);
            prop_assert_eq!(path::hides_dot_segment(text.as_bytes()) || path::has_dot_segment(route.as_bytes()), hides);
        }
    }

    #[test]
    fn on_authorities(text in prop_oneof!["[a-c0-9.:%\\[\\]_!,@/-]{0,12}", "\\PC{0,8}", "[a-c.-]{1,8}(:[0-9]{0,6})?"]) {
        let new = Authority::parse(text.as_bytes()).map(|a| (a.host, a.port));
        let old = h1::Authority::parse(text.as_bytes()).map(|a| (a.host, a.port));
        prop_assert_eq!(new, old);
        // A host that a route may write is a host for both; see HostRewrite.
        if let Ok(gateway_ir::Hostname::Exact(name)) = gateway_ir::Hostname::parse(&text) {
            prop_assert!(gateway_ir::is_authority(&name) && Authority::parse(name.as_bytes()).is_some());
        }
    }

    #[test]
    fn on_statuses(code in any::<u16>()) {
        prop_assert_eq!(status::phrase(code), h1::status::phrase(code));
    }
}
