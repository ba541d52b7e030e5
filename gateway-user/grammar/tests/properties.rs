//! Paths of routes and of requests have one normal form, and the forwarded path is the matched one.

use gateway_grammar::path::{
    MergeSlashes, PathOptions, Separators, has_dot_segment, hides_dot_segment, merged, normalize,
    normalize_route_path,
};
use gateway_grammar::{Authority, names, token};
use proptest::prelude::*;

/// Paths of what the rules look at: separators, dots, escapes of both cases, path parameters, bytes that are
/// refused.
fn paths() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        5 => "[/.;a-c~-]{1,3}",
        3 => "%[2-7][0-9a-fA-F]",
        2 => proptest::sample::select(vec!["//", "/../", "/./", "%2e", "%2F", "%5c", "%00", "%c3%A9"]).prop_map(str::to_owned),
        1 => "[%\\\\ ?#\u{e9}]",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| "/".to_owned() + &pieces.concat())
}

fn normal(path: &[u8], merge_slashes: MergeSlashes, separators: Separators) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    normalize(path, PathOptions { merge_slashes, separators }, &mut out).ok().map(<[u8]>::to_vec)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_route_and_a_request_write_a_path_in_one_form(text in paths()) {
        let request = normal(text.as_bytes(), MergeSlashes::Never, Separators::Keep);
        let route = normalize_route_path(&text);
        if let Some(request) = request.filter(|_| !has_dot_segment(route.as_bytes())) {
            prop_assert_eq!(request, route.as_bytes());
            prop_assert_eq!(normalize_route_path(&route), &*route);
        }
    }

    #[test]
    fn the_merged_form_of_the_forwarded_path_is_the_matched_one(text in paths()) {
        for separators in [Separators::Keep, Separators::RefuseDangerous, Separators::Refuse] {
            let Some(forwarded) = normal(text.as_bytes(), MergeSlashes::Match, separators) else { continue };
            let mut out = Vec::new();
            let matched = merged(&forwarded, &mut out);
            let always = normal(&forwarded, MergeSlashes::Always, separators);
            prop_assert_eq!(always.as_deref(), Some(matched));
            prop_assert!(!matched.windows(2).any(|pair| pair == b"//") && !forwarded.starts_with(b"//"));
        }
    }

    #[test]
    fn no_dot_segment_is_forwarded(text in paths()) {
        for merge in [MergeSlashes::Match, MergeSlashes::Always, MergeSlashes::Never] {
            for separators in [Separators::Keep, Separators::RefuseDangerous, Separators::Refuse] {
                let Some(forwarded) = normal(text.as_bytes(), merge, separators) else { continue };
                prop_assert!(!has_dot_segment(&forwarded));
                prop_assert!(separators == Separators::Keep || !hides_dot_segment(&forwarded));
                prop_assert_eq!(normal(&forwarded, merge, separators), Some(forwarded));
            }
        }
    }

    #[test]
    fn a_trusted_field_is_found_by_every_alias(at in 0..names::FIELDS.len(), bits in any::<u32>()) {
        let (name, properties) = names::FIELDS[at];
        let alias: Vec<u8> = name.bytes().enumerate().map(|(at, b)| match bits >> at & 1 {
            0 => b,
            _ if b == b'-' => b'_',
            _ => b.to_ascii_uppercase(),
        }).collect();
        prop_assert!(token::is_token(&alias) && names::is_alias(name.as_bytes(), &alias));
        let trusted = names::is_proxy_field(name.as_bytes());
        prop_assert!(trusted || properties & names::TRUSTED == 0);
        prop_assert_eq!(names::is_proxy_field(&alias), trusted);
    }

    #[test]
    fn an_authority_is_its_host_and_port(host in "[a-zA-Z0-9._~!$&'()*+;=-]{1,12}", port in any::<u16>()) {
        let text = format!("{host}:{port}");
        let authority = Authority::parse(text.as_bytes());
        prop_assert_eq!(authority.map(|one| (one.host, one.port)), Some((host.as_bytes(), Some(port))));
    }
}
