//! Values of fields and paths into them: what equals what, and how a path is written.
//!
//! Never here: kinds, owners, or anything that knows which field a value belongs to.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use serde_json::Value;

/// The fields of one resource, by name.
pub type Fields = BTreeMap<String, Value>;

/// One step into a nested value: a member of a map or a position in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged, expecting = "a step of a path is a string, or a whole number from 0")]
pub enum PathStep {
    /// The zero-based position in a list.
    Index(usize),
    /// The name of a map's member.
    Key(String),
}

/// The way from a resource to a value inside it; the first step is the name of the field.
///
/// As JSON it is an array of strings and numbers, as text `providers[0].model`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldPath(Vec<PathStep>);

impl FieldPath {
    /// Names a whole field.
    pub fn field(name: impl Into<String>) -> Self {
        Self(vec![PathStep::Key(name.into())])
    }

    /// Goes one map member deeper.
    #[must_use]
    pub fn key(&self, name: impl Into<String>) -> Self {
        self.with(PathStep::Key(name.into()))
    }

    /// Goes one list position deeper.
    #[must_use]
    pub fn index(&self, position: usize) -> Self {
        self.with(PathStep::Index(position))
    }

    fn with(&self, step: PathStep) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The name of the field that the path starts at; empty for the resource itself.
    pub fn top(&self) -> &str {
        match self.0.first() {
            Some(PathStep::Key(name)) => name,
            Some(PathStep::Index(_)) | None => "",
        }
    }

    /// The steps from the resource inwards.
    pub fn steps(&self) -> &[PathStep] {
        &self.0
    }

    /// Finds the value that the path leads to.
    pub fn get<'v>(&self, fields: &'v Fields) -> Option<&'v Value> {
        let mut at = fields.get(self.top())?;
        for step in self.0.iter().skip(1) {
            at = match step {
                PathStep::Key(name) => at.get(name.as_str())?,
                PathStep::Index(position) => at.get(*position)?,
            };
        }
        Some(at)
    }

    /// Takes the value out that the path leads to. A member goes; an item stays as nothing, so that the others keep their places.
    pub fn take(&self, fields: &mut Fields) -> Option<Value> {
        let (last, way) = self.0.split_last()?;
        let Some((PathStep::Key(top), way)) = way.split_first() else { return fields.remove(self.top()) };
        let mut at = fields.get_mut(top.as_str())?;
        for step in way {
            at = match step {
                PathStep::Key(name) => at.get_mut(name.as_str())?,
                PathStep::Index(position) => at.get_mut(*position)?,
            };
        }
        match last {
            PathStep::Key(name) => at.as_object_mut()?.remove(name),
            PathStep::Index(position) => at.get_mut(*position).map(Value::take),
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Key(name) if position == 0 => write!(out, "{name}")?,
                PathStep::Key(name) => write!(out, ".{name}")?,
                PathStep::Index(index) => write!(out, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Why a text is no path of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A part, or all of it, is empty.
    #[error("a part of it is empty")]
    Empty,
    /// A double quote has no other.
    #[error("a double quote is not closed")]
    Open,
    /// Something stands between a part and the next.
    #[error("something follows a closing quote or bracket")]
    Trailing,
    /// What stands in brackets is no position.
    #[error("what stands in brackets is no position in a list")]
    Position,
}

impl FromStr for FieldPath {
    type Err = PathError;

    /// Reads `providers[0].model`; a part with a `.` in it stands in double quotes.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let (name, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or(PathError::Open)?,
                None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
            };
            if name.is_empty() {
                return Err(PathError::Empty);
            }
            steps.push(PathStep::Key(name.to_owned()));
            rest = after;
            while let Some(inner) = rest.strip_prefix('[') {
                let (position, after) = inner.split_once(']').ok_or(PathError::Position)?;
                steps.push(PathStep::Index(position.parse().map_err(|_| PathError::Position)?));
                rest = after;
            }
            match rest.strip_prefix('.') {
                Some(next) => rest = next,
                None if rest.is_empty() => return Ok(Self(steps)),
                None => return Err(PathError::Trailing),
            }
        }
    }
}

/// Says whether a field's value counts as absent: null, `""`, `[]` and `{}` do, at the top level of a field only.
pub fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(Value::is_null),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Compares two nested values: map order never matters, list order does, a null member equals an absent one, numbers
/// compare by value, and nested `""`, `[]` and `{}` differ from absent.
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let covered = |from: &serde_json::Map<String, Value>, other: &serde_json::Map<String, Value>| {
                from.iter().all(|(name, value)| match other.get(name) {
                    Some(found) => equal(value, found),
                    None => value.is_null(),
                })
            };
            covered(left, right) && covered(right, left)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (left, right) => left == right,
    }
}

/// Compares two values of a field, of which either may be missing.
pub fn equal_field(left: Option<&Value>, right: Option<&Value>) -> bool {
    let present = |value: Option<&Value>| value.is_some_and(|value| !is_absent(value));
    match (present(left), present(right)) {
        (false, false) => true,
        (true, true) => left.zip(right).is_some_and(|(left, right)| equal(left, right)),
        (true, false) | (false, true) => false,
    }
}

/// The value without its null members, at any depth; a null inside a list keeps its place.
#[must_use]
pub fn without_nulls(mut value: Value) -> Value {
    remove_nulls(&mut value);
    value
}

/// Removes null members, as [`without_nulls`] does.
pub(crate) fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            // Looking first is cheaper: `retain` walks the map as if it changed.
            if members.values().any(Value::is_null) {
                members.retain(|_, member| !member.is_null());
            }
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_taken_out_wherever_it_lies_and_items_keep_their_places() {
        let all: Fields =
            serde_json::from_value(json!({"t": 1, "c": {"pw": 2, "host": 3}, "l": [{"pw": 4}, 5]})).unwrap();
        let taken = |path: FieldPath| {
            let mut fields = all.clone();
            (path.take(&mut fields), json!(fields))
        };
        let (table, list) = (FieldPath::field("c"), FieldPath::field("l"));
        for (path, value, rest) in [
            (FieldPath::field("t"), json!(1), json!({"c": {"pw": 2, "host": 3}, "l": [{"pw": 4}, 5]})),
            (table.key("pw"), json!(2), json!({"t": 1, "c": {"host": 3}, "l": [{"pw": 4}, 5]})),
            (list.index(0).key("pw"), json!(4), json!({"t": 1, "c": {"pw": 2, "host": 3}, "l": [{}, 5]})),
            (list.index(1), json!(5), json!({"t": 1, "c": {"pw": 2, "host": 3}, "l": [{"pw": 4}, null]})),
        ] {
            assert_eq!(taken(path), (Some(value), rest));
        }
        for nowhere in [FieldPath::field("x"), table.key("x"), table.key("pw").key("x"), list.index(7)] {
            assert_eq!(taken(nowhere), (None, json!(all)));
        }
    }

    #[test]
    fn equality_follows_the_rules_of_all_kinds() {
        let same = [
            (json!({"a": 1, "b": null}), json!({"a": 1.0})),
            (json!({"a": {"x": [1, null]}}), json!({"a": {"x": [1, null], "y": null}})),
            (json!([1, 2]), json!([1.0, 2])),
        ];
        for (left, right) in same {
            assert!(equal(&left, &right) && equal(&right, &left), "{left} and {right}");
        }
        let different = [
            (json!([1, 2]), json!([2, 1])),
            (json!({"a": []}), json!({})),
            (json!({"a": ""}), json!({})),
            (json!(true), json!(1)),
            (json!([null]), json!([])),
        ];
        for (left, right) in different {
            assert!(!equal(&left, &right) && !equal(&right, &left), "{left} and {right}");
        }
    }

    #[test]
    fn empty_values_are_absent_at_the_top_only() {
        for empty in [json!(null), json!(""), json!([]), json!({}), json!({"a": null})] {
            assert!(equal_field(Some(&empty), None), "{empty}");
        }
        assert!(!equal_field(Some(&json!(false)), None));
        assert!(!equal_field(Some(&json!({"a": []})), None));
    }

    #[test]
    fn a_path_is_written_as_people_write_it() {
        let path = FieldPath::field("providers").index(0).key("model");
        assert_eq!(path.to_string(), "providers[0].model");
        assert_eq!(serde_json::to_string(&path).unwrap(), r#"["providers",0,"model"]"#);
    }
}
