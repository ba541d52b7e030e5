//! Conditions of objects (meta.k8s.io/v1).

use serde_json::Value;

/// True if the list `conditions` of this part of an object says that the condition is true.
pub fn holds(part: &Value, kind: &str) -> bool {
    let all = part["conditions"].as_array();
    all.is_some_and(|all| all.iter().any(|c| c["type"] == kind && c["status"] == "True"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_holds_if_it_is_there_and_true() {
        let part = |kind: &str, status: &str| json!({ "conditions": [{ "type": kind, "status": status }] });
        assert!(holds(&part("Ready", "True"), "Ready"));
        assert!(!holds(&part("Ready", "False"), "Ready"));
        assert!(!holds(&part("MemoryPressure", "True"), "Ready"));
        assert!(!holds(&json!({}), "Ready") && !holds(&Value::Null, "Ready"));
    }
}
