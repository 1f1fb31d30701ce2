//! TOML to a tree with places: the only user of the crate `toml`.
//!
//! Never here: what the keys mean.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::findings::{E_INVALID_VALUE, E_TOML_SYNTAX, Finding, Findings};
use super::halves;
use super::node::{Key, Node, Tree};
use super::reference::may_hold_secret;
use super::source::{Files, Spot};

/// Parses a text; `None` after syntax errors were reported. The depth of nesting is bounded by the parser.
pub(crate) fn parse<'t>(text: &'t str, file: u32, files: &Files, findings: &mut Findings) -> Option<Node<'t>> {
    let spot = Spot { file, start: 0, end: text.len() as u32 };
    if let Some(entries) = in_halves(text, file, findings) {
        return Some(Node { spot, tree: Tree::Table(entries) });
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        syntax(text, file, errors, files, findings);
        return None;
    }
    let entries = Reader { file, offset: 0, findings }.entries(table.into_inner());
    Some(Node { spot, tree: Tree::Table(entries) })
}

/// Parses a long text in two threads; none if it is to be parsed as a whole.
fn in_halves<'t>(text: &'t str, file: u32, findings: &mut Findings) -> Option<Vec<(Key<'t>, Node<'t>)>> {
    let cut = halves::cut(text)?;
    let half = |text: &'t str, offset: usize| {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut found = Findings::default();
        let mut reader = Reader { file, offset: offset as u32, findings: &mut found };
        errors.is_empty().then(|| reader.entries(table.into_inner())).map(|entries| (entries, found))
    };
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| half(&text[cut..], cut));
        (half(&text[..cut], 0), second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let ((first, found), (second, also_found)) = (first?, second?);
    let entries = halves::join(text, cut, first, second)?;
    findings.append(found);
    findings.append(also_found);
    Some(entries)
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

/// Makes a tree of what was parsed.
struct Reader<'f> {
    file: u32,
    /// Where in the file the text begins that was parsed.
    offset: u32,
    findings: &'f mut Findings,
}

impl Reader<'_> {
    fn spot(&self, span: std::ops::Range<usize>) -> Spot {
        let Spot { file, start, end } = spot(self.file, span);
        Spot { file, start: start + self.offset, end: end + self.offset }
    }

    fn entries<'t>(&mut self, table: DeTable<'t>) -> Vec<(Key<'t>, Node<'t>)> {
        let one = |(key, value): (Spanned<DeString<'t>>, Spanned<DeValue<'t>>)| {
            let key = Key { spot: self.spot(key.span()), text: key.into_inner() };
            (key, self.node(value))
        };
        // In the order of the file, so that what comes first there is "first" in every message.
        table.into_iter().map(one).collect()
    }

    fn node<'t>(&mut self, value: Spanned<DeValue<'t>>) -> Node<'t> {
        let spot = self.spot(value.span());
        let tree = match value.into_inner() {
            DeValue::String(text) => Tree::Text(text),
            DeValue::Boolean(value) => Tree::Boolean(value),
            DeValue::Datetime(value) => Tree::Date(value.to_string()),
            DeValue::Integer(value) => match i64::from_str_radix(value.as_str(), value.radix()) {
                Ok(value) => Tree::Integer(value),
                Err(_) => {
                    let message = "the integer is too large; integers have 64 bits";
                    self.findings.report(Finding::error(E_INVALID_VALUE, message).at(spot, ""));
                    Tree::Integer(0)
                }
            },
            DeValue::Float(value) => match value.as_str().parse::<f64>() {
                Ok(value) if value.is_finite() => Tree::Float(value),
                Ok(_) | Err(_) => {
                    let message = "the number is not finite; `inf` and `nan` have no place in a manifest";
                    self.findings.report(Finding::error(E_INVALID_VALUE, message).at(spot, ""));
                    Tree::Float(0.0)
                }
            },
            DeValue::Array(items) => Tree::List(items.into_iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => Tree::Table(self.entries(table)),
        };
        Node { spot, tree }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that is long enough to be cut before `agents.c`, with something else in the place of one agent.
    fn long(first: &str, second: &str) -> String {
        let filler = |letter: char| {
            (0..2_000).map(move |number| {
                format!(
                    "[agents.{letter}-{number}]\nname = \"A \\\"[x]\"\n[[agents.{letter}-{number}.providers]]\nid = [\n[1],\n2]\n"
                )
            })
        };
        let halves = [filler('b').collect::<String>(), filler('d').collect()];
        format!("top = 1\n{first}\n{}{}{second}\n", halves[0], halves[1])
    }

    /// What comes of a text in halves, and as a whole.
    fn both(text: &str) -> (Option<String>, Option<String>) {
        let (mut findings, mut files) = (Findings::default(), Files::default());
        let (file, source) = files.add("f.toml".to_owned(), text.to_owned());
        let halves = in_halves(&source.text, file, &mut findings).map(|entries| format!("{entries:?}"));
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        let mut reader = Reader { file, offset: 0, findings: &mut findings };
        let whole = errors.is_empty().then(|| format!("{:?}", reader.entries(table.into_inner())));
        (halves, whole)
    }

    #[test]
    fn a_text_in_halves_is_the_text_as_a_whole_with_every_place() {
        for (first, second) in [
            ("", ""),
            ("[project]\nname = \"é\"\n[agents]\n[agents.a]\nx.y = 1", "[memory]\norg = \"acme\"\n[[moved.x]]\nto = 1"),
            (
                "[[moved]]\nfrom = 1\n[agents.\"a.b\"]\n[agents.'[c']",
                "[agents.z.\"[q]\".network]\nw = \"\"\"\n[x.y]\n\"\"\"",
            ),
            ("other = { a = 1 }", "# [agents.z]\n[agents.z]\nw = -1.5"),
        ] {
            let (halves, whole) = both(&long(first, second));
            assert!(halves.is_some(), "{first} {second}");
            assert!(halves == whole, "{first} {second}");
        }
    }

    #[test]
    fn what_is_not_plainly_two_halves_is_parsed_as_a_whole() {
        for (first, second, is_toml) in [
            ("[agents.a]", "[agents.a.network]", true),
            ("[agents.a]", "[agents.a]", false),
            ("[agents]", "[agents]", false),
            ("agents.a.x = 1", "", true),
            ("agents = { a = 1 }", "", false),
            ("[moved]\na = 1", "[moved]\nb = 1", false),
            ("[[moved]]\na = 1", "[[moved]]\na = 2", true),
            ("", "[agents]\nx = 1", true),
            ("", "x = \"", false),
        ] {
            let text = long(first, second);
            let (halves, whole) = both(&text);
            assert!(halves.is_none(), "{first} {second}");
            assert_eq!(whole.is_some(), is_toml, "{first} {second}");
        }
    }
}
