//! Whether an encoded record says just what a manifest declares, told from its bytes without making values of them.
//!
//! Nearly all rows of nearly all plans change nothing, and trees of values cost most of a plan's time and memory. "Yes" is
//! exact: the row is as declared, and every field of it is the source's. "No" says nothing: the record is decoded then, and
//! `diff.rs` decides. Never here: a difference.

use std::io::{self, Write};

use serde_json::to_writer;

use crate::desired::Declared;
use crate::value::{Fields, is_absent};

/// Whether a resource is declared so plainly that its record can be compared with it at all.
pub(crate) fn is_plain(declared: &Declared) -> bool {
    declared.secrets.is_empty() && declared.lifecycle.is_default() && !declared.fields.values().any(is_absent)
}

/// Whether the bytes of a live record are what a plain `declared` says, all of it owned by `source`.
pub(crate) fn is_live(record: &[u8], declared: &Declared, source: &str) -> bool {
    let mut rest = Rest(record);
    let fields = &declared.fields;
    let same = || -> io::Result<()> {
        rest.write_all(b"{")?;
        if !fields.is_empty() {
            write_fields(&mut rest, fields)?;
            rest.write_all(b",")?;
        }
        rest.write_all(b"\"owner\":")?;
        to_writer(&mut rest, source)?;
        for (position, field) in fields.keys().enumerate() {
            rest.write_all(if position == 0 { b",\"owners\":{" } else { b"," })?;
            to_writer(&mut rest, field)?;
            rest.write_all(b":")?;
            to_writer(&mut rest, source)?;
        }
        rest.write_all(if fields.is_empty() { b"}" } else { b"}}" })
    }();
    same.is_ok() && rest.0.is_empty()
}

/// Whether the bytes of a declaration say what a plain `declared` says, wherever it stood.
pub(crate) fn is_declared(declaration: &[u8], declared: &Declared) -> bool {
    let mut rest = Rest(declaration);
    let same = rest.write_all(b"{").and_then(|()| match declared.fields.is_empty() {
        true => Ok(()),
        false => write_fields(&mut rest, &declared.fields),
    });
    // Everything else that a declaration may have stands between its fields and its place.
    let place: &[u8] = if declared.fields.is_empty() { b"\"at\":" } else { b",\"at\":" };
    same.is_ok() && (rest.0 == b"}" || rest.0.starts_with(place))
}

fn write_fields(out: &mut Rest<'_>, fields: &Fields) -> io::Result<()> {
    out.write_all(b"\"fields\":")?;
    Ok(to_writer(out, fields)?)
}

/// What is left of some bytes that are compared with what would be written in their place.
struct Rest<'b>(&'b [u8]);

impl Write for Rest<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(piece).ok_or(io::ErrorKind::InvalidData)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::desired::Lifecycle;
    use crate::kept_places::KeptPlaces;
    use crate::resource::{Declaration, Record};
    use crate::value::Value;

    fn declared(fields: Value) -> Declared {
        Declared {
            address: "settings/triage".parse().unwrap(),
            fields: serde_json::from_value(fields).unwrap(),
            secrets: Default::default(),
            at: None,
            field_at: Default::default(),
            lifecycle: Lifecycle::default(),
        }
    }

    fn live(fields: Value, owner: &str, owners: Value) -> Vec<u8> {
        let fields = serde_json::from_value(fields).unwrap();
        let owners = serde_json::from_value(owners).unwrap();
        serde_json::to_vec(&Record { fields, owner: Some(owner.to_owned()), owners, ..Record::default() }).unwrap()
    }

    const SOURCE: &str = "team";

    fn whole() -> Value {
        json!({"a": {"x": [1, -2, 2.5, true, "t\n\"q\"", null], "y": {"z": "é"}}, "b": "text"})
    }

    #[test]
    fn a_record_is_as_declared_only_if_all_of_it_is() {
        let owners = json!({"a": SOURCE, "b": SOURCE});
        let now = declared(whole());
        assert!(is_plain(&now) && is_live(&live(whole(), SOURCE, owners.clone()), &now, SOURCE));
        let mut others = vec![
            live(whole(), "ui:maria", owners.clone()),
            live(whole(), SOURCE, json!({"a": SOURCE, "b": "ui:maria"})),
            live(whole(), SOURCE, json!({"a": SOURCE})),
            live(whole(), SOURCE, json!({})),
            live(json!({"b": "text"}), SOURCE, owners.clone()),
            live(json!({}), SOURCE, json!({})),
            b"{}".to_vec(),
            b"{\"fields\": nonsense".to_vec(),
            b"[]".to_vec(),
        ];
        for (from, to) in [
            ("1,-2", "1.0,-2"),
            ("1,-2", "-2,1"),
            ("-2", "2"),
            ("2.5", "2.25"),
            ("true", "false"),
            ("null", "0"),
            (",null", ""),
            ("null", "null,null"),
            ("\"é\"", "\"e\""),
            ("\"z\"", "\"w\""),
            ("\"b\":\"text\"", "\"b\":\"text\",\"c\":1"),
            ("\"owner\":", "\"expires_ms\":7,\"owner\":"),
            ("\"owner\":", "\"tags\":{\"value\":\"3f\"},\"owner\":"),
        ] {
            let text = String::from_utf8(live(whole(), SOURCE, owners.clone())).unwrap();
            assert!(text.contains(from), "{from} in {text}");
            others.push(text.replacen(from, to, 1).into_bytes());
        }
        for other in others {
            assert!(!is_live(&other, &now, SOURCE), "{}", String::from_utf8_lossy(&other));
        }
    }

    #[test]
    fn a_declaration_is_the_same_wherever_it_stood() {
        let now = declared(whole());
        let fields: Fields = serde_json::from_value(whole()).unwrap();
        let at = Some(crate::diagnostic::Position { file: "lobu.toml".into(), line: 3, column: 1 });
        let elsewhere = crate::diagnostic::Position { file: "SOUL.md".into(), line: 1, column: 1 };
        let places =
            KeptPlaces::new(at.as_ref(), &std::collections::BTreeMap::from([("a".to_owned(), elsewhere)]).into());
        let before = Declaration { fields, at, places, ..Declaration::default() };
        assert!(!before.places.is_empty() && is_declared(&serde_json::to_vec(&before).unwrap(), &now));
        let kept = Lifecycle { prevent_delete: true, ignore: Vec::new() };
        let others = [
            Declaration { lifecycle: kept.clone(), ..before.clone() },
            Declaration { tags: [("value".to_owned(), "3f".to_owned())].into(), ..before.clone() },
            Declaration { fields: Fields::new(), ..before.clone() },
        ];
        for other in others {
            assert!(!is_declared(&serde_json::to_vec(&other).unwrap(), &now), "{other:?}");
        }
        let nothing = declared(json!({}));
        assert!(is_declared(b"{}", &nothing) && is_live(br#"{"owner":"team"}"#, &nothing, SOURCE));
        assert!(!is_plain(&Declared { lifecycle: kept, ..declared(json!({})) }));
        assert!(!is_plain(&declared(json!({"a": []}))) && !is_plain(&declared(json!({"a": null}))));
    }
}
