//! RFC 6902, the three operations that are used; a wrong place panics.

use gateway_control::cluster::op::Op;
use serde_json::Value;

pub(crate) fn apply(object: &mut Value, op: &Op) {
    let (path, value) = match op {
        Op::Add { path, value } | Op::Replace { path, value } => (path, Some(value)),
        Op::Remove { path } => (path, None),
    };
    let (parent, last) = path.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("no place for {op:?}"));
    let index = || last.parse::<usize>().unwrap();
    match (parent, op, value) {
        (Value::Object(fields), Op::Add { .. } | Op::Replace { .. }, Some(value)) => {
            fields.insert(last.to_owned(), value.clone());
        }
        (Value::Array(list), Op::Add { .. }, Some(value)) if last == "-" => list.push(value.clone()),
        (Value::Array(list), Op::Replace { .. }, Some(value)) => list[index()] = value.clone(),
        (Value::Array(list), Op::Remove { .. }, None) => drop(list.remove(index())),
        (parent, op, _) => panic!("{op:?} does not fit {parent}"),
    }
}
