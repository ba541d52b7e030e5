//! Formats in which diagnostics are printed.

use gateway_translate::Severity;
use serde::Serialize;

use super::diagnostic::{PlacedDiagnostic, Rule};

/// Diagnostics, and the numbers that the last line of text has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// The directories and files that were read.
    pub(super) paths: Vec<String>,
    /// Objects that were read.
    pub(super) objects: usize,
    pub(super) errors: usize,
    pub(super) warnings: usize,
    /// Ports and routes that would be served.
    pub(super) ports: usize,
    pub(super) routes: usize,
    pub(super) diagnostics: Vec<PlacedDiagnostic>,
}

impl Report {
    /// A line for each diagnostic, then the count.
    pub(super) fn text(&self) -> String {
        let lines = self.diagnostics.iter().map(|diagnostic| format!("{}\n", diagnostic.text()));
        lines.collect::<String>() + &self.count()
    }

    /// Workflow commands of GitHub Actions, which show diagnostics beside the lines that they are about, then the count.
    pub(super) fn github(&self) -> String {
        let lines = self.diagnostics.iter().map(|diagnostic| format!("{}\n", github(diagnostic)));
        lines.collect::<String>() + &self.count()
    }

    /// One run of SARIF 2.1.0 (OASIS), for code scanning and editors.
    pub(super) fn sarif(&self, version: &str) -> serde_json::Value {
        let rules = Rule::ALL
            .map(|rule| serde_json::json!({"id": rule.name(), "shortDescription": {"text": rule.about()}}));
        let results: Vec<_> = self.diagnostics.iter().map(sarif_result).collect();
        let driver = serde_json::json!({"name": "sluice", "semanticVersion": version, "rules": rules});
        serde_json::json!({
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
        })
    }

    fn count(&self) -> String {
        format!(
            "{}: {}, {}, {}; {} and {} served\n",
            self.paths.join(", "),
            plural(self.objects, "object"),
            plural(self.errors, "error"),
            plural(self.warnings, "warning"),
            plural(self.ports, "port"),
            plural(self.routes, "route"),
        )
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// One workflow command. Percent signs and line ends are escaped, in properties colons and commas as well.
fn github(diagnostic: &PlacedDiagnostic) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let command = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let properties = [
        ("file", diagnostic.file.clone()),
        ("line", number(diagnostic.line)),
        ("col", number(diagnostic.column)),
        ("title", diagnostic.object.clone()),
    ];
    let written: Vec<_> = properties
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", property(value.as_deref()?))))
        .collect();
    let place = if written.is_empty() { String::new() } else { format!(" {}", written.join(",")) };
    format!("::{command}{place}::{}", data(&message(diagnostic)))
}

/// The message with the field that it is about.
fn message(diagnostic: &PlacedDiagnostic) -> String {
    match &diagnostic.field {
        Some(field) => format!("{field}: {}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

fn sarif_result(diagnostic: &PlacedDiagnostic) -> serde_json::Value {
    let level = diagnostic.severity.to_string();
    let mut location = serde_json::json!({});
    if let Some(file) = &diagnostic.file {
        let mut region = serde_json::json!({"startLine": diagnostic.line.unwrap_or(1)});
        if let Some(column) = diagnostic.column {
            region["startColumn"] = column.into();
        }
        location["physicalLocation"] =
            serde_json::json!({"artifactLocation": {"uri": uri(file)}, "region": region});
    }
    if let Some(object) = &diagnostic.object {
        location["logicalLocations"] =
            serde_json::json!([{"fullyQualifiedName": object, "kind": "resource"}]);
    }
    serde_json::json!({
        "ruleId": diagnostic.rule.name(),
        "level": level,
        "message": {"text": message(diagnostic)},
        "locations": [location],
    })
}

/// A path as a relative or absolute URI reference (RFC 3986 section 3.3).
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let diagnostic =
            |severity, file: Option<&str>, column, field: Option<&str>, message: &str| PlacedDiagnostic {
                severity,
                rule: Rule::Schema,
                file: file.map(str::to_owned),
                line: file.map(|_| 7),
                column,
                object: Some("Gateway a/b".to_owned()),
                field: field.map(str::to_owned),
                message: message.to_owned(),
            };
        let diagnostics = vec![
            diagnostic(Severity::Error, Some("a dir/g,w.yaml"), Some(3), Some("spec.x"), "50% is\nwrong"),
            diagnostic(Severity::Warning, Some("b.yaml"), None, None, "odd: yes"),
            PlacedDiagnostic {
                rule: Rule::Endpoints,
                object: None,
                ..diagnostic(Severity::Note, None, None, None, "so")
            },
        ];
        Report {
            paths: vec!["a dir".into(), "b.yaml".into()],
            objects: 9,
            errors: 1,
            warnings: 1,
            ports: 1,
            routes: 0,
            diagnostics,
        }
    }

    #[test]
    fn text_is_what_compilers_print() {
        let want = "\
a dir/g,w.yaml:7:3: Gateway a/b: spec.x: 50% is
wrong
b.yaml:7: warning: Gateway a/b: odd: yes
note: so
a dir, b.yaml: 9 objects, 1 error, 1 warning; 1 port and 0 routes served
";
        assert_eq!(report().text(), want);
    }

    #[test]
    fn workflow_commands_escape_what_would_end_them() {
        let want = "\
::error file=a dir/g%2Cw.yaml,line=7,col=3,title=Gateway a/b::spec.x: 50%25 is%0Awrong
::warning file=b.yaml,line=7,title=Gateway a/b::odd: yes
::notice::so
a dir, b.yaml: 9 objects, 1 error, 1 warning; 1 port and 0 routes served
";
        assert_eq!(report().github(), want);
    }

    #[test]
    fn sarif_has_a_place_for_each_finding() {
        let sarif = report().sarif("0.1.0");
        let run = &sarif["runs"][0];
        let rules: Vec<_> = run["tool"]["driver"]["rules"].as_array().unwrap().iter().collect();
        let results = run["results"].as_array().unwrap();
        for result in results {
            assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
        }
        let place = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20dir/g%2Cw.yaml");
        assert_eq!(place["region"], serde_json::json!({"startLine": 7, "startColumn": 3}));
        assert_eq!((&results[1]["level"], &results[2]["level"]), (&"warning".into(), &"note".into()));
        assert_eq!(results[2]["locations"], serde_json::json!([{}]));
    }

    #[test]
    fn json_leaves_out_what_is_not_known() {
        let json = serde_json::to_value(report()).unwrap();
        let last = &json["diagnostics"][2];
        assert_eq!(*last, serde_json::json!({"severity": "note", "rule": "endpoints", "message": "so"}));
        assert_eq!((&json["errors"], &json["objects"]), (&1.into(), &9.into()));
    }
}
