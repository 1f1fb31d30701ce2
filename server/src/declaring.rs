//! Plan requests on the wire: what a client need not send, and what a server need not read again.
//!
//! A client keeps the places of what it declares and puts them into the answer. A server keeps the text of each declaration that
//! large requests had with what was read from it: of the next request of the same source it reads the few that are written
//! otherwise, and a plan tells from the rest being the same ones that there is nothing to look at. A text that holds a secret is
//! never kept. Never here: what is declared, and planning.

use std::iter::Peekable;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::IntoIter;

use holdfast_reconciler::desired::{Declared, Desired};
use holdfast_reconciler::plan::PlanRequest;
use holdfast_reconciler::resource::OrgId;
use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::body::from_json;
use crate::limits::{KNOWN_REQUEST_ROWS_MIN, KNOWN_REQUESTS_MAX, KNOWN_TEXT_BYTES_MAX};

/// A plan request as a client writes it: without the places of its resources.
pub(crate) struct WithoutPlaces<'r>(pub(crate) &'r PlanRequest);

impl Serialize for WithoutPlaces<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let PlanRequest { org, fallback_org, desired, options } = self.0;
        let mut members = to.serialize_struct("PlanRequest", 4)?;
        members.serialize_field("org", org)?;
        members.serialize_field("fallback_org", fallback_org)?;
        members.serialize_field("desired", &DesiredWithoutPlaces(desired))?;
        members.serialize_field("options", options)?;
        members.end()
    }
}

struct DesiredWithoutPlaces<'r>(&'r Desired);

impl Serialize for DesiredWithoutPlaces<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Desired { source, org, git, digest, on_drift, protect, loop_policy, moved, kinds, resources, diagnostics } =
            self.0;
        let mut members = to.serialize_struct("Desired", 11)?;
        members.serialize_field("source", source)?;
        members.serialize_field("org", org)?;
        members.serialize_field("git", git)?;
        members.serialize_field("digest", digest)?;
        members.serialize_field("on_drift", on_drift)?;
        members.serialize_field("protect", protect)?;
        members.serialize_field("loop_policy", loop_policy)?;
        members.serialize_field("moved", moved)?;
        members.serialize_field("kinds", kinds)?;
        members.serialize_field("resources", &Resources(resources))?;
        members.serialize_field("diagnostics", diagnostics)?;
        members.end()
    }
}

struct Resources<'r>(&'r [Arc<Declared>]);

impl Serialize for Resources<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut items = to.serialize_seq(Some(self.0.len()))?;
        for declared in self.0 {
            items.serialize_element(&DeclaredWithoutPlaces(declared))?;
        }
        items.end()
    }
}

struct DeclaredWithoutPlaces<'r>(&'r Declared);

impl Serialize for DeclaredWithoutPlaces<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Declared { address, fields, secrets, at: _, field_at: _, lifecycle } = self.0;
        let mut members = to.serialize_struct("Declared", 4)?;
        members.serialize_field("address", &Text(address))?;
        members.serialize_field("fields", fields)?;
        if !secrets.is_empty() {
            members.serialize_field("secrets", secrets)?;
        }
        if !lifecycle.is_default() {
            members.serialize_field("lifecycle", lifecycle)?;
        }
        members.end()
    }
}

/// What is written as its text, without a text made of it first.
struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// What a server knows of the large plan requests that came last.
#[derive(Default)]
pub(crate) struct KnownRequests(Mutex<Vec<Known>>);

/// The declarations of one source, as they came last.
struct Known {
    of: String,
    rows: Vec<Row>,
    bytes: usize,
}

struct Row {
    text: Box<str>,
    declared: Arc<Declared>,
}

impl KnownRequests {
    /// Reads a plan request, and only those of its declarations that are written otherwise than before. Nothing is known to one
    /// organisation of what another declared; `asks` is the one that asks.
    pub(crate) fn read(&self, body: &[u8], asks: Option<&OrgId>) -> Result<PlanRequest, serde_json::Error> {
        let known = std::str::from_utf8(body).ok().and_then(|text| self.read_known(text, asks));
        // Whatever is the matter with it, this says what and where.
        known.map_or_else(|| from_json(body), Ok)
    }

    fn read_known(&self, text: &str, asks: Option<&OrgId>) -> Option<PlanRequest> {
        let desired = member(text, "desired")?;
        let items = member(desired, "resources")?.strip_prefix('[')?;
        let asks = asks.map_or("", OrgId::as_str);
        let named = |object, name| member(object, name).and_then(|rest| rest.get(..value(rest)?)).unwrap_or_default();
        let names =
            [asks, named(text, "org"), named(text, "fallback_org"), named(desired, "org"), named(desired, "source")];
        let of = names.join("\n");
        let mut reading = Reading { rest: items, known: self.take(&of).into_iter().peekable(), rows: Vec::new() };
        let resources = reading.resources()?;
        let (begin, end) = (text.len() - items.len(), text.len() - reading.rest.len());
        let shell = [&text[..begin], &text[end..]].concat();
        let mut request: PlanRequest = from_json(shell.as_bytes()).ok()?;
        request.desired.resources = resources;
        self.keep(of, reading.rows);
        Some(request)
    }

    fn take(&self, of: &str) -> Vec<Row> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|known| known.of == of);
        at.map(|at| known.remove(at).rows).unwrap_or_default()
    }

    fn keep(&self, of: String, rows: Vec<Row>) {
        let bytes = rows.iter().map(|row| row.text.len()).sum();
        if rows.len() < KNOWN_REQUEST_ROWS_MIN || bytes > KNOWN_TEXT_BYTES_MAX {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.push(Known { of, rows, bytes });
        // The oldest go first.
        let mut left = KNOWN_TEXT_BYTES_MAX;
        let fits = |known: &&Known| {
            left = left.saturating_sub(known.bytes);
            left > 0
        };
        let kept = known.iter().rev().take(KNOWN_REQUESTS_MAX).take_while(fits).count();
        let gone = known.len() - kept;
        drop(known.drain(..gone));
    }
}

/// A list of declarations that is being read.
struct Reading<'b> {
    rest: &'b str,
    known: Peekable<IntoIter<Row>>,
    rows: Vec<Row>,
}

impl Reading<'_> {
    /// Reads the list up to the bracket that ends it; none if anything is not as it should be.
    fn resources(&mut self) -> Option<Vec<Arc<Declared>>> {
        let mut resources = Vec::with_capacity(self.known.len());
        self.rest = skip(self.rest);
        if self.rest.starts_with(']') {
            return Some(resources);
        }
        loop {
            resources.push(self.resource()?);
            self.rest = skip(self.rest);
            if self.rest.starts_with(']') {
                return Some(resources);
            }
            self.rest = skip(self.rest.strip_prefix(',')?);
        }
    }

    fn resource(&mut self) -> Option<Arc<Declared>> {
        // A known text is an object to its end, so what begins with it goes on after the object.
        if let Some(row) = self.known.next_if(|row| self.rest.starts_with(&*row.text)) {
            self.rest = &self.rest[row.text.len()..];
            let declared = Arc::clone(&row.declared);
            self.rows.push(row);
            return Some(declared);
        }
        let text = &self.rest[..object(self.rest)?];
        self.rest = &self.rest[text.len()..];
        let declared: Arc<Declared> = from_json(text.as_bytes()).ok()?;
        while self.known.next_if(|row| row.declared.address < declared.address).is_some() {}
        // After what is declared no longer comes what is known again.
        if let Some(row) = self.known.next_if(|row| row.declared.address == declared.address)
            && *row.text == *text
        {
            let declared = Arc::clone(&row.declared);
            self.rows.push(row);
            return Some(declared);
        }
        if declared.secrets.is_empty() {
            self.rows.push(Row { text: text.into(), declared: Arc::clone(&declared) });
        }
        Some(declared)
    }
}

/// What begins with the value of an object's first member of a name.
fn member<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    let mut rest = skip(object).strip_prefix('{')?;
    loop {
        rest = skip(rest);
        let end = string(rest)?;
        let (key, after) = rest.split_at(end);
        rest = skip(skip(after).strip_prefix(':')?);
        if key.get(1..end - 1) == Some(name) {
            return Some(rest);
        }
        rest = skip(&rest[value(rest)?..]).strip_prefix(',')?;
    }
}

fn skip(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// Deeper values are left to the reader of whole requests, which bounds them.
const DEPTH_MAX: usize = 64;

/// The length of the object that a text begins with.
fn object(text: &str) -> Option<usize> {
    if text.starts_with('{') { value(text) } else { None }
}

/// The length of the value that a text begins with, as far as brackets and quotes tell.
fn value(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => at += string(&text[at..])?,
            b'{' | b'[' => {
                (at, depth) = (at + 1, depth + 1);
                if depth > DEPTH_MAX {
                    return None;
                }
                continue;
            }
            b'}' | b']' => (at, depth) = (at + 1, depth.checked_sub(1)?),
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => {
                at += 1;
                continue;
            }
            byte if is_plain(*byte) => at += bytes[at..].iter().take_while(|byte| is_plain(**byte)).count(),
            _ => return None,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Whether a byte can be part of a number or a word.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// The length of the string that a text begins with, quotes included.
fn string(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_reconciler::resource::SourceName;
    use serde_json::{Value, json};

    use super::*;

    fn row(number: usize, text: &str) -> Value {
        json!({"address": format!("settings/agent-{number:03}"), "fields": {"soulMd": text, "tools": {"x": [1, -2.5, null, true]}}})
    }

    fn rows(count: usize) -> Vec<Value> {
        (0..count).map(|number| row(number, "Be \"brief\": [}] é\\")).collect()
    }

    fn body(resources: &[Value]) -> String {
        let desired = json!({"source": {"name": "team"}, "digest": "", "resources": resources, "diagnostics": []});
        json!({"org": "acme", "desired": desired, "options": {"allow_delete": 2}}).to_string()
    }

    fn read(known: &KnownRequests, body: &str) -> Option<PlanRequest> {
        let found = known.read(body.as_bytes(), None);
        // Known or not, what is read is what stands there.
        let plain = from_json::<PlanRequest>(body.as_bytes());
        match (found, plain) {
            (Ok(found), Ok(plain)) => {
                assert_eq!(found, plain);
                Some(found)
            }
            (Err(found), Err(plain)) => {
                assert_eq!(found.to_string(), plain.to_string());
                None
            }
            (found, plain) => panic!("{found:?}\n{plain:?}\n{body}"),
        }
    }

    /// How many declarations of the second request are those of the first.
    fn shared(first: &PlanRequest, second: &PlanRequest) -> usize {
        let is_known =
            |declared: &&Arc<Declared>| first.desired.resources.iter().any(|known| Arc::ptr_eq(known, declared));
        second.desired.resources.iter().filter(is_known).count()
    }

    #[test]
    fn only_what_is_written_otherwise_is_read_again() {
        let known = KnownRequests::default();
        let mut resources = rows(100);
        let first = read(&known, &body(&resources)).unwrap();
        assert_eq!(shared(&first, &read(&known, &body(&resources)).unwrap()), 100);
        resources[50] = row(50, "other");
        resources.remove(70);
        resources.insert(20, json!({"address": "settings/agent-019-b", "fields": {}}));
        resources.push(row(500, "new"));
        let second = read(&known, &body(&resources)).unwrap();
        assert_eq!((second.desired.resources.len(), shared(&first, &second)), (101, 98));
        assert_eq!(shared(&second, &read(&known, &body(&resources)).unwrap()), 101);
        // Not in order they are read, each as it stands.
        resources.reverse();
        read(&known, &body(&resources)).unwrap();
        assert!(read(&known, &body(&[])).unwrap().desired.resources.is_empty());
    }

    #[test]
    fn what_is_malformed_is_refused_as_ever() {
        let known = KnownRequests::default();
        let good = body(&rows(80));
        read(&known, &good).unwrap();
        let cases = [
            ("\"org\":\"acme\"", "\"org\":\"acme\",\"org\":\"b\""),
            ("\"diagnostics\":[]", "\"diagnostics\":[],\"resources\":[]"),
            ("\"digest\":\"\"", "\"digest\":é"),
            ("settings/agent-040", "settings"),
            (
                "{\"address\":\"settings/agent-040\"",
                "{\"address\":\"settings/agent-041\",\"address\":\"settings/agent-040\"",
            ),
            (",{\"address\":\"settings/agent-040\"", " {\"address\":\"settings/agent-040\""),
            ("{\"address\":\"settings/agent-040\"", "7,{\"address\":\"settings/agent-040\""),
            ("-2.5,null", "-2.5.,null"),
            ("[1,", "[1}"),
        ];
        for (from, to) in cases {
            assert!(good.contains(from), "{from}");
            let bad = good.replacen(from, to, 1);
            assert!(read(&known, &bad).is_none(), "{bad}");
            read(&known, &good).unwrap();
        }
        for cut in (0..good.len()).filter(|cut| good.is_char_boundary(*cut)) {
            assert!(known.read(&good.as_bytes()[..cut], None).is_err(), "{cut}");
        }
        let deep = ["[".repeat(200), "]".repeat(200)].concat();
        assert!(read(&known, &good.replacen("-2.5", &deep, 1)).is_none());
        let less_deep = ["[".repeat(100), "]".repeat(100)].concat();
        assert!(read(&known, &good.replacen("-2.5", &less_deep, 1)).is_some());
    }

    #[test]
    fn nothing_is_known_of_another_organisation_or_source_and_no_secret_is_kept_p8_p12() {
        let known = KnownRequests::default();
        let text = body(&rows(100));
        let first = read(&known, &text).unwrap();
        let other = known.read(text.as_bytes(), Some(&OrgId::new("other").unwrap())).unwrap();
        assert_eq!(shared(&first, &other), 0);
        for (from, to) in [("\"acme\"", "\"other\""), ("\"team\"", "\"other\"")] {
            assert_eq!(shared(&first, &read(&known, &text.replacen(from, to, 1)).unwrap()), 0);
        }
        assert_eq!(shared(&first, &read(&known, &text).unwrap()), 100);
        let secret = json!({"origin": {"from": "env", "name": "KEY"}, "value": "canary-4711"});
        let mut resources = rows(100);
        resources[7]["secrets"] = json!({"value": secret});
        let first = read(&known, &body(&resources)).unwrap();
        assert_eq!(shared(&first, &read(&known, &body(&resources)).unwrap()), 99);
        let kept = known.0.lock().unwrap();
        assert!(kept.iter().flat_map(|known| &known.rows).all(|row| !row.text.contains("canary")));
    }

    #[test]
    fn what_is_known_is_bounded() {
        let known = KnownRequests::default();
        for number in 0..KNOWN_REQUESTS_MAX * 2 {
            read(&known, &body(&rows(KNOWN_REQUEST_ROWS_MIN)).replacen("team", &format!("team-{number}"), 1)).unwrap();
        }
        assert_eq!(known.0.lock().unwrap().len(), KNOWN_REQUESTS_MAX);
        let declared = || Arc::clone(&read(&known, &body(&rows(1))).unwrap().desired.resources[0]);
        let large = || {
            let row = |text: String| Row { text: text.into(), declared: declared() };
            let small = (0..KNOWN_REQUEST_ROWS_MIN).map(|number| row(number.to_string()));
            small.chain([row("x".repeat(KNOWN_TEXT_BYTES_MAX / 2))]).collect::<Vec<_>>()
        };
        known.keep("one".to_owned(), large());
        known.keep("other".to_owned(), large());
        let kept: usize = known.0.lock().unwrap().iter().map(|known| known.bytes).sum();
        assert!((KNOWN_TEXT_BYTES_MAX / 2..=KNOWN_TEXT_BYTES_MAX).contains(&kept), "{kept}");
    }

    #[test]
    fn a_request_without_places_is_the_request_but_for_them() {
        let mut request: PlanRequest = serde_json::from_str(&body(&rows(2))).unwrap();
        request.desired.source.directory = Some(SourceName::default());
        let placed: Vec<Value> = rows(2)
            .into_iter()
            .map(|mut row| {
                row["at"] = json!({"file": "lobu.toml", "line": 1, "column": 1});
                row["field_at"] = json!({"soulMd": {"file": "lobu.toml", "line": 2, "column": 1}});
                row
            })
            .collect();
        let mut with_places: PlanRequest = serde_json::from_str(&body(&placed)).unwrap();
        with_places.desired.source = request.desired.source.clone();
        assert_ne!(with_places, request);
        let sent = serde_json::to_string(&WithoutPlaces(&with_places)).unwrap();
        assert!(!sent.contains("lobu.toml"));
        assert_eq!(serde_json::from_str::<PlanRequest>(&sent).unwrap(), request);
    }
}
