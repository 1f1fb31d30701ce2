//! A value in a TOML file made into another one, member by member: what is the same in both is not touched, so that its
//! comments and its spelling stay.
//!
//! Never here: where in a file a field stands (`adopt.rs`), and what is around the items of a list (`array_edit.rs`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Map;
use toml_edit::{Array, ArrayOfTables, InlineTable, Item, Table, TableLike, Value as TomlValue};

use super::{array_edit, line_ends};
use crate::kind::FieldSpec;
use crate::value::{Value, equal};

/// Why a value has no place that can be edited.
pub(super) const NO_PLACE: &str = "its table is not in the file as tables of their own";

/// A value that is to stand in a file.
#[derive(Clone, Copy)]
pub(super) struct Live<'v> {
    /// What the file declares now, if it declares it in this form. A member of the file that is not in it, such as a secret,
    /// is never touched.
    pub now: Option<&'v Value>,
    /// What it is to declare.
    pub live: Option<&'v Value>,
    /// What is special about it: the key of a list.
    pub spec: &'v FieldSpec,
}

/// How new values are written.
#[derive(Clone, Copy)]
pub(super) struct Pen {
    /// The lines of the file end with CR LF.
    crlf: bool,
}

impl Pen {
    /// Writes as a file is written.
    pub(super) fn like(text: &str) -> Self {
        Self { crlf: line_ends::is_crlf(text) }
    }
}

/// Makes a member of a table into a value, or takes it out.
pub(super) fn put(pen: Pen, table: &mut dyn TableLike, name: &str, value: Live<'_>) -> Result<(), &'static str> {
    let Some(live) = value.live else {
        table.remove(name);
        return Ok(());
    };
    match table.get_mut(name) {
        Some(item) => {
            let now = value.now.cloned().unwrap_or_else(|| read(item));
            change(pen, item, &now, live, value.spec)
        }
        None => {
            table.insert(name, Item::Value(toml_value(pen, live)?));
            Ok(())
        }
    }
}

fn change(pen: Pen, item: &mut Item, now: &Value, live: &Value, spec: &FieldSpec) -> Result<(), &'static str> {
    match (item, live) {
        _ if equal(now, live) => Ok(()),
        (Item::Value(old), live) => change_value(pen, old, now, live, spec),
        (Item::Table(table), Value::Object(live)) => change_members(pen, table, now, live, spec),
        (Item::ArrayOfTables(blocks), Value::Array(live)) if !live.is_empty() && live.iter().all(Value::is_object) => {
            change_blocks(pen, blocks, now, live, spec)
        }
        (item, live) => {
            *item = Item::Value(toml_value(pen, live)?);
            Ok(())
        }
    }
}

fn change_value(
    pen: Pen,
    old: &mut TomlValue,
    now: &Value,
    live: &Value,
    spec: &FieldSpec,
) -> Result<(), &'static str> {
    match (old, live) {
        (TomlValue::InlineTable(table), Value::Object(live)) => change_members(pen, table, now, live, spec)?,
        (TomlValue::Array(array), Value::Array(live)) => *array = list(pen, array, now, live, spec)?,
        (old, live) => {
            let mut new = toml_value(pen, live)?;
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
    }
    Ok(())
}

fn change_members(
    pen: Pen,
    table: &mut dyn TableLike,
    now: &Value,
    live: &Map<String, Value>,
    spec: &FieldSpec,
) -> Result<(), &'static str> {
    let nothing = Map::new();
    let now = now.as_object().unwrap_or(&nothing);
    let names: BTreeSet<&String> = now.keys().chain(live.keys()).collect();
    for name in names {
        let [now, live] = [now, live].map(|members| members.get(name).filter(|value| !value.is_null()));
        match (now, live) {
            (Some(now), Some(live)) if equal(now, live) => {}
            (None, None) => {}
            (now, live) => put(pen, table, name, Live { now, live, spec: spec.member(name) })?,
        }
    }
    Ok(())
}

/// A list in brackets with other items.
fn list(pen: Pen, old: &Array, now: &Value, live: &[Value], spec: &FieldSpec) -> Result<Array, &'static str> {
    let now = match now.as_array().filter(|now| now.len() == old.len()) {
        Some(now) => now.clone(),
        None => old.iter().map(read_value).collect(),
    };
    let mut items = Vec::with_capacity(live.len());
    for (live, origin) in live.iter().zip(origins(&now, live, spec)) {
        let kept = origin.and_then(|at| Some((old.get(at)?.clone(), &now[at])));
        items.push(match kept {
            Some((mut item, now)) => {
                if !equal(now, live) {
                    change_value(pen, &mut item, now, live, spec.item())?;
                }
                (item, origin)
            }
            None => (toml_value(pen, live)?, None),
        });
    }
    Ok(array_edit::with_items(old, items))
}

/// A list of `[[blocks]]` with other items, each of which stays a block.
fn change_blocks(
    pen: Pen,
    blocks: &mut ArrayOfTables,
    now: &Value,
    live: &[Value],
    spec: &FieldSpec,
) -> Result<(), &'static str> {
    let now = match now.as_array().filter(|now| now.len() == blocks.len()) {
        Some(now) => now.clone(),
        None => blocks.iter().map(|block| read_members(block)).collect(),
    };
    let origins = origins(&now, live, spec);
    let mut old: Vec<Option<Table>> = std::mem::take(blocks).into_iter().map(Some).collect();
    let first = old.iter().flatten().find_map(Table::position);
    let kept: Vec<usize> = origins.iter().flatten().copied().collect();
    let mut places: Vec<isize> = kept.iter().filter_map(|at| old[*at].as_ref()?.position()).collect();
    let moves = !kept.is_sorted() && places.len() == kept.len();
    places.sort_unstable();
    let mut places = places.into_iter();
    // Blocks are written in the order of their places, and in this order where they are the same.
    let mut last = kept.first().and_then(|at| old[*at].as_ref()?.position()).or(first);
    let nothing = Value::Null;
    for (live, origin) in live.iter().zip(origins) {
        let kept = origin.and_then(|at| Some((old[at].take()?, &now[at])));
        let (mut block, now) = match kept {
            Some((mut block, now)) => {
                if moves {
                    inner_tables(&mut block, &mut |table| table.set_position(None));
                    block.set_position(places.next());
                }
                (block, now)
            }
            None => {
                let mut block = Table::new();
                block.set_position(last);
                (block, &nothing)
            }
        };
        change_members(pen, &mut block, now, live.as_object().ok_or(NO_PLACE)?, spec.item())?;
        last = last.max(block.position());
        inner_tables(&mut block, &mut |table| last = last.max(table.position()));
        blocks.push(block);
    }
    Ok(())
}

/// Visits the tables within a table.
fn inner_tables(table: &mut Table, visit: &mut dyn FnMut(&mut Table)) {
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(inner) => {
                visit(inner);
                inner_tables(inner, visit);
            }
            Item::ArrayOfTables(blocks) => {
                for inner in blocks.iter_mut() {
                    visit(inner);
                    inner_tables(inner, visit);
                }
            }
            Item::None | Item::Value(_) => {}
        }
    }
}

/// For each item of a list that is to be, the position of the one that it was: an equal one, else one with the same key, else,
/// in a list without a key and of the same length, the table or list at its place.
fn origins(now: &[Value], live: &[Value], spec: &FieldSpec) -> Vec<Option<usize>> {
    let mut free = vec![true; now.len()];
    let mut origins: Vec<Option<usize>> = vec![None; live.len()];
    let mut pair = |same: &dyn Fn(usize, usize) -> bool| {
        for (to, origin) in origins.iter_mut().enumerate().filter(|(_, origin)| origin.is_none()) {
            *origin = (0..now.len()).find(|from| free[*from] && same(*from, to));
            if let Some(from) = *origin {
                free[from] = false;
            }
        }
    };
    pair(&|from, to| equal(&now[from], &live[to]));
    match &spec.list_key {
        Some(key) => pair(&|from, to| {
            let [now, live] = [&now[from], &live[to]].map(|item| item.get(&**key));
            now.is_some() && now == live
        }),
        None => pair(&|from, to| {
            let alike = matches!(
                (&now[from], &live[to]),
                (Value::Object(_), Value::Object(_)) | (Value::Array(_), Value::Array(_))
            );
            from == to && now.len() == live.len() && alike
        }),
    }
    origins
}

/// What an item of a file says, as the loader reads it.
fn read(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => read_value(value),
        Item::Table(table) => read_members(table),
        Item::ArrayOfTables(blocks) => blocks.iter().map(|block| read_members(block)).collect(),
    }
}

fn read_members(table: &dyn TableLike) -> Value {
    Value::Object(table.iter().map(|(name, item)| (name.to_owned(), read(item))).collect())
}

fn read_value(value: &TomlValue) -> Value {
    match value {
        TomlValue::String(text) => text.value().as_str().into(),
        TomlValue::Integer(number) => (*number.value()).into(),
        TomlValue::Float(number) => (*number.value()).into(),
        TomlValue::Boolean(value) => (*value.value()).into(),
        TomlValue::Datetime(time) => time.value().to_string().into(),
        TomlValue::Array(items) => items.iter().map(read_value).collect(),
        TomlValue::InlineTable(table) => read_members(table),
    }
}

fn toml_value(pen: Pen, value: &Value) -> Result<TomlValue, &'static str> {
    Ok(match value {
        Value::Null => return Err("TOML has no null"),
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => return Err("TOML has no such number"),
        },
        Value::String(text) => toml_text(pen, text)?,
        Value::Array(items) => {
            let items: Vec<TomlValue> = items.iter().map(|item| toml_value(pen, item)).collect::<Result<_, _>>()?;
            Array::from_iter(items).into()
        }
        Value::Object(members) => {
            let members: BTreeMap<&str, TomlValue> = members
                .iter()
                .map(|(name, value)| Ok((name.as_str(), toml_value(pen, value)?)))
                .collect::<Result<_, &'static str>>()?;
            InlineTable::from_iter(members).into()
        }
    })
}

/// A text; the ends of its lines are a part of the value, so that it may stand on lines of its own only if they are those of
/// the file.
fn toml_text(pen: Pen, text: &str) -> Result<TomlValue, &'static str> {
    let lines = text.replace("\r\n", "\n");
    if !pen.crlf || !lines.contains('\n') {
        return Ok(text.into());
    }
    if lines.matches('\n').count() == text.matches("\r\n").count() {
        return Ok(lines.into());
    }
    let quoted = Value::from(text).to_string().replace('\u{7f}', "\\u007f");
    quoted.parse().map_err(|_| "TOML has no such text")
}
