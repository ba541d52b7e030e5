//! Status and data plane agree on every rule: an accepted rule is served.

use gateway_api_types::{Kind, Object, ResourceSet};
use gateway_ir::{Action, Generation, Ir, WeightedTarget};
use gateway_snapshot::{Action as Served, compile};
use gateway_translate::{TranslateOptions, translate};
use serde_json::{Value, json};

/// Values that people and tools write where the CRDs name no form, good and bad.
const TEXTS: &[&str] = &[
    "/",
    "",
    "/a",
    "a",
    "/a/",
    "/a b",
    "/a?b=1",
    "/a#b",
    "/%2",
    "/%zz",
    "/\u{e9}",
    "/\"",
    "/<>",
    "/\\",
    "/^`{|}",
    "/a\r\nb",
    "/a\t",
    "//a",
    "/?",
    "?",
    "#",
    "/index.php?page=1&b=/?",
    "/~user/-._",
    "/\u{7f}",
    "/\u{0}",
    "{{ .Values.path }}",
    "${PATH}",
];

/// splitmix64: the rules are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }

    fn text(&mut self) -> &'static str {
        TEXTS[self.below(TEXTS.len())]
    }

    fn filter(&mut self) -> Value {
        let path = match self.below(2) {
            0 => json!({"type": "ReplaceFullPath", "replaceFullPath": self.text()}),
            _ => json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": self.text()}),
        };
        let change = json!({"set": [{"name": "x-a", "value": self.text()}], "add": [{"name": "x-b", "value": self.text()}]});
        match self.below(4) {
            0 => json!({"type": "URLRewrite", "urlRewrite": {"path": path}}),
            1 => json!({"type": "RequestRedirect", "requestRedirect": {"path": path}}),
            2 => json!({"type": "RequestHeaderModifier", "requestHeaderModifier": change}),
            _ => json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": change}),
        }
    }

    fn rule(&mut self, at: usize) -> Value {
        let filters: Vec<_> = (0..self.below(3)).map(|_| self.filter()).collect();
        let own: Vec<_> = (0..self.below(2)).map(|_| self.filter()).collect();
        let redirects = filters.iter().any(|filter| filter["type"] == "RequestRedirect");
        let backends = if redirects { json!([]) } else { json!([{"name": "s", "port": 80, "filters": own}]) };
        let matches = json!([{"path": {"type": "PathPrefix", "value": format!("/{at}")}}]);
        json!({"matches": matches, "filters": filters, "backendRefs": backends})
    }
}

fn translated(rules: Vec<Value>) -> Ir {
    let named = |name: &str| json!({"name": name, "namespace": "a"});
    let listeners = json!([{"name": "web", "port": 80, "protocol": "HTTP"}]);
    let route = |(at, rule): (usize, Value)| {
        let spec = json!({"parentRefs": [{"name": "gw"}], "rules": [rule]});
        (Kind::HttpRoute, json!({"metadata": named(&format!("r{at}")), "spec": spec}))
    };
    let others = [
        (
            Kind::GatewayClass,
            json!({"metadata": {"name": "c"}, "spec": {"controllerName": "sluice.dev/gateway"}}),
        ),
        (
            Kind::Gateway,
            json!({"metadata": named("gw"), "spec": {"gatewayClassName": "c", "listeners": listeners}}),
        ),
        (Kind::Service, json!({"metadata": named("s"), "spec": {"ports": [{"name": "http", "port": 80}]}})),
    ];
    let objects = others.into_iter().chain(rules.into_iter().enumerate().map(route));
    let set: ResourceSet = objects
        .map(|(kind, value)| (Object::from_value(kind, value).expect("it fits the types"), None))
        .collect();
    translate(&set, &TranslateOptions::default()).ir
}

#[test]
fn what_is_accepted_is_served() {
    let mut random = Random(7);
    let ir = translated((0..2_000).map(|at| random.rule(at)).collect());
    let snapshot = compile(&ir, Generation(1));
    let (mut accepted, mut refused) = (0, 0);
    for (_, rule) in snapshot.attached_rules() {
        let source = &ir.routes.values().find(|route| *route.id() == rule.route.id).unwrap().http_rules()[0];
        let said = format!("{}: {source:?}", rule.route.id);
        match (&source.action, &rule.action) {
            (Action::Fail(_), Served::Fail(_)) => refused += 1,
            (Action::Redirect(_), Served::Redirect(_)) => accepted += 1,
            (Action::Forward(backends), Served::Forward(picker)) => {
                let is_refused = matches!(backends[0].target, WeightedTarget::Fail(_));
                let fails = matches!(picker.pick(0).destination, gateway_snapshot::Destination::Fail(_));
                assert_eq!(is_refused, fails, "{said}");
                if fails { refused += 1 } else { accepted += 1 }
            }
            (_, served) => panic!("{said}\nis served as {served:?}"),
        }
    }
    assert!(accepted > 300 && refused > 300, "{accepted} accepted, {refused} refused");
}
