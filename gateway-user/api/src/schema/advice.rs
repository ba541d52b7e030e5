//! Suggestions for a value that is refused. A value is only suggested if its schema accepts it.

use super::Schema;
use super::suggest::quoted;

/// The message for a string with a variable or template that a tool should have filled in.
pub(crate) fn unfilled(text: &str) -> Option<String> {
    if text.contains("{{") {
        return Some("it is a template: render it (helm template) and load what comes out".to_owned());
    }
    let (begin, close) =
        text.find("${").map(|begin| (begin, '}')).or_else(|| text.find("$(").map(|begin| (begin, ')')))?;
    let variable = text.get(begin..)?;
    let end = variable.find(close).map_or(variable.len(), |end| end + 1);
    let variable = variable.get(..end).unwrap_or(variable);
    Some(format!("{} is not filled in: run the file through envsubst, or write the value", quoted(variable)))
}

/// A suggestion for a string that does not match its pattern.
pub(super) fn for_pattern(schema: &Schema, text: &str) -> Option<String> {
    let pattern = schema.pattern.as_ref()?.as_str();
    let of_labels = pattern.contains(r"(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$");
    let wild = pattern.starts_with(r"^(\*\.)?");
    let (write, what) = if let Some(advice) = unfilled(text) {
        return Some(advice);
    } else if text == "*" && wild {
        return Some("leave it out: without a hostname every host is taken".to_owned());
    } else if let Some(found) = repaired(schema, text, of_labels) {
        found
    } else if text.contains('*') && wild {
        return Some("* stands for whole labels in front, as in \"*.example.com\"".to_owned());
    } else if text.contains('*') && of_labels {
        return Some("a wildcard cannot stand here: name one".to_owned());
    } else if wild {
        return Some(
            "a host name has a-z, 0-9, '-' and '.', with a letter or digit at both ends of each label"
                .to_owned(),
        );
    } else {
        return None;
    };
    Some(format!("write {}, {what}", quoted(&write)))
}

/// A correction of a string: the function, the schemas it is for, and its name in messages.
type Repair = (fn(&str) -> String, bool, &'static str);

/// The text with as few repairs as its schema wants, and what they are.
fn repaired(schema: &Schema, text: &str, of_labels: bool) -> Option<(String, String)> {
    if schema.is_duration() {
        let written = duration(text).filter(|written| schema.takes(written))?;
        return Some((written, "with a unit: h, m, s or ms".to_owned()));
    }
    let mut left = text.to_owned();
    let mut done = Vec::new();
    let repairs: [Repair; 6] = [
        (|text| text.trim().to_owned(), true, "without blanks around it"),
        (
            |text| text.split_once("://").map_or(text, |(_, rest)| rest).to_owned(),
            of_labels,
            "without scheme",
        ),
        (|text| text.split(['/', '?', '#']).next().unwrap_or_default().to_owned(), of_labels, "without path"),
        (without_port, of_labels, "without port"),
        (|text| text.trim_end_matches('.').to_owned(), of_labels, "without the dot at its end"),
        (str::to_ascii_lowercase, true, "in lower case"),
    ];
    for (repair, fits, what) in repairs {
        let next = repair(&left);
        if fits && next != left {
            left = next;
            done.push(what);
        }
        if !done.is_empty() && schema.takes(&left) {
            return Some((left, done.join(", ")));
        }
    }
    None
}

fn without_port(text: &str) -> String {
    match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host.to_owned(),
        _ => text.to_owned(),
    }
}

/// A duration of the Gateway API (GEP-2257) for what people write as one: `30`, `1.5s`, `2 min`, `1d`.
fn duration(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "ms" | "msec" | "millis" | "millisecond" | "milliseconds" => 1.0,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1_000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        _ => return None,
    };
    let milliseconds = number.parse::<f64>().ok()? * factor;
    let whole = milliseconds.fract() == 0.0 && (0.0..1e15).contains(&milliseconds);
    let milliseconds = if whole { milliseconds as u64 } else { return None };
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let (length, unit) = match milliseconds {
        0 => (1_000, "s"),
        _ => units.into_iter().find(|(length, _)| milliseconds.is_multiple_of(*length))?,
    };
    Some(format!("{}{unit}", milliseconds / length))
}

/// A suggestion for a number or boolean where a string is expected; it begins with `; `.
pub(super) fn for_text(schema: &Schema, written: &str) -> String {
    if schema.takes(written) {
        return "; put it in quotes".to_owned();
    }
    match for_pattern(schema, written) {
        Some(advice) => format!("; {advice}"),
        None => String::new(),
    }
}

/// A suggestion for a string where a number is expected; it begins with `; `.
pub(super) fn for_number(schema: &Schema, field: &str, text: &str) -> String {
    if let Some(advice) = unfilled(text) {
        return format!("; {advice}");
    }
    let in_bounds = |number: f64| {
        schema.minimum.is_none_or(|min| number >= min) && schema.maximum.is_none_or(|max| number <= max)
    };
    let plain = !text.starts_with('0') || text == "0";
    if plain && text.parse::<i64>().is_ok_and(|number| in_bounds(number as f64)) {
        return "; write it without quotes".to_owned();
    }
    let of_service =
        if field.contains("backendRef") && field.ends_with(".port") { " of the Service's port" } else { "" };
    match (schema.minimum, schema.maximum) {
        (Some(min), Some(max)) => format!("; write the number{of_service}, from {min} to {max}"),
        (Some(min), None) => format!("; write the number{of_service}, at least {min}"),
        _ => format!("; write the number{of_service}"),
    }
}

/// A suggestion for a string where a boolean is expected; it begins with `; `.
pub(super) fn for_boolean(text: &str) -> String {
    if let Some(advice) = unfilled(text) {
        return format!("; {advice}");
    }
    match text.to_ascii_lowercase().as_str() {
        "true" | "false" if text == text.to_ascii_lowercase() => "; write it without quotes".to_owned(),
        "true" | "yes" | "on" | "y" => "; write true".to_owned(),
        "false" | "no" | "off" | "n" => "; write false".to_owned(),
        _ => String::new(),
    }
}

impl Schema {
    /// True if it accepts a string, by its length, pattern and enum.
    fn takes(&self, text: &str) -> bool {
        let length = text.chars().count();
        self.min_length.is_none_or(|min| length >= min)
            && self.max_length.is_none_or(|max| length <= max)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
            && (self.allowed.is_empty() || self.allowed.iter().any(|value| value.as_str() == Some(text)))
    }

    fn is_duration(&self) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern.as_str().contains("(h|m|s|ms)"))
    }
}
