//! TOML to a tree with places: the only user of the crate `toml`.
//!
//! Never here: what the keys mean.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::findings::{E_INVALID_VALUE, E_TOML_SYNTAX, Finding, Findings};
use super::node::{Key, Node, Tree};
use super::reference::may_hold_secret;
use super::source::{Files, Spot};

/// Parses a text; `None` after syntax errors were reported. The depth of nesting is bounded by the parser.
pub(crate) fn parse<'t>(text: &'t str, file: u32, files: &Files, findings: &mut Findings) -> Option<Node<'t>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        syntax(text, file, errors, files, findings);
        return None;
    }
    let whole = spot(file, table.span());
    let entries = Tree::Table(entries(table.into_inner(), file, findings));
    Some(Node { spot: whole, tree: entries })
}

/// Reports one error for each line, up to the first one after which nothing can be told apart.
fn syntax(text: &str, file: u32, mut errors: Vec<toml::de::Error>, files: &Files, findings: &mut Findings) {
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let mut last_line = None;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        // An error at the end of the file is shown on its last line, not after it.
        let start = match text.get(..span.start) {
            Some(before) if span.start == text.len() && before.ends_with('\n') => span.start - 1,
            Some(_) | None => span.start,
        };
        let spot = spot(file, start..span.end.max(start));
        let line = files.position(spot).line;
        if last_line.replace(line) == Some(line) {
            continue;
        }
        let finding = Finding::error(E_TOML_SYNTAX, format!("broken TOML: {}", error.message()));
        findings.report(match may_hold_secret(files.line_text(spot)) {
            true => finding.at_concealed(spot, ""),
            false => finding.at(spot, ""),
        });
        // An open bracket makes everything after it look wrong.
        if ["array", "inline table", "unclosed"].iter().any(|word| error.message().contains(word)) {
            return;
        }
    }
}

fn spot(file: u32, span: std::ops::Range<usize>) -> Spot {
    Spot { file, start: span.start as u32, end: span.end as u32 }
}

fn entries<'t>(table: DeTable<'t>, file: u32, findings: &mut Findings) -> Vec<(Key<'t>, Node<'t>)> {
    let one = |(key, value): (Spanned<DeString<'t>>, Spanned<DeValue<'t>>)| {
        let key = Key { spot: spot(file, key.span()), text: key.into_inner() };
        let at = spot(file, value.span());
        (key, Node { spot: at, tree: tree(value.into_inner(), at, findings) })
    };
    // In the order of the file, so that what comes first there is "first" in every message.
    table.into_iter().map(one).collect()
}

fn tree<'t>(value: DeValue<'t>, at: Spot, findings: &mut Findings) -> Tree<'t> {
    match value {
        DeValue::String(text) => Tree::Text(text),
        DeValue::Boolean(value) => Tree::Boolean(value),
        DeValue::Datetime(value) => Tree::Date(value.to_string()),
        DeValue::Integer(value) => match i64::from_str_radix(value.as_str(), value.radix()) {
            Ok(value) => Tree::Integer(value),
            Err(_) => {
                let message = "the integer is too large; integers have 64 bits";
                findings.report(Finding::error(E_INVALID_VALUE, message).at(at, ""));
                Tree::Integer(0)
            }
        },
        DeValue::Float(value) => match value.as_str().parse::<f64>() {
            Ok(value) if value.is_finite() => Tree::Float(value),
            Ok(_) | Err(_) => {
                let message = "the number is not finite; `inf` and `nan` have no place in a manifest";
                findings.report(Finding::error(E_INVALID_VALUE, message).at(at, ""));
                Tree::Float(0.0)
            }
        },
        DeValue::Array(items) => Tree::List(
            items
                .into_iter()
                .map(|item| {
                    let at = spot(at.file, item.span());
                    Node { spot: at, tree: tree(item.into_inner(), at, findings) }
                })
                .collect(),
        ),
        DeValue::Table(table) => Tree::Table(entries(table, at.file, findings)),
    }
}
