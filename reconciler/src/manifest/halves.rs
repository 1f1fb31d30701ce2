//! Where a long TOML text may be cut into two that can be parsed at the same time, and what makes one tree of both again.
//!
//! A cut is made before a header, so what follows it stands under headers only. The two trees are one if no table is in both: of a
//! table that both have, such as `[agents]`, neither may say more than which tables it has, and none of these is in both. Whatever
//! is not plainly so is parsed as a whole, and so is every text with an error. Never here: parsing.

use std::collections::HashSet;

use super::node::{Key, Node, Tree};

/// Shorter texts are parsed sooner than a thread is begun.
const LENGTH_MIN: usize = 128 * 1024;

/// Where to cut a text; none if it is short, or has no header after its middle that begins something else than the one before.
pub(super) fn cut(text: &str) -> Option<usize> {
    if text.len() < LENGTH_MIN {
        return None;
    }
    let mut headers = Headers { text, at: 0, depth: 0 };
    let mut before = "";
    loop {
        let at = headers.next()?;
        let name = subject(&text[at..]);
        if at >= text.len() / 2 && name != before {
            return Some(at);
        }
        before = name;
    }
}

/// The first two parts of a header, with what stands around them.
fn subject(header: &str) -> &str {
    let line = header.lines().next().unwrap_or_default().trim_start_matches('[');
    let second = line.find('.').map_or(line.len(), |dot| dot + 1);
    let end = line[second..].find(['.', ']']).map_or(line.len(), |end| second + end);
    &line[..end]
}

/// The places of headers in a text that is TOML; in any other text it finds some places.
struct Headers<'t> {
    text: &'t str,
    at: usize,
    /// How many brackets are open.
    depth: usize,
}

impl Headers<'_> {
    fn next(&mut self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        loop {
            // Here begins a line, or what follows a value of several lines.
            while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
                self.at += 1;
            }
            let begin = self.at;
            let is_header = *bytes.get(begin)? == b'[' && self.depth == 0;
            self.line(bytes);
            if is_header {
                return Some(begin);
            }
        }
    }

    /// Goes to the end of the line, or further if a string goes on after it.
    fn line(&mut self, bytes: &[u8]) {
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'\n' => return,
                b'#' => {
                    self.at += bytes[self.at..].iter().take_while(|byte| **byte != b'\n').count();
                    continue;
                }
                b'"' | b'\'' => {
                    self.at = after_string(bytes, self.at, *byte);
                    continue;
                }
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
        }
    }
}

/// Where the string ends that begins at `begin` with `quote`.
fn after_string(bytes: &[u8], begin: usize, quote: u8) -> usize {
    let is_long = bytes[begin..].starts_with(&[quote; 3]);
    let mut at = begin + if is_long { 3 } else { 1 };
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 1,
            byte if *byte == quote && !is_long => return at + 1,
            byte if *byte == quote && bytes[at..].starts_with(&[quote; 3]) => {
                // Up to two quotes may stand before those that end it.
                let more = bytes[at + 3..].iter().take(2).take_while(|byte| **byte == quote).count();
                return at + 3 + more;
            }
            _ => {}
        }
        at += 1;
    }
    at
}

type Entries<'t> = Vec<(Key<'t>, Node<'t>)>;

/// Joins the entries of both halves; none if the whole may be another tree. `text` is all of it.
pub(super) fn join<'t>(text: &str, cut: usize, mut first: Entries<'t>, second: Entries<'t>) -> Option<Entries<'t>> {
    for (key, node) in second {
        let Some((known, before)) = first.iter_mut().find(|(known, _)| known.text == key.text) else {
            first.push((key, node));
            continue;
        };
        let (Tree::Table(before), Tree::Table(more)) = (&mut before.tree, node.tree) else { return None };
        // One that is named first in a header was not made by a value or a dotted key.
        let in_header = text[..known.spot.start as usize].trim_end_matches([' ', '\t']).ends_with('[');
        let names: HashSet<&str> = before.iter().map(|(key, _)| key.text.as_ref()).collect();
        if !in_header || !in_parts(&text[cut..]) || more.iter().any(|(key, _)| names.contains(key.text.as_ref())) {
            return None;
        }
        drop(names);
        before.extend(more);
    }
    Some(first)
}

/// Whether each header names a table inside another.
fn in_parts(text: &str) -> bool {
    let in_part = |header: &str| header.split(']').next().is_some_and(|name| name.contains('.'));
    if text.lines().map(str::trim_start).filter(|line| line.starts_with('[')).all(in_part) {
        return true;
    }
    // A line that looks like a header may be one of a list or a string.
    let mut headers = Headers { text, at: 0, depth: 0 };
    std::iter::from_fn(|| headers.next()).all(|at| in_part(&text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> Vec<&str> {
        let mut headers = Headers { text, at: 0, depth: 0 };
        let lines = std::iter::from_fn(|| headers.next());
        lines.map(|at| text[at..].lines().next().unwrap_or_default()).collect()
    }

    #[test]
    fn a_header_is_no_line_of_a_string_a_list_or_a_comment() {
        let text = r##"a = "["
[one]
b = [
[1, 2],
  ["x]", '[', # [no]
]]
[[two."x.]".z]] # ] [
c = """
[no]
\""" [no]
"""""
  [three]
d = '''
[no]
''''
e = { f = "\\" }
# "
[four]"##;
        assert_eq!(headers(text), ["[one]", "[[two.\"x.]\".z]] # ] [", "[three]", "[four]"]);
        assert!(headers("a = 1\n").is_empty() && headers("").is_empty());
        assert!(headers("a = \"\n[b]\n").is_empty() && headers("a = '''").is_empty());
    }

    #[test]
    fn what_a_header_is_about_is_its_first_two_parts() {
        let subjects =
            ["[agents.a]", "[agents.a.network]", "[[agents.a.providers]]", "[agents]", "[", "[agents.b"].map(subject);
        assert_eq!(subjects, ["agents.a", "agents.a", "agents.a", "agents]", "", "agents.b"]);
    }
}
