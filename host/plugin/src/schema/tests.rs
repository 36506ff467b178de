//! Places of secrets, in schemas as schemars and people write them.

use serde_json::{Value, json};

use super::*;

fn secret() -> Value {
    json!({ "type": "string", "writeOnly": true })
}

/// Where in a value secrets may stand, `!` behind those that are written out.
fn places(schema: &Value, value: &Value) -> Vec<String> {
    fn walk(place: &Place<'_>, value: &Value, at: &str, found: &mut Vec<String>) {
        if place.is_secret(value) {
            let is_reference = value.as_object().is_some_and(|table| as_reference(table).is_some());
            let mark = if !is_reference && place.is_written_out(value) { "!" } else { "" };
            if is_reference || !mark.is_empty() {
                found.push(format!("{at}{mark}"));
                return;
            }
        }
        match value {
            Value::Object(table) => table.iter().for_each(|(key, inner)| {
                if let Some(below) = place.key(value, key) {
                    walk(&below, inner, &format!("{at}/{key}"), found);
                }
            }),
            Value::Array(items) => items.iter().enumerate().for_each(|(number, inner)| {
                if let Some(below) = place.item(value, number) {
                    walk(&below, inner, &format!("{at}/{number}"), found);
                }
            }),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(&Place::root(schema), value, "", &mut found);
    found
}

/// A schema of one key.
fn of(schema: &Value) -> Value {
    json!({ "type": "object", "properties": { "x": schema }, "additionalProperties": false, "$defs": {
        "Login": { "type": "object", "properties": { "user": { "type": "string" }, "password": secret() } },
        "Tree": { "type": "object", "properties": {
            "token": secret(), "children": { "type": "array", "items": { "$ref": "#/$defs/Tree" } } } },
    } })
}

#[test]
fn secrets_are_found_at_any_depth() {
    let reference = json!({ "env": "NAME" });
    for (schema, value, place) in [
        (secret(), reference.clone(), "/x"),
        (json!({ "anyOf": [secret(), { "type": "null" }] }), reference.clone(), "/x"),
        (json!({ "type": "object", "additionalProperties": secret() }), json!({ "a": reference }), "/x/a"),
        (json!({ "type": "array", "items": secret() }), json!([reference]), "/x/0"),
        (json!({ "type": "array", "prefixItems": [{ "type": "string" }, secret()] }), json!(["u", reference]), "/x/1"),
        (
            json!({ "anyOf": [{ "$ref": "#/$defs/Login" }, { "type": "null" }] }),
            json!({ "user": "u", "password": reference }),
            "/x/password",
        ),
        (json!({ "allOf": [{ "$ref": "#/$defs/Login" }] }), json!({ "password": reference }), "/x/password"),
        (
            json!({ "$ref": "#/$defs/Tree" }),
            json!({ "children": [{ "children": [{ "token": reference }] }] }),
            "/x/children/0/children/0/token",
        ),
        (
            json!({ "type": "object", "additionalProperties": { "type": "array", "items": { "$ref": "#/$defs/Login" } } }),
            json!({ "a": [{ "password": reference }] }),
            "/x/a/0/password",
        ),
    ] {
        let schema = of(&schema);
        check(&schema).unwrap();
        assert_eq!(places(&schema, &json!({ "x": value })), [place], "{schema}");
        let written = json!({ "x": serde_json::from_str::<Value>(&value.to_string().replace(&reference.to_string(), "\"hunter2\"")).unwrap() });
        assert_eq!(places(&schema, &written), [format!("{place}!")], "{schema}");
    }
}

#[test]
fn alternatives_are_told_apart() {
    // As serde writes enums: by the key, by a tag, by nothing.
    let by_key = json!({ "oneOf": [
        { "const": "Anonymous" },
        { "type": "object", "required": ["Token"], "properties": { "Token": secret() }, "additionalProperties": false },
        { "type": "object", "required": ["File"], "properties": { "File": { "type": "string" } }, "additionalProperties": false },
    ] });
    let by_tag = json!({ "oneOf": [
        { "type": "object", "required": ["kind", "value"],
          "properties": { "kind": { "const": "password" }, "value": secret() } },
        { "type": "object", "required": ["kind", "value"],
          "properties": { "kind": { "const": "key" }, "value": { "type": "string" } } },
    ] });
    let by_nothing = json!({ "anyOf": [secret(), { "type": "integer" }, { "type": "object", "properties": { "path": { "type": "string" } } }] });
    for (schema, value, found) in [
        (&by_key, json!("Anonymous"), &[][..]),
        (&by_key, json!({ "Token": { "file": "f" } }), &["/x/Token"]),
        (&by_key, json!({ "Token": "hunter2" }), &["/x/Token!"]),
        (&by_key, json!({ "File": "a" }), &[]),
        (&by_tag, json!({ "kind": "password", "value": { "env": "X" } }), &["/x/value"]),
        (&by_tag, json!({ "kind": "password", "value": "hunter2" }), &["/x/value!"]),
        (&by_tag, json!({ "kind": "key", "value": "/etc/key" }), &[]),
        // A tag with a mistake is none of them: then all may have been meant.
        (&by_tag, json!({ "kind": "pasword", "value": "hunter2" }), &["/x/value!"]),
        (&by_nothing, json!({ "env": "X" }), &["/x"]),
        (&by_nothing, json!("hunter2"), &["/x!"]),
        (&by_nothing, json!(7), &[]),
        (&by_nothing, json!(true), &["/x!"]),
        (&by_nothing, json!({ "path": "/a" }), &[]),
    ] {
        let schema = of(schema);
        check(&schema).unwrap();
        assert_eq!(places(&schema, &json!({ "x": value })), found, "{value}");
    }
}

#[test]
fn what_stands_for_a_secret_by_mistake_is_seen() {
    for value in [json!(12345), json!(["a"]), json!({ "value": "hunter2" })] {
        assert_eq!(places(&of(&secret()), &json!({ "x": value })), ["/x!"], "{value}");
    }
}

#[test]
fn secrets_that_cannot_be_put_in_are_refused() {
    for schema in [
        json!({ "type": "object", "patternProperties": { "^a": secret() } }),
        json!({ "not": secret() }),
        // Also if the same is followed elsewhere.
        json!({ "properties": { "a": { "$ref": "#/$defs/Login" } }, "not": { "$ref": "#/$defs/Login" } }),
        json!({ "if": { "type": "string" }, "then": secret() }),
        json!({ "type": "array", "contains": secret() }),
        json!({ "type": "object", "unevaluatedProperties": secret() }),
        json!({ "type": "object", "writeOnly": true }),
        json!({ "type": "array", "items": { "type": "string" }, "writeOnly": true }),
        json!({ "$ref": "https://example.net/schema.json" }),
        json!({ "$ref": "#anchor" }),
        json!({ "$dynamicRef": "#node" }),
    ] {
        assert!(check(&of(&schema)).is_err(), "{schema}");
    }
    assert!(check(&json!({ "type": "object", "writeOnly": true })).is_err());
    // Data that looks like a mark, and keys that are called so, mark nothing.
    for schema in [
        json!({ "const": { "writeOnly": true } }),
        json!({ "type": "object", "properties": { "writeOnly": true } }),
        json!({ "type": "object", "default": { "writeOnly": true } }),
        json!(true),
    ] {
        check(&of(&schema)).unwrap();
    }
}

/// A schema that goes in a circle ends.
#[test]
fn circles_end() {
    let schema = json!({ "properties": { "x": { "$ref": "#/$defs/A" } },
        "$defs": { "A": { "$ref": "#/$defs/B" }, "B": { "anyOf": [{ "$ref": "#/$defs/A" }, secret()] } } });
    check(&schema).unwrap();
    assert_eq!(places(&schema, &json!({ "x": "hunter2" })), ["/x!"]);
}
