//! Looking into a plugin's JSON Schema.

use serde_json::{Map, Value};

/// How far `$ref`s are followed: a schema that goes further goes in a circle.
const REFERENCES_MAX: usize = 16;

/// A schema behind its `$ref`s into the same document.
pub(super) fn follow<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..REFERENCES_MAX {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
        match target.and_then(|pointer| root.pointer(pointer)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// The types that a value may have, by name; none if the schema does not say.
pub(super) fn types<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a str> {
    let schema = follow(root, schema);
    if let Some(list) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        return list.iter().flat_map(|schema| types(root, schema)).collect();
    }
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether a value, or one of the alternatives for it, is marked as secret.
pub(super) fn is_secret(root: &Value, schema: &Value) -> bool {
    let marked = |schema: &Value| schema.get("writeOnly") == Some(&Value::Bool(true));
    if marked(schema) || marked(follow(root, schema)) {
        return true;
    }
    let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    alternatives.is_some_and(|list| list.iter().any(|schema| is_secret(root, schema)))
}

/// The keys of the table itself.
pub(super) fn properties(root: &Value) -> impl Iterator<Item = (&String, &Value)> {
    root.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// Every key anywhere in the schema, with its place.
pub(super) fn all_properties(root: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    collect("", root, &mut found);
    for (name, schema) in root.get("$defs").and_then(Value::as_object).into_iter().flatten() {
        collect(&format!("{name}."), schema, &mut found);
    }
    found
}

fn collect<'a>(place: &str, schema: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let place = format!("{place}{key}");
        collect(&format!("{place}."), schema, found);
        found.push((place, schema));
    }
}

/// The keys without which the table is refused.
pub(super) fn required(root: &Value) -> Vec<&str> {
    let list = root.get("required").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A table with one of its keys set.
pub(super) fn with(table: &Map<String, Value>, key: &str, value: Value) -> Value {
    let mut table = table.clone();
    table.insert(key.into(), value);
    Value::Object(table)
}

/// A table without one of its keys.
pub(super) fn without(table: &Map<String, Value>, key: &str) -> Value {
    let mut table = table.clone();
    table.remove(key);
    Value::Object(table)
}
