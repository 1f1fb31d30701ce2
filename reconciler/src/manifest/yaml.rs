//! YAML to trees with places: the only user of the crate `saphyr-parser`.
//!
//! Scalars follow the core schema of YAML 1.2. Depth and the copies that aliases make are bounded, so that a small file
//! cannot become a large tree. Never here: what the keys mean.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::findings::{E_DUPLICATE, E_INVALID_VALUE, E_TOO_LARGE, E_YAML_SYNTAX, Finding, Findings};
use super::limits::{YAML_COPIES_MAX, YAML_DEPTH_MAX};
use super::node::{Key, Node, Tree};
use super::reference::may_hold_secret;
use super::source::{Files, Spot, shown};

/// A piece of a file that is YAML.
#[derive(Clone, Copy)]
pub(crate) struct Text<'t> {
    /// The index of the file.
    pub(crate) file: u32,
    /// Where in the file the text starts.
    pub(crate) offset: usize,
    pub(crate) text: &'t str,
}

/// Parses the documents of a stream, without blank ones; `None` after an error was reported.
pub(crate) fn parse<'t>(source: Text<'t>, files: &Files, findings: &mut Findings) -> Option<Vec<Node<'t>>> {
    let places = Places::new(source);
    let mut builder = Builder {
        files,
        places: &places,
        stack: Vec::new(),
        anchors: HashMap::new(),
        copies: 0,
        documents: Vec::new(),
    };
    for event in Parser::new_from_str(source.text) {
        let result = match event {
            Ok((event, span)) => builder.event(event, span, findings),
            Err(error) => {
                let at = places.byte(error.marker().index());
                let spot = Spot { file: source.file, start: at, end: at };
                let finding = Finding::error(E_YAML_SYNTAX, format!("broken YAML: {}", error.info()));
                Err(match may_hold_secret(files.line_text(spot)) {
                    true => finding.at_concealed(spot, ""),
                    false => finding.at(spot, ""),
                })
            }
        };
        if let Err(finding) = result {
            findings.report(finding);
            return None;
        }
    }
    Some(builder.documents)
}

/// From the parser's places, which count characters, to bytes of the file.
struct Places {
    file: u32,
    offset: u32,
    /// For a text that is not all ASCII: the byte at which each block of characters starts.
    blocks: Option<(Vec<u32>, String)>,
}

const BLOCK: usize = 256;

impl Places {
    fn new(source: Text<'_>) -> Self {
        let blocks = (!source.text.is_ascii()).then(|| {
            let starts = source.text.char_indices().step_by(BLOCK).map(|(at, _)| at as u32).collect();
            (starts, source.text.to_owned())
        });
        Self { file: source.file, offset: source.offset as u32, blocks }
    }

    fn byte(&self, char: usize) -> u32 {
        let within = match &self.blocks {
            None => char as u32,
            Some((starts, text)) => match starts.get(char / BLOCK) {
                None => text.len() as u32,
                Some(start) => {
                    let rest = &text[*start as usize..];
                    let more = rest.char_indices().nth(char % BLOCK).map_or(rest.len(), |(at, _)| at);
                    start + more as u32
                }
            },
        };
        self.offset + within
    }

    fn spot(&self, span: Span) -> Spot {
        let start = self.byte(span.start.index());
        Spot { file: self.file, start, end: self.byte(span.end.index()).max(start) }
    }
}

/// A list or table that is not closed yet.
struct Open<'t> {
    spot: Spot,
    anchor: usize,
    items: Vec<Node<'t>>,
    /// Set for a table.
    table: Option<OpenTable<'t>>,
}

/// The entries so far, and the key that waits for its value.
type OpenTable<'t> = (Vec<(Key<'t>, Node<'t>)>, Option<Key<'t>>);

struct Builder<'t, 'p> {
    files: &'p Files,
    places: &'p Places,
    stack: Vec<Open<'t>>,
    anchors: HashMap<usize, Node<'t>>,
    copies: usize,
    documents: Vec<Node<'t>>,
}

impl<'t> Builder<'t, '_> {
    fn event(&mut self, event: Event<'t>, span: Span, findings: &mut Findings) -> Result<(), Finding> {
        let spot = self.places.spot(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => Ok(()),
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    // The parser refuses unknown names; an alias inside of its own anchor is left.
                    return Err(Finding::error(E_YAML_SYNTAX, "an alias refers to what contains it").at(spot, ""));
                };
                self.count(&node, spot)?;
                self.place(Node { spot, ..node }, 0, findings)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let plain = style == ScalarStyle::Plain && !is_text;
                let waits_for_key = self.stack.last().is_some_and(|open| matches!(open.table, Some((_, None))));
                let tree = match plain && !waits_for_key {
                    true => resolve(text),
                    false => Tree::Text(text),
                };
                if matches!(tree, Tree::Float(value) if !value.is_finite()) {
                    let message = "the number is not finite; `.inf` and `.nan` have no place in a manifest";
                    findings.report(Finding::error(E_INVALID_VALUE, message).at(spot, ""));
                }
                self.place(Node { spot, tree }, anchor, findings)
            }
            Event::SequenceStart(anchor, _) => self.open(spot, anchor, None),
            Event::MappingStart(anchor, _) => self.open(spot, anchor, Some((Vec::new(), None))),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.stack.pop() else { return Ok(()) };
                let tree = match open.table {
                    None => Tree::List(open.items),
                    Some((entries, _)) => {
                        unique(&entries, self.files, findings);
                        Tree::Table(entries)
                    }
                };
                let spot = Spot { end: spot.start.max(open.spot.start), ..open.spot };
                self.place(Node { spot, tree }, open.anchor, findings)
            }
        }
    }

    fn open(&mut self, spot: Spot, anchor: usize, table: Option<OpenTable<'t>>) -> Result<(), Finding> {
        if self.stack.len() >= YAML_DEPTH_MAX {
            let message = format!("the YAML is nested more than {YAML_DEPTH_MAX} deep");
            return Err(Finding::error(E_TOO_LARGE, message).at(spot, ""));
        }
        self.stack.push(Open { spot, anchor, items: Vec::new(), table });
        Ok(())
    }

    /// Counts the nodes of a copy against the limit.
    fn count(&mut self, node: &Node<'_>, spot: Spot) -> Result<(), Finding> {
        self.copies += size(node);
        if self.copies > YAML_COPIES_MAX {
            let message = format!("the YAML's aliases make more than {YAML_COPIES_MAX} copies");
            return Err(Finding::error(E_TOO_LARGE, message).at(spot, ""));
        }
        Ok(())
    }

    fn place(&mut self, node: Node<'t>, anchor: usize, findings: &mut Findings) -> Result<(), Finding> {
        if anchor > 0 {
            self.count(&node, node.spot)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            if !matches!(node.tree, Tree::Null) {
                self.documents.push(node);
            }
            return Ok(());
        };
        match &mut open.table {
            None => open.items.push(node),
            Some((entries, waiting)) => match waiting.take() {
                Some(key) => entries.push((key, node)),
                None => match node.tree {
                    Tree::Text(text) => *waiting = Some(Key { spot: node.spot, text }),
                    _ => {
                        let message = format!("a key must be a string, not {}", node.type_name());
                        findings.report(Finding::error(E_YAML_SYNTAX, message).at(node.spot, ""));
                        *waiting = Some(Key { spot: node.spot, text: Cow::Borrowed("") });
                    }
                },
            },
        }
        Ok(())
    }
}

fn size(node: &Node<'_>) -> usize {
    let items: usize = node.items().iter().map(size).sum();
    let entries: usize = node.entries().iter().map(|(_, value)| size(value)).sum();
    1 + items + entries
}

/// Reports every key that stands twice in a table.
fn unique(entries: &[(Key<'_>, Node<'_>)], files: &Files, findings: &mut Findings) {
    let mut seen: HashMap<&str, Spot> = HashMap::with_capacity(entries.len());
    for (key, _) in entries {
        if let Some(first) = seen.insert(&key.text, key.spot) {
            let message = format!("the key `{}` stands twice in one table", shown(&key.text));
            let mut finding = Finding::error(E_DUPLICATE, message);
            for (spot, text) in [(key.spot, "again here"), (first, "first here")] {
                finding = match may_hold_secret(files.line_text(spot)) {
                    true => finding.at_concealed(spot, text),
                    false => finding.at(spot, text),
                };
            }
            findings.report(finding);
        }
    }
}

/// What a plain scalar means in the core schema.
fn resolve(text: Cow<'_, str>) -> Tree<'_> {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => return Tree::Null,
        "true" | "True" | "TRUE" => return Tree::Boolean(true),
        "false" | "False" | "FALSE" => return Tree::Boolean(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Tree::Text(text);
    }
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok());
    if let Some(value) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Tree::Integer(value);
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(value) = text.trim_start_matches('+').parse()
    {
        return Tree::Integer(value);
    }
    match digits {
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" => return Tree::Float(f64::INFINITY),
        _ => {}
    }
    let numeric = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'-' | b'+'));
    match text.parse() {
        Ok(value) if numeric => Tree::Float(value),
        Ok(_) | Err(_) => Tree::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> (Option<Vec<Node<'_>>>, Vec<String>) {
        let mut files = Files::default();
        let (file, _) = files.add("f.yaml".to_owned(), text.to_owned());
        let mut findings = Findings::default();
        let documents = parse(Text { file, offset: 0, text }, &files, &mut findings);
        (documents, findings.finish(&files).into_iter().map(|one| one.code + ": " + &one.message).collect())
    }

    fn value(text: &str) -> String {
        let (documents, errors) = load(text);
        assert!(errors.is_empty(), "{text}: {errors:?}");
        documents.unwrap().iter().map(|node| node.to_value().to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let text = "[~, null, yes, true, 12, -0x1, +7, 0o17, 1.5, 1e3, .5, 1.2.3, '12', !!str 12, 2026-01-01, 12:30]";
        let expected = r#"[null,null,"yes",true,12,"-0x1",7,15,1.5,1000.0,0.5,"1.2.3","12","12","2026-01-01","12:30"]"#;
        assert_eq!(value(text), expected);
        assert_eq!(value("1: a\ntrue: b\n"), r#"{"1":"a","true":"b"}"#);
        assert_eq!(value("---\n---\na: 1\n---\n# nothing\n---\nb\n"), r#"{"a":1} "b""#);
        assert_eq!(value("a: &x [1]\nb: *x\n"), r#"{"a":[1],"b":[1]}"#);
    }

    #[test]
    fn places_are_bytes_also_after_many_characters() {
        let text = format!("a: {}\nb: x\n", "é".repeat(400));
        let (documents, _) = load(&text);
        let documents = documents.unwrap();
        let (key, node) = documents[0].entry("b").unwrap();
        assert_eq!(&text[key.spot.start as usize..key.spot.end as usize], "b");
        assert_eq!(&text[node.spot.start as usize..node.spot.end as usize], "x");
    }

    #[test]
    fn what_would_grow_without_bound_is_refused() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let refs = vec![format!("*a{}", level - 1); 10].join(", ");
            laughs += &format!("a{level}: &a{level} [{refs}]\n");
        }
        assert!(load(&laughs).1[0].starts_with("E_TOO_LARGE: the YAML's aliases"), "{:?}", load(&laughs).1);
        let deep = "[".repeat(100);
        assert!(load(&"[".repeat(100_000)).0.is_none());
        assert!(load(&deep).1[0].starts_with("E_TOO_LARGE: the YAML is nested"), "{:?}", load(&deep).1);
        assert!(load("a: &a [*a]\n").1[0].starts_with("E_YAML_SYNTAX"), "{:?}", load("a: &a [*a]\n").1);
    }

    #[test]
    fn a_key_stands_once_and_is_text() {
        assert_eq!(load("a: 1\nb: 2\na: 3\n").1, ["E_DUPLICATE: the key `a` stands twice in one table"]);
        assert_eq!(load("? [a]\n: 1\n").1, ["E_YAML_SYNTAX: a key must be a string, not a list"]);
    }
}
