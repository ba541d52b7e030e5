//! The table of features in docs/conformance.md: claimed here, tested by the suite, published by peers.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::{env, fs};

use gateway_api_types::load;
use gateway_translate::{TranslateOptions, translate};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const PAGE: &str = "../../docs/conformance.md";
const BEGIN: &str = "<!-- The table is written by `UPDATE_GOLDEN=1 cargo test -p gateway-translate --test feature_table`. -->\n";
const END: &str = "<!-- The table ends here. -->\n";

/// A feature of the suite, as `cargo xtask conformance --all` writes them.
#[derive(Deserialize)]
struct Feature {
    name: String,
    channel: String,
    core: Vec<String>,
    extended: Vec<String>,
    tests: Vec<String>,
}

/// The newest report that a peer has published.
#[derive(Deserialize)]
struct Peer {
    name: String,
    version: String,
    suite: String,
    report: String,
    profiles: Vec<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    name: String,
    /// `success`, `partial` or `failure`.
    core: String,
    /// Features beyond the core that the report names as supported.
    extended: Vec<String>,
}

const PROFILES: [&str; 5] = ["GATEWAY-HTTP", "GATEWAY-GRPC", "GATEWAY-TLS", "GATEWAY-TCP", "GATEWAY-UDP"];

/// Features whose name another suite has otherwise: here, and in reports of peers.
const EARLIER: [(&str, &str); 2] = [
    ("GatewayInfrastructure", "GatewayInfrastructurePropagation"),
    ("HTTPRouteRetryCodes", "HTTPRouteRetry"),
];

fn read<T: DeserializeOwned>(file: &str) -> T {
    serde_json::from_str(&fs::read_to_string(format!("../../conformance/{file}")).unwrap()).unwrap()
}

/// The features that the GatewayClass claims under the newest definitions.
fn claimed() -> BTreeSet<String> {
    let class = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: sluice}\n\
                 spec: {controllerName: sluice.dev/gateway}\n";
    let objects = load::load("class.yaml", class).objects.into_iter();
    let resources = objects.map(|one| (one.object, Some(one.origin))).collect();
    let translation = translate(&resources, &TranslateOptions::default());
    let (_, class) = translation.status.gateway_classes.iter().next().unwrap();
    class.supported_features.iter().map(|feature| feature.name.clone()).collect()
}

/// Tests that must pass.
fn passing() -> BTreeSet<String> {
    let text = fs::read_to_string("../../conformance/passing-v1.7.0.txt").unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// `yes`, with the number of the suite's tests; those without one are tested by this project alone.
fn ours(feature: &Feature, claimed: &BTreeSet<String>, passing: &BTreeSet<String>) -> String {
    let passed = feature.tests.iter().filter(|test| passing.contains(*test)).count();
    match (claimed.contains(&feature.name), feature.tests.len()) {
        (false, _) => "no".to_owned(),
        (true, 0) => "yes, own tests".to_owned(),
        (true, 1) if passed == 1 => "yes, 1 test".to_owned(),
        (true, all) if passed == all => format!("yes, {all} tests"),
        (true, all) => format!("{passed} of {all} tests"),
    }
}

/// True if one of the profiles of a peer's report has the feature.
fn reports(peer: &Peer, feature: &Feature) -> bool {
    let core = |profile: &Profile| feature.core.contains(&profile.name) && profile.core == "success";
    let earlier = EARLIER.iter().find(|(name, _)| *name == feature.name).map(|(_, earlier)| *earlier);
    let is_named = |name: &String| *name == feature.name || earlier == Some(name);
    peer.profiles.iter().any(|profile| core(profile) || profile.extended.iter().any(is_named))
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    format!("| {} |\n", cells.into_iter().collect::<Vec<_>>().join(" | "))
}

/// Profiles, each with its core and the number of features beyond it.
fn profiles(features: &[Feature], peers: &[Peer], claimed: &BTreeSet<String>) -> String {
    let mut text = row(["profile".into(), "Sluice".into()]
        .into_iter()
        .chain(peers.iter().map(|peer| peer.name.clone())));
    text += &row(vec!["---".to_owned(); peers.len() + 2]);
    for profile in PROFILES {
        let extended = features.iter().filter(|feature| feature.extended.iter().any(|name| name == profile));
        let (has, all) = extended
            .fold((0, 0), |(has, all), one| (has + usize::from(claimed.contains(&one.name)), all + 1));
        let theirs = peers.iter().map(|peer| match peer.profiles.iter().find(|one| one.name == profile) {
            Some(one) if one.core == "success" => format!("core, {}", one.extended.len()),
            Some(one) => format!("{}, {}", one.core, one.extended.len()),
            None => "–".to_owned(),
        });
        text += &row([profile.to_owned(), format!("core, {has} of {all}")].into_iter().chain(theirs));
    }
    text
}

fn table(features: &[Feature], peers: &[Peer], claimed: &BTreeSet<String>) -> String {
    let passing = passing();
    let head = ["feature", "channel", "core of", "beyond the core of", "Sluice"].map(str::to_owned);
    let mut text = row(head.into_iter().chain(peers.iter().map(|peer| peer.name.clone())));
    text += &row(vec!["---".to_owned(); peers.len() + 5]);
    let short = |names: &[String]| match names {
        [] => "–".to_owned(),
        names => names.iter().map(|name| name.trim_start_matches("GATEWAY-")).collect::<Vec<_>>().join(", "),
    };
    for feature in features {
        let own = [
            feature.name.clone(),
            feature.channel.clone(),
            short(&feature.core),
            short(&feature.extended),
            ours(feature, claimed, &passing),
        ];
        let theirs = peers.iter().map(|peer| if reports(peer, feature) { "yes" } else { "–" }.to_owned());
        text += &row(own.into_iter().chain(theirs));
    }
    text
}

#[test]
fn the_table_of_features_is_current() {
    let (features, peers): (Vec<Feature>, Vec<Peer>) = (read("features-v1.7.0.json"), read("peers.json"));
    let claimed = claimed();
    let known: BTreeSet<_> = features.iter().map(|feature| feature.name.clone()).collect();
    assert!(claimed.is_subset(&known), "claimed, and not known to the suite");
    let mut text = profiles(&features, &peers, &claimed);
    text.push('\n');
    text += &table(&features, &peers, &claimed);
    let apart: Vec<_> =
        features.iter().filter(|one| one.core.is_empty() && one.extended.is_empty()).collect();
    let names: Vec<_> =
        apart.iter().map(|one| format!("{} ({})", one.name, ours(one, &claimed, &passing()))).collect();
    let _ = write!(text, "\nFeatures of no profile, which no report shows: {}.\n", names.join(", "));
    let reported = peers.iter().flat_map(|peer| &peer.profiles).flat_map(|profile| &profile.extended);
    let gone: BTreeSet<_> = reported
        .filter(|name| !known.contains(*name) && EARLIER.iter().all(|(_, earlier)| earlier != name))
        .map(String::as_str)
        .collect();
    let gone: Vec<_> = gone.into_iter().collect();
    let _ = write!(text, "\nFeatures in reports that this suite has no more: {}.\n", gone.join(", "));
    let sources: Vec<_> = peers
        .iter()
        .map(|one| format!("{} {} (suite {}, `{}`)", one.name, one.version, one.suite, one.report))
        .collect();
    let _ = write!(text, "\nReports of peers: {}.\n", sources.join(", "));

    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (was, after) = rest.split_once(END).unwrap();
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(PAGE, [before, BEGIN, &text, END, after].concat()).unwrap();
    } else {
        assert_eq!(was, text, "{PAGE}: set UPDATE_GOLDEN=1 to write it");
    }
}
