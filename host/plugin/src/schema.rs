//! Where in a plugin's configuration secrets stand, by the JSON Schema that the plugin publishes: at whatever depth, in tables, maps,
//! lists and pairs, behind references, in one of several alternatives. Where that cannot be told, the schema is refused.

use serde_json::{Map, Value};

#[cfg(test)]
mod tests;

/// How far references and alternatives are followed at one place: a schema that goes further goes in a circle.
const DEPTH_MAX: usize = 32;

/// Keywords that hold one schema for what is at the same place or below it, and that are followed.
const ONE: [&str; 2] = ["additionalProperties", "items"];
/// The same for lists of schemas.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose values are no schemas, or count only where something refers to them.
const DATA: [&str; 6] = ["const", "default", "enum", "examples", "$defs", "definitions"];
/// Keywords whose values are schemas by name.
const NAMED: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];

/// One place in a configuration: all that its schema may be, alternatives included.
#[derive(Clone)]
pub struct Place<'a> {
    root: &'a Value,
    schemas: Vec<&'a Value>,
    /// Whether alternatives that a value is not of are left out.
    is_strict: bool,
}

impl<'a> Place<'a> {
    /// The table itself. Alternatives that a value cannot be of are left out: `{ kind = "key", … }` is no `{ kind = "password", … }`.
    pub fn root(schema: &'a Value) -> Self {
        Place { root: schema, schemas: vec![schema], is_strict: true }
    }

    /// The same with all alternatives, for values with mistakes.
    #[must_use]
    pub fn with_all(self) -> Self {
        Place { is_strict: false, ..self }
    }

    /// Whether a secret may stand here.
    pub fn is_secret(&self, value: &Value) -> bool {
        self.all(value).into_iter().any(is_marked)
    }

    /// Whether this value, written out, could be the secret: then it is refused and never shown.
    pub fn is_written_out(&self, value: &Value) -> bool {
        let all = self.all(value);
        let is_word = all.iter().any(|schema| !is_marked(schema) && is_listed(schema, value) == Some(true));
        let could_be = all.iter().any(|schema| is_marked(schema) && has_type(schema, value));
        let may_be_else = all.iter().any(|schema| !is_marked(schema) && says_what(schema) && admits(schema, value));
        all.iter().any(|schema| is_marked(schema)) && !is_word && (could_be || !may_be_else)
    }

    /// The value of a key of this table; none if the schema does not know it.
    pub fn key(&self, value: &Value, key: &str) -> Option<Place<'a>> {
        let of = |schema: &&'a Value| match schema.get("properties").and_then(|properties| properties.get(key)) {
            Some(known) => Some(known),
            None => schema.get("additionalProperties").filter(|schema| schema.is_object()),
        };
        self.below(self.all(value).iter().filter_map(of).collect())
    }

    /// An item of this list.
    pub fn item(&self, value: &Value, number: usize) -> Option<Place<'a>> {
        let of = |schema: &&'a Value| {
            let prefix = schema.get("prefixItems").and_then(Value::as_array);
            match prefix.and_then(|list| list.get(number)) {
                Some(known) => Some(known),
                None => schema.get("items").filter(|schema| schema.is_object()),
            }
        };
        self.below(self.all(value).iter().filter_map(of).collect())
    }

    fn below(&self, schemas: Vec<&'a Value>) -> Option<Place<'a>> {
        (!schemas.is_empty()).then_some(Place { schemas, ..*self })
    }

    /// Every schema that counts for the value here.
    fn all(&self, value: &Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        self.schemas.iter().for_each(|schema| self.gather(schema, value, DEPTH_MAX, &mut found));
        found
    }

    fn gather(&self, schema: &'a Value, value: &Value, depth: usize, found: &mut Vec<&'a Value>) {
        if depth == 0 || found.iter().any(|known| std::ptr::eq(*known, schema)) {
            return;
        }
        found.push(schema);
        if let Some(target) = target(self.root, schema) {
            self.gather(target, value, depth - 1, found);
        }
        for schema in list(schema, "allOf") {
            self.gather(schema, value, depth - 1, found);
        }
        for keyword in ["anyOf", "oneOf"] {
            let alternatives: Vec<&Value> = list(schema, keyword).collect();
            let fits = |schema: &&Value| !self.is_strict || may_be(self.root, schema, value, DEPTH_MAX);
            let fitting: Vec<&Value> = alternatives.iter().copied().filter(fits).collect();
            // Of what is none of them, all may have been meant.
            for schema in if fitting.is_empty() { alternatives } else { fitting } {
                self.gather(schema, value, depth - 1, found);
            }
        }
    }
}

/// `env`, `file` or `command` if that is all that a table has: how a secret is referred to.
pub fn as_reference(table: &Map<String, Value>) -> Option<&'static str> {
    let known = ["env", "file", "command"];
    known.into_iter().find(|key| table.len() == 1 && table.contains_key(*key))
}

/// Refuses a schema with a secret in a place that cannot be resolved; says which.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    let mut seen = Vec::new();
    follow(schema, schema, "", &mut seen)?;
    match unfollowed(schema, &seen) {
        Some(place) => Err(format!("a secret is marked where none can be put, at `{place}`")),
        None if is_marked(schema) => Err("the whole configuration is marked as a secret".into()),
        None => Ok(()),
    }
}

/// Goes through all that a value can be of; `seen` has the places.
fn follow<'a>(root: &'a Value, schema: &'a Value, place: &str, seen: &mut Vec<&'a Value>) -> Result<(), String> {
    if seen.iter().any(|known| std::ptr::eq(*known, schema)) {
        return Ok(());
    }
    seen.push(schema);
    if is_marked(schema) && !has_type(schema, &Value::String(String::new())) {
        return Err(format!("a secret is a text, and at `{place}` it is none"));
    }
    for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
        let Some(reference) = schema.get(keyword) else { continue };
        match target(root, schema) {
            Some(target) => follow(root, target, reference.as_str().unwrap_or_default(), seen)?,
            None => return Err(format!("the reference {reference} at `{place}` leads to no place in the schema")),
        }
    }
    for keyword in ONE {
        if let Some(schema) = schema.get(keyword).filter(|schema| schema.is_object()) {
            follow(root, schema, &format!("{place}/{keyword}"), seen)?;
        }
    }
    for keyword in LISTS {
        for (number, schema) in list(schema, keyword).enumerate() {
            follow(root, schema, &format!("{place}/{keyword}/{number}"), seen)?;
        }
    }
    for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        follow(root, schema, &format!("{place}/properties/{key}"), seen)?;
    }
    Ok(())
}

/// The first secret that a schema has for a place which no value is looked up by: behind a keyword that is not followed.
fn unfollowed(root: &Value, seen: &[&Value]) -> Option<String> {
    Look { root, seen, visited: Vec::new() }.at(root, "", false)
}

struct Look<'a> {
    root: &'a Value,
    /// The schemas that are followed.
    seen: &'a [&'a Value],
    /// Those that were looked at, and whether they were lost by then.
    visited: Vec<(*const Value, bool)>,
}

impl<'a> Look<'a> {
    /// `is_lost` behind a keyword that is not followed.
    fn at(&mut self, schema: &'a Value, place: &str, is_lost: bool) -> Option<String> {
        let keywords = match schema {
            Value::Object(keywords) => keywords,
            Value::Array(items) => return items.iter().find_map(|item| self.at(item, place, is_lost)),
            _ => return None,
        };
        let is_lost = is_lost || !self.seen.iter().any(|known| std::ptr::eq(*known, schema));
        let this = (std::ptr::from_ref(schema), is_lost);
        if self.visited.contains(&this) {
            return None;
        }
        self.visited.push(this);
        if is_lost && is_marked(schema) {
            return Some(place.to_string());
        }
        let root = self.root;
        if let Some(found) = target(root, schema).and_then(|target| self.at(target, place, is_lost)) {
            return Some(found);
        }
        keywords.iter().find_map(|(keyword, value)| {
            let place = format!("{place}/{keyword}");
            match (keyword.as_str(), value) {
                (keyword, _) if DATA.contains(&keyword) => None,
                (keyword, Value::Object(schemas)) if NAMED.contains(&keyword) => {
                    schemas.iter().find_map(|(name, schema)| self.at(schema, &format!("{place}/{name}"), is_lost))
                }
                _ => self.at(value, &place, is_lost),
            }
        })
    }
}

fn is_marked(schema: &Value) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
}

/// What a schema refers to, in the same document.
fn target<'a>(root: &'a Value, schema: &Value) -> Option<&'a Value> {
    root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
}

fn list<'a>(schema: &'a Value, keyword: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

/// Whether a value is of the type that a schema says, if it says one.
fn has_type(schema: &Value, value: &Value) -> bool {
    let is = |name: &str| match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(number) => name == "number" || (name == "integer" && !number.is_f64()),
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    };
    match schema.get("type") {
        Some(Value::String(name)) => is(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

/// Whether the value is one of those that a schema lists, if it lists any.
fn is_listed(schema: &Value, value: &Value) -> Option<bool> {
    match (schema.get("const"), schema.get("enum").and_then(Value::as_array)) {
        (Some(constant), _) => Some(constant == value),
        (None, Some(listed)) => Some(listed.contains(value)),
        (None, None) => None,
    }
}

/// Whether a schema says by itself what a value is, and does not only hold others that do.
fn says_what(schema: &Value) -> bool {
    let holds_others = ["$ref", "allOf", "anyOf", "oneOf"].iter().any(|keyword| schema.get(keyword).is_some());
    !holds_others || ["type", "const", "enum"].iter().any(|keyword| schema.get(keyword).is_some())
}

fn admits(schema: &Value, value: &Value) -> bool {
    schema != &Value::Bool(false) && has_type(schema, value) && is_listed(schema, value) != Some(false)
}

/// Whether a value can be of a schema, as far as types, words that are given, and keys tell.
fn may_be(root: &Value, schema: &Value, value: &Value, depth: usize) -> bool {
    if depth == 0 {
        return true;
    }
    let deeper = |schema: &Value| may_be(root, schema, value, depth - 1);
    if is_marked(schema) && value.as_object().is_some_and(|table| as_reference(table).is_some()) {
        return true;
    }
    let some = |keyword: &str| list(schema, keyword).next().is_none() || list(schema, keyword).any(deeper);
    admits(schema, value)
        && target(root, schema).is_none_or(deeper)
        && list(schema, "allOf").all(deeper)
        && some("anyOf")
        && some("oneOf")
        && value.as_object().is_none_or(|table| has_keys(root, schema, table, depth))
}

/// Whether a table has the keys that it must have, none that it must not have, and of those with given words one of these.
fn has_keys(root: &Value, schema: &Value, table: &Map<String, Value>, depth: usize) -> bool {
    let properties = schema.get("properties").and_then(Value::as_object);
    let is_known = |key: &String| properties.is_some_and(|known| known.contains_key(key));
    let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let fits = |(key, schema): (&String, &Value)| {
        let Some(value) = table.get(key) else { return true };
        is_listed(schema, value).unwrap_or(true) && may_be_word(root, schema, value, depth - 1)
    };
    list(schema, "required").filter_map(Value::as_str).all(|key| table.contains_key(key))
        && (!is_closed || table.keys().all(is_known))
        && properties.into_iter().flatten().all(fits)
}

/// Of what a key refers to, only given words tell alternatives apart: a mistake elsewhere must not make it another one.
fn may_be_word(root: &Value, schema: &Value, value: &Value, depth: usize) -> bool {
    match target(root, schema) {
        Some(target) if depth > 0 => {
            is_listed(target, value).unwrap_or(true) && may_be_word(root, target, value, depth - 1)
        }
        _ => true,
    }
}
