//! The values in which two states of one resource differ, whoever changed them.
//!
//! Never here: what a source declares (`diff.rs`), and secret values: a secret differs by its tag.

use std::collections::BTreeSet;

use holdfast_engine::Timestamp;

use crate::embedded::rfc3339;
use crate::kind::{FieldSpec, KindSpec};
use crate::leaves::{change, leaves, parse_path};
use crate::plan::{FieldChange, Op};
use crate::resource::Record;
use crate::value::{FieldPath, Value};

/// The field that stands for when a secret stops counting.
const EXPIRES: &str = "expires";

/// Lists what differs, by path: per top-level field where one of the two is missing, else per leaf.
pub(crate) fn record_changes(
    kind: Option<&KindSpec>,
    before: Option<&Record>,
    after: Option<&Record>,
) -> Vec<FieldChange> {
    let both = before.is_some() && after.is_some();
    let (none_before, none_after) = (Record::default(), Record::default());
    let (before, after) = (before.unwrap_or(&none_before), after.unwrap_or(&none_after));
    let names: BTreeSet<&String> = before.fields.keys().chain(after.fields.keys()).collect();
    let mut changes: Vec<FieldChange> = names
        .into_iter()
        .flat_map(|name| {
            let (path, old, new) = (FieldPath::field(name), before.fields.get(name), after.fields.get(name));
            match both {
                true => leaves(&path, old, new, kind.map_or(&FieldSpec::default(), |kind| kind.field(name))),
                false => vec![change(path, old, new)],
            }
        })
        .collect();
    let paths: BTreeSet<&String> = before.tags.keys().chain(after.tags.keys()).collect();
    changes.extend(paths.into_iter().filter_map(|path| secret(path, before.tags.get(path), after.tags.get(path))));
    changes.extend(expiry(before.expires_ms, after.expires_ms));
    changes.sort_by(|left, right| left.path.cmp(&right.path));
    changes
}

/// What differs in when a secret stops counting.
pub(crate) fn expiry(before_ms: Option<i64>, after_ms: Option<i64>) -> Option<FieldChange> {
    let shown = |ms: Option<i64>| ms.map(|ms| Value::String(rfc3339(Timestamp::from_millis(ms))));
    let (old, new) = (shown(before_ms), shown(after_ms));
    (before_ms != after_ms).then(|| change(FieldPath::field(EXPIRES), old.as_ref(), new.as_ref()))
}

fn secret(path: &str, before: Option<&String>, after: Option<&String>) -> Option<FieldChange> {
    let op = match (before, after) {
        (Some(before), Some(after)) if before == after => return None,
        (Some(_), Some(_)) => Op::Replace,
        (None, _) => Op::Add,
        (Some(_), None) => Op::Remove,
    };
    let (before_tag, after_tag) = (before.cloned(), after.cloned());
    Some(FieldChange { op, sensitive: true, before_tag, after_tag, ..change(parse_path(path), None, None) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(fields: Value, tag: Option<&str>) -> Record {
        let fields = serde_json::from_value(fields).unwrap();
        let tags = tag.iter().map(|tag| ("value".to_owned(), (*tag).to_owned())).collect();
        Record { fields, tags, ..Record::default() }
    }

    #[test]
    fn leaves_of_an_update_whole_fields_of_the_rest_and_secrets_by_tag() {
        let old = record(json!({"a": {"x": 1, "y": 2}, "b": "gone"}), Some("t1"));
        let new = Record { expires_ms: Some(0), ..record(json!({"a": {"x": 1, "y": 3}}), Some("t2")) };
        let shown = |before: Option<&Record>, after: Option<&Record>| -> Vec<String> {
            let changes = record_changes(None, before, after);
            changes.iter().map(|change| format!("{:?} {}", change.op, change.path)).collect()
        };
        assert_eq!(shown(Some(&old), Some(&new)), ["Replace a.y", "Remove b", "Add expires", "Replace value"]);
        assert_eq!(shown(None, Some(&old)), ["Add a", "Add b", "Add value"]);
        assert_eq!(shown(Some(&old), None), ["Remove a", "Remove b", "Remove value"]);
        assert!(shown(Some(&old), Some(&old)).is_empty());
        let secret = record_changes(None, Some(&old), Some(&new)).pop().unwrap();
        assert!(secret.sensitive && secret.before.is_none() && secret.after.is_none());
        assert_eq!((secret.before_tag.as_deref(), secret.after_tag.as_deref()), (Some("t1"), Some("t2")));
    }
}
