//! The file `.env`: variables for references, one `NAME=value` on a line.
//!
//! No `export`, no interpolation, one pair of matching quotes is taken off, the last of a name wins. Never here: the
//! process environment.

use std::collections::BTreeMap;

use super::findings::{E_FILE, E_NOT_UTF8, Finding, Findings, W_ENV_FILE};
use super::limits::SECRET_BYTES_MAX;
use super::reference::{Environment, is_shell_name};
use super::source::Files;
use super::tree::{FileTree, ReadError};
use crate::diagnostic::Diagnostic;

/// The name of the file.
const NAME: &str = ".env";

/// Gives the environment for a project: the process's variables, then those of its `.env` that are not set.
///
/// A line that is no assignment is a warning; its text is never repeated, since it may be a secret.
pub fn environment(
    tree: &dyn FileTree,
    process: impl IntoIterator<Item = (String, String)>,
) -> (Environment, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let environment = Environment::new(process).or(read(tree, &mut findings));
    (environment, findings.finish(&Files::default()))
}

fn read(tree: &dyn FileTree, findings: &mut Findings) -> BTreeMap<String, String> {
    let bytes = match tree.read(NAME, SECRET_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(ReadError::NotFound) => return BTreeMap::new(),
        Err(error) => {
            let finding = Finding::error(E_FILE, format!("cannot read `{NAME}`: {error}"));
            findings.report(finding.in_file(NAME, ""));
            return BTreeMap::new();
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => {
            let (variables, ignored) = parse_env(&text);
            if let Some(line) = ignored.first() {
                let message =
                    format!("`{NAME}` has {} lines that are no `NAME=value`; they are ignored", ignored.len());
                let finding = Finding::warning(W_ENV_FILE, message).in_line(NAME, *line);
                findings.report(finding.help("write one `NAME=value` on a line, without `export`"));
            }
            variables
        }
        Err(_) => {
            findings.report(Finding::error(E_NOT_UTF8, format!("`{NAME}` is not UTF-8")).in_file(NAME, ""));
            BTreeMap::new()
        }
    }
}

/// Reads the text of a `.env` file: its variables, and the numbers of the lines that are none.
pub fn parse_env(text: &str) -> (BTreeMap<String, String>, Vec<u32>) {
    let mut variables = BTreeMap::new();
    let mut ignored = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            Some((name, value)) if is_shell_name(name) => {
                variables.insert(name.to_owned(), unquoted(value).to_owned());
            }
            Some(_) | None => ignored.push(number),
        }
    }
    (variables, ignored)
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::MemoryTree;

    #[test]
    fn the_last_of_a_name_wins_and_one_pair_of_quotes_is_taken_off() {
        let text = "# c\nA=1\r\n B = \" x \" \nA='2'\nC=\"\"y\"\"\nD=\nE=a=b#c\nexport F=1\n1X=2\nplain\nQ=\"\n";
        let (variables, ignored) = parse_env(text);
        let expected = [("A", "2"), ("B", " x "), ("C", "\"y\""), ("D", ""), ("E", "a=b#c"), ("Q", "\"")];
        assert_eq!(variables.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!(ignored, [8, 9, 10]);
    }

    #[test]
    fn the_process_wins_over_the_file_and_a_bad_line_is_not_repeated_p8() {
        let tree = MemoryTree::new([(".env", "A=file\nB=file\nsk-hidden\n")]);
        let (environment, diagnostics) = environment(&tree, [("A".to_owned(), "process".to_owned())]);
        assert_eq!((environment.get("A"), environment.get("B")), (Some("process"), Some("file")));
        let text = format!("{diagnostics:?}");
        assert!(text.contains("W_ENV_FILE") && text.contains("line: 3") && !text.contains("hidden"), "{text}");
    }
}
