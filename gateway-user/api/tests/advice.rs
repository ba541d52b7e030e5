//! Advice in messages: each is followed to the letter, and what comes out is checked again.

use gateway_api_types::load::{Diagnostic, load};

/// Errors that are told of a text.
fn errors(text: &str) -> Vec<String> {
    let loaded = load("f.yaml", text);
    loaded.diagnostics.iter().filter(|line| line.is_error()).map(Diagnostic::to_string).collect()
}

/// The Go string that stands behind `marker` in a message.
fn behind(message: &str, marker: &str) -> Option<String> {
    let (_, after) = message.split_once(marker)?;
    let mut texts = serde_json::Deserializer::from_str(after).into_iter::<String>();
    texts.next()?.ok()
}

/// The values to try in place of `wrong`, as the message says; `None`: the line is to be left out.
fn advised(message: &str, wrong: &str) -> Vec<Option<String>> {
    let quoted = |text: String| Some(format!("{text:?}"));
    if message.contains("leave it out") {
        return vec![None];
    }
    if message.contains("put it in quotes") {
        return vec![quoted(wrong.to_owned())];
    }
    if message.contains("write it without quotes") {
        return vec![Some(wrong.trim_matches('"').to_owned())];
    }
    if message.contains("write true") || message.contains("write false") {
        return vec![Some(message.contains("write true").to_string())];
    }
    if let Some((_, bounds)) =
        message.split_once("write the number").and_then(|(_, after)| after.split_once("from "))
    {
        let (min, max) = bounds.split_once(" to ").unwrap();
        return vec![Some(min.to_owned()), Some(max.to_owned())];
    }
    if message.contains("is not filled in") || message.contains("is a template") {
        return vec![Some("filled-in".to_owned())];
    }
    let text =
        ["did you mean ", "quote it: ", "write ", "as in "].iter().find_map(|marker| behind(message, marker));
    vec![Some(format!("{:?}", text.unwrap_or_else(|| panic!("no advice in {message}"))))]
}

/// A route or Gateway with one line that is wrong; `%` stands for the value.
fn document(field: &str) -> String {
    let route = |spec: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: r\nspec:\n{spec}\n"
        )
    };
    let rule = |rule: &str| route(&format!("  rules:\n  -\n{rule}"));
    match field {
        "route.name" => route("  hostnames: []").replace("name: r", "name: %"),
        "route.hostnames" => route("  parentRefs: []\n  hostnames:\n  - %"),
        "rewrite.hostname" => rule(
            "    filters:\n    - type: URLRewrite\n      urlRewrite:\n        path: {type: ReplaceFullPath, replaceFullPath: /}\n        hostname: %",
        ),
        "timeouts.request" => rule("    timeouts:\n      request: %"),
        "backend.port" => rule("    backendRefs:\n    - name: s\n      port: %"),
        "backend.weight" => rule("    backendRefs:\n    - name: s\n      port: 80\n      weight: %"),
        "backend.namespace" => rule("    backendRefs:\n    - name: s\n      port: 80\n      namespace: %"),
        "backend.name" => rule("    backendRefs:\n    - port: 80\n      name: %"),
        "path.type" => rule("    matches:\n    - path:\n        value: /\n        type: %"),
        "path.value" => rule("    matches:\n    - path:\n        value: %"),
        "header.value" => rule(
            "    filters:\n    - type: RequestHeaderModifier\n      requestHeaderModifier:\n        set:\n        - name: a\n          value: %",
        ),
        _ => {
            let (listener, tls) = match field {
                "listener.tls.mode" => (
                    "name: l\n    port: 443\n    protocol: HTTPS",
                    "\n    tls:\n      certificateRefs: [{name: c}]\n      mode: %",
                ),
                "listener.port" => ("name: l\n    protocol: HTTP\n    port: %", ""),
                "listener.name" => ("protocol: HTTP\n    port: 80\n    name: %", ""),
                _ => ("name: l\n    protocol: HTTP\n    port: 80\n    hostname: %", ""),
            };
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: g\nspec:\n  gatewayClassName: c\n  listeners:\n  - {listener}{tls}\n"
            )
        }
    }
}

#[test]
fn advice_works_when_it_is_followed() {
    let cases = [
        // Hostnames.
        ("route.hostnames", "*.example.com", "quote it: \"*.example.com\""),
        ("listener.hostname", "*.example.com", "quote it: \"*.example.com\""),
        ("listener.hostname", "*", "quote it: \"*\""),
        ("listener.hostname", "\"*\"", "leave it out"),
        ("route.hostnames", "\"*\"", "leave it out"),
        ("route.hostnames", "foo.com:8080", "write \"foo.com\", without port"),
        ("listener.hostname", "http://foo.com", "write \"foo.com\", without scheme"),
        (
            "route.hostnames",
            "https://Foo.com:8443/x/",
            "write \"foo.com\", without scheme, without path, without port, in lower case",
        ),
        ("route.hostnames", "Foo.com", "write \"foo.com\", in lower case"),
        ("route.hostnames", "foo.com.", "write \"foo.com\", without the dot at its end"),
        ("route.hostnames", "\" foo.com \"", "write \"foo.com\", without blanks around it"),
        ("route.hostnames", "app.${DOMAIN}", "\"${DOMAIN}\" is not filled in"),
        ("route.hostnames", "\"app.{{ .Values.domain }}\"", "it is a template: render it"),
        ("route.hostnames", "foo.*", "as in \"*.example.com\""),
        ("rewrite.hostname", "Foo.com:80", "write \"foo.com\", without port, in lower case"),
        // Durations.
        ("timeouts.request", "30", "write \"30s\", with a unit"),
        ("timeouts.request", "\"30\"", "write \"30s\", with a unit"),
        ("timeouts.request", "0", "write \"0s\""),
        ("timeouts.request", "1.5s", "write \"1500ms\""),
        ("timeouts.request", "2 minutes", "write \"2m\""),
        ("timeouts.request", "1d", "write \"24h\""),
        // Numbers.
        ("backend.port", "http", "write the number of the Service's port, from 1 to 65535"),
        ("backend.port", "\"80\"", "write it without quotes"),
        ("backend.port", "\"0\"", "write the number of the Service's port, from 1 to 65535"),
        ("listener.port", "http", "write the number, from 1 to 65535"),
        ("listener.port", "0080", "write the number, from 1 to 65535"),
        ("backend.weight", "50%", "write the number, from 0 to 1000000"),
        // Values out of a list.
        ("path.type", "Prefix", "did you mean \"PathPrefix\"?"),
        ("path.type", "exact", "did you mean \"Exact\"?"),
        ("path.type", "Regular", "did you mean \"RegularExpression\"?"),
        ("listener.tls.mode", "terminate", "did you mean \"Terminate\"?"),
        // Names and texts.
        ("listener.name", "HTTP", "write \"http\", in lower case"),
        ("backend.namespace", "Team", "write \"team\", in lower case"),
        ("header.value", "\" a\"", "write \"a\", without blanks around it"),
        ("header.value", "80", "put it in quotes"),
        ("header.value", "true", "put it in quotes"),
        ("backend.name", "@a", "quote it: \"@a\""),
        // Variables and templates that a tool should have filled in.
        ("route.name", "{{ .Release.Name }}", "is a template: render it"),
        ("route.name", "{{ include \"x.name\" . }}-web", "is a template: render it"),
        ("route.name", "${NAME}", "\"${NAME}\" is not filled in"),
        ("route.name", "\"{{ .Release.Name }}\"", "it is a template: render it"),
    ];
    let mut wrong = String::new();
    for (field, value, advice) in cases {
        let text = document(field);
        let told = errors(&text.replace('%', value));
        let Some(message) = told.iter().find(|message| message.contains(advice)) else {
            wrong += &format!("{field}: {value}: no {advice:?} in {told:#?}\n");
            continue;
        };
        if told.len() != 1 {
            wrong += &format!("{field}: {value}: more than one line: {told:#?}\n");
        }
        for right in advised(message, value) {
            let fixed: String = match &right {
                Some(right) => text.replace('%', right),
                None => {
                    text.lines().filter(|line| !line.contains('%')).map(|line| format!("{line}\n")).collect()
                }
            };
            let left = errors(&fixed);
            // A bare wildcard takes two steps.
            if !left.is_empty() && right.as_deref() != Some("\"*\"") {
                wrong += &format!("{field}: {value}: {message}\n  followed with {right:?}: {left:#?}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn variables_and_templates_are_told_wherever_they_stand() {
    for (field, value, advice) in [
        ("listener.port", "${PORT}", "\"${PORT}\" is not filled in"),
        ("backend.port", "$(PORT)", "\"$(PORT)\" is not filled in"),
        ("path.type", "${TYPE}", "\"${TYPE}\" is not filled in"),
        ("timeouts.request", "${TIMEOUT}", "\"${TIMEOUT}\" is not filled in"),
        ("listener.port", "{{ .Values.port }}", "is a template: render it"),
        ("path.type", "\"{{ .Values.type }}\"", "it is a template: render it"),
    ] {
        let told = errors(&document(field).replace('%', value));
        assert!(told.len() == 1 && told[0].contains(advice), "{field}: {value}: {told:?}");
    }
    let whole =
        "{{- if .Values.route }}\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n{{- end }}\n";
    let told = errors(whole);
    assert!(
        told.iter().all(|line| line.contains("is a template: render it")) && !told.is_empty(),
        "{told:?}"
    );
}

#[test]
fn blanks_that_only_look_like_spaces_are_named() {
    for text in [
        "apiVersion: v1\nkind: Namespace\nmetadata:\n\u{a0}\u{a0}name: a\n",
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  labels:\n  \u{a0}\u{a0}a: b\n  name: a\n",
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name:\u{a0}a\n  labels: {}\n",
    ] {
        let told = errors(text);
        assert!(
            told.len() == 1 && told[0].contains("has a no-break space (U+00A0), which is no space to YAML"),
            "{text}: {told:?}"
        );
    }
    let told = errors("apiVersion: v1\nkind: Namespace\nmetadata:\n\u{3000}name: a\n");
    assert!(told[0].contains("has a blank (U+3000)"), "{told:?}");
}
