//! `reconcile set` and `unset`: live edits of one resource, as a user interface would make them.
//!
//! Never here: what an edit means and what guards it; the plane decides.

use holdfast_reconciler::agents::kinds;
use holdfast_reconciler::plane::{Edit, EditRequest, ResourcesQuery, WriteOutcome, WriteReceipt};
use holdfast_reconciler::resource::{Address, OrgId};
use holdfast_reconciler::value::{Fields, Value};

use super::Run;
use super::get::address;
use crate::args::{EditArgs, SetArgs, UnsetArgs};
use crate::confirm::{self, Answer};
use crate::connect::{self, Reached};
use crate::error::{Exit, Failure};
use crate::project;
use crate::render::ink::{Role, Text};

/// Sets fields.
pub(super) fn set(run: &Run, args: &SetArgs) -> Result<Exit, Failure> {
    let mut fields = Fields::new();
    for assignment in &args.assignments {
        let (path, value) = assigned(assignment).ok_or_else(|| {
            Failure::usage(format!("`{assignment}` sets nothing"))
                .help("write `FIELD=VALUE`; `reconcile unset` takes a field out")
        })?;
        put(&mut fields, path, parse(value))?;
    }
    let edit = if args.create { Edit::Create(fields) } else { Edit::Merge(fields) };
    let target = target(run, &args.address, args.create)?;
    send(run, target, edit, None, &args.edit)
}

/// Takes fields out, or deletes the resource.
pub(super) fn unset(run: &Run, args: &UnsetArgs) -> Result<Exit, Failure> {
    if !args.fields.is_empty() {
        let mut fields = Fields::new();
        for path in &args.fields {
            put(&mut fields, path, Value::Null)?;
        }
        let target = target(run, &args.address, false)?;
        return send(run, target, Edit::Merge(fields), None, &args.edit);
    }
    let target = target(run, &args.address, false)?;
    if args.allow_delete.is_none() {
        // What is not there is told without a question.
        target.plane.resource(target.org.as_ref(), &target.address, None)?;
        let more = going_along(&target)?;
        if !confirm::somebody_is_there() {
            return Err(nobody(run, more.len()));
        }
        if !agreed(run, target.text, &more)? {
            run.output.say("nothing was changed");
            return Ok(Exit::Failed);
        }
        // The yes is to what was counted; more of it by now is asked about again.
        return send(run, target, Edit::Delete, Some(more.len() as u64 + 1), &args.edit);
    }
    send(run, target, Edit::Delete, args.allow_delete, &args.edit)
}

fn agreed(run: &Run, address: &str, more: &[String]) -> Result<bool, Failure> {
    let question = format!("Delete {address}{}?", with(more.len()));
    loop {
        match confirm::ask(&run.output, &question)? {
            Answer::Yes => return Ok(true),
            Answer::No => return Ok(false),
            Answer::Details => {
                let mut text = Text::new();
                for address in std::iter::once(address).chain(more.iter().map(String::as_str)) {
                    text.plain("  ").add(Role::Delete, format!("- {address}")).end();
                }
                run.output.show(&text);
            }
        }
    }
}

fn nobody(run: &Run, more: usize) -> Failure {
    let command = run.setting.again(&format!("--allow-delete {}", more + 1));
    Failure::new("E_NOT_CONFIRMED", "nobody is there to ask, so nothing was changed")
        .help(format!("`{command}` deletes without asking{}", with(more)))
}

fn with(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => " with the one that goes with it".to_owned(),
        more => format!(" with the {more} that go with it"),
    }
}

/// The live resources that go with one.
fn going_along(target: &Target<'_>) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for pattern in kinds::dependents(&target.address) {
        let Some((kind, name)) = pattern.split_once('/') else { continue };
        let mut query = ResourcesQuery {
            org: target.org.clone(),
            kind: Some(kind.to_owned()),
            prefix: Some(name.to_owned()),
            ..ResourcesQuery::default()
        };
        loop {
            let page = target.plane.resources(&query)?;
            let along = page.resources.iter().filter(|one| name.ends_with('/') || one.name == name);
            found.extend(along.map(|one| format!("{kind}/{}", one.name)));
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
    }
    Ok(found)
}

/// What an edit is about.
struct Target<'t> {
    plane: Reached,
    org: Option<OrgId>,
    address: Address,
    /// The address as it was given.
    text: &'t str,
}

/// Finds the plane; only making a resource may make the store too.
fn target<'t>(run: &Run, address_text: &'t str, create: bool) -> Result<Target<'t>, Failure> {
    address(address_text, None)?;
    let directory = run.setting.project(None);
    let org = project::org(&run.setting, &directory, &run.output)?;
    let (org, address) = address(address_text, org)?;
    let store = run.setting.store(&directory);
    let plane = match create {
        true => connect::or_new(&run.setting, &store, &run.output)?,
        false => connect::required(&run.setting, &store, &run.output)?,
    };
    Ok(Target { plane, org, address, text: address_text })
}

fn send(
    run: &Run,
    target: Target<'_>,
    edit: Edit,
    allow_delete: Option<u64>,
    args: &EditArgs,
) -> Result<Exit, Failure> {
    let Target { plane, org, address, text } = target;
    let receipt = plane.edit(&EditRequest {
        org,
        address,
        edit,
        if_modified: args.if_modified,
        allow_delete,
        allow_break: args.write.allow_break.iter().cloned().collect(),
        author: run.setting.author(args.write.author.as_deref()),
        message: args.message.clone().unwrap_or_default(),
        request_id: Some(uuid::Uuid::new_v4().to_string()),
    })?;
    run.output.data(&receipt, || told(text, &receipt))?;
    Ok(Exit::Done)
}

fn told(address: &str, receipt: &WriteReceipt) -> Text {
    let mut text = Text::new();
    match receipt.outcome {
        WriteOutcome::Committed | WriteOutcome::Replayed => {
            text.line(format!("{address}: done in {}", receipt.revision))
        }
        WriteOutcome::Unchanged => text.line(format!("{address} is so already; {} stays", receipt.revision)),
    };
    text
}

/// The path and the value; a `=` in double quotes is part of the path.
fn assigned(assignment: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = assignment.find(|char| {
        quoted ^= char == '"';
        char == '=' && !quoted
    })?;
    Some((&assignment[..at], &assignment[at + 1..]))
}

/// JSON if it reads as JSON, else text.
fn parse(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()))
}

/// Puts a value at a path with `.` between its parts; a part with a `.` in it stands in double quotes.
fn put(fields: &mut Fields, path: &str, value: Value) -> Result<(), Failure> {
    let malformed = |why: &str| {
        Failure::usage(format!("`{path}` is no path of a field: {why}"))
            .help("write it as in `providerModelPreferences.z-ai`; a part with a `.` in it stands in double quotes")
    };
    let parts = parts(path).map_err(malformed)?;
    let (top, inner) = parts.split_first().ok_or_else(|| malformed("it is empty"))?;
    let mut at = fields.entry(top.clone()).or_insert_with(|| match inner {
        [] => Value::Null,
        _ => Value::Object(serde_json::Map::new()),
    });
    for part in inner {
        let Value::Object(members) = at else { return Err(malformed("a part of it is set as a whole too")) };
        at = members.entry(part.clone()).or_insert(Value::Null);
        if !std::ptr::eq(part, &parts[parts.len() - 1]) && at.is_null() {
            *at = Value::Object(serde_json::Map::new());
        }
    }
    *at = value;
    Ok(())
}

fn parts(path: &str) -> Result<Vec<String>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = path;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (part, after) = quoted.split_once('"').ok_or("a double quote is not closed")?;
                (part, after)
            }
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        if part.is_empty() {
            return Err("a part of it is empty");
        }
        if part.contains(['[', ']']) {
            return Err("an item of a list cannot be set alone, give the whole list");
        }
        parts.push(part.to_owned());
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(parts),
            None => return Err("something follows a closing quote"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn all(assignments: &[(&str, Value)]) -> Result<Value, Failure> {
        let mut fields = Fields::new();
        for (path, value) in assignments {
            put(&mut fields, path, value.clone())?;
        }
        Ok(json!(fields))
    }

    #[test]
    fn paths_become_one_merge_patch() {
        let patch = all(&[("a.b", json!(1)), ("a.c.\"d.e\"", json!("x")), ("f", Value::Null)]).unwrap();
        assert_eq!(patch, json!({"a": {"b": 1, "c": {"d.e": "x"}}, "f": null}));
        for path in ["", ".a", "a.", "a..b", "a[0]", "\"a", "\"a\"b"] {
            assert!(all(&[(path, json!(1))]).is_err(), "{path}");
        }
        assert!(all(&[("a", json!(1)), ("a.b", json!(2))]).is_err());
    }

    #[test]
    fn a_value_begins_after_the_first_sign_that_is_not_quoted() {
        for (text, path, value) in
            [("a=b=c", "a", "b=c"), ("m.\"a=b\"=1", "m.\"a=b\"", "1"), ("a=\"x=y\"", "a", "\"x=y\""), ("=x", "", "x")]
        {
            assert_eq!(assigned(text), Some((path, value)), "{text}");
        }
        assert_eq!((assigned("a"), assigned("\"a=b")), (None, None));
    }

    #[test]
    fn a_value_is_json_or_text() {
        assert_eq!(parse("20"), json!(20));
        assert_eq!(parse("glm-4.5"), json!("glm-4.5"));
        assert_eq!(parse("\"20\""), json!("20"));
        assert_eq!(parse("[\"a\"]"), json!(["a"]));
    }
}
