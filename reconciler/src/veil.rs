//! What a kind calls a secret now and what lies in clear in some state, most often an earlier one: taken out of everything that is
//! read of it, with the tag in its place that the value would have if it were sealed.
//!
//! Never here: what a plan shows (`diff.rs`), and sealing. What the store holds stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::desired::SecretText;
use crate::embedded::Plane;
use crate::error::Problem;
use crate::kind::{FieldSpec, KindSpec, Kinds};
use crate::resource::{Address, Declaration, OrgId, Record};
use crate::secret::KeyRing;
use crate::value::{FieldPath, Fields, Value};
use crate::vault;

/// Stands for the tag of a value in clear where there is no key to make one with.
const NO_KEY: &str = "none";

/// What hides the secrets of an organisation by its kinds at the head.
pub(crate) struct Veil {
    org: OrgId,
    kinds: Kinds,
    ring: Option<Arc<KeyRing>>,
}

/// A record as it may be shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Veiled {
    /// The record, with no secret in its fields.
    pub(crate) record: Arc<Record>,
    /// The paths of the secrets that lie in clear.
    pub(crate) in_clear: BTreeSet<String>,
}

impl Veil {
    /// The veil of an organisation, whatever revision is looked at. A key that cannot be read is none: a look needs no key.
    pub(crate) fn new(plane: &Plane, org: &OrgId) -> Result<Self, Problem> {
        let head = plane.engine().snapshot();
        let ring = plane.ring().ok().flatten().map(|ring| vault::sealing_ring(plane.engine(), &head, org, ring));
        Ok(Self { org: org.clone(), kinds: plane.kinds(&head, org)?, ring })
    }

    /// A live record as it may be shown.
    pub(crate) fn record(&self, address: &Address, record: Arc<Record>) -> Veiled {
        let Some(kind) = self.kinds.get(address.kind.as_str()).filter(|kind| is_unsealed(kind, &record.fields)) else {
            return Veiled { record, in_clear: BTreeSet::new() };
        };
        let mut shown = Record::clone(&record);
        let in_clear = self.hide(kind, address, &mut shown.fields, &mut shown.tags);
        Veiled { record: Arc::new(shown), in_clear }
    }

    /// What a source declares, as it may be shown.
    pub(crate) fn declaration(&self, address: &Address, declared: Arc<Declaration>) -> Arc<Declaration> {
        let Some(kind) = self.kinds.get(address.kind.as_str()).filter(|kind| is_unsealed(kind, &declared.fields))
        else {
            return declared;
        };
        let mut shown = Declaration::clone(&declared);
        self.hide(kind, address, &mut shown.fields, &mut shown.tags);
        Arc::new(shown)
    }

    fn hide(
        &self,
        kind: &KindSpec,
        address: &Address,
        fields: &mut Fields,
        tags: &mut BTreeMap<String, String>,
    ) -> BTreeSet<String> {
        let found = in_clear(kind, fields);
        let hidden = |at: FieldPath| {
            let (path, value) = (at.to_string(), at.take(fields)?);
            tags.insert(path.clone(), self.tag(address, &path, value));
            Some(path)
        };
        found.into_iter().filter_map(hidden).collect()
    }

    fn tag(&self, address: &Address, path: &str, value: Value) -> String {
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let Some(ring) = &self.ring else { return NO_KEY.to_owned() };
        ring.tag(&self.org, address, path, &SecretText::new(text))
    }
}

/// The paths of values that lie in clear and that their kind calls secrets.
pub(crate) fn in_clear(kind: &KindSpec, fields: &Fields) -> Vec<FieldPath> {
    let mut found = Vec::new();
    for (name, value) in fields {
        find(kind.field(name), FieldPath::field(name), value, &mut found);
    }
    found
}

fn is_unsealed(kind: &KindSpec, fields: &Fields) -> bool {
    !in_clear(kind, fields).is_empty()
}

fn find(spec: &FieldSpec, at: FieldPath, value: &Value, found: &mut Vec<FieldPath>) {
    match value {
        Value::Null => {}
        _ if spec.sensitive => found.extend(holds_something(value).then_some(at)),
        Value::Object(members) => {
            for (name, spec) in &spec.members {
                members.get(name).into_iter().for_each(|value| find(spec, at.key(name), value, found));
            }
        }
        Value::Array(items) => {
            let spec = spec.item();
            items.iter().enumerate().for_each(|(place, value)| find(spec, at.index(place), value, found));
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether there is a value in it: of a table whose members are all sealed the empty table is left.
fn holds_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(members) => members.values().any(holds_something),
        Value::Array(items) => items.iter().any(holds_something),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind() -> KindSpec {
        let secret = || json!({"type": "any", "sensitive": true});
        let kind = json!({"name": "flag", "fields": {
            "t": secret(),
            "c": {"type": "table", "fields": {"pw": secret(), "host": {"type": "string"}}},
            "l": {"type": "list", "items": {"type": "table", "fields": {"pw": secret()}}},
        }});
        serde_json::from_value::<crate::own_kind::OwnKind>(kind).unwrap().spec()
    }

    #[test]
    fn p8_a_secret_in_clear_is_taken_out_wherever_it_lies_and_leaves_its_tag() {
        let fields: Fields = serde_json::from_value(json!({
            "t": {"a": "canary"}, "c": {"pw": 4711, "host": "h"}, "l": [{"pw": "canary"}, {"x": 1}], "o": "open"
        }))
        .unwrap();
        let org = OrgId::default();
        let address: Address = "flag/f".parse().unwrap();
        let paths: Vec<String> = in_clear(&kind(), &fields).iter().map(ToString::to_string).collect();
        assert_eq!(paths, ["c.pw", "l[0].pw", "t"]);
        let left: Fields = serde_json::from_value(json!({"t": {"a": [], "b": {"c": null}}, "c": {}})).unwrap();
        assert_eq!(in_clear(&kind(), &left), [], "what is sealed leaves its table");
        for ring in [None, Some(Arc::new(KeyRing::generate().unwrap().0))] {
            let veil = Veil { org: org.clone(), kinds: Kinds::new([kind()]), ring: ring.clone() };
            let record = Arc::new(Record { fields: fields.clone(), ..Record::default() });
            let Veiled { record, in_clear } = veil.record(&address, record);
            assert_eq!(json!(record.fields), json!({"c": {"host": "h"}, "l": [{}, {"x": 1}], "o": "open"}));
            assert_eq!(in_clear.iter().collect::<Vec<_>>(), record.tags.keys().collect::<Vec<_>>());
            let sealed = ring.map_or(NO_KEY.to_owned(), |ring| {
                ring.tag(&org, &address, "c.pw", &SecretText::new("4711".to_owned()))
            });
            assert_eq!(record.tags["c.pw"], sealed);
        }
    }
}
