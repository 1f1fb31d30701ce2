//! References to values that stand elsewhere: `$NAME`, `env:NAME`, `file:PATH`; and the environment they are looked up in.
//!
//! Never here: the process environment (the caller passes it in), and which fields take references (`shape.rs`).

use std::collections::BTreeMap;
use std::fmt;

use crate::desired::SecretOrigin;

/// Where references are looked up.
///
/// Libraries never read the process environment: the caller passes it in, merged over the project's `.env`.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Takes the variables.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// The value of a variable; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Adds variables that are not set yet, such as those of a `.env` file.
    #[must_use]
    pub fn or(mut self, defaults: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in defaults {
            self.0.entry(name).or_insert(value);
        }
        self
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

/// Reads a reference; `None` if the text is a literal.
pub(crate) fn reference(text: &str) -> Option<SecretOrigin> {
    let text = text.trim();
    if let Some(name) = variable(text) {
        return Some(SecretOrigin::Env(name.to_owned()));
    }
    if let Some(name) = text.strip_prefix("env:") {
        return is_shell_name(name).then(|| SecretOrigin::Env(name.to_owned()));
    }
    let path = text.strip_prefix("file:").filter(|path| !path.is_empty() && !path.starts_with("//"))?;
    Some(SecretOrigin::File(path.to_owned()))
}

/// The name in `$NAME`, of capital letters, digits and `_`.
pub(crate) fn variable(text: &str) -> Option<&str> {
    let name = text.trim().strip_prefix('$')?;
    let inner = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (name.starts_with(|first: char| first.is_ascii_uppercase()) && name.bytes().all(inner)).then_some(name)
}

/// Says whether a literal looks as if it was meant to be a reference: `$lower`, `${NAME}`, `env:`.
pub(crate) fn resembles_reference(text: &str) -> bool {
    let text = text.trim();
    let name = text.strip_prefix('$').map(|rest| rest.trim_start_matches('{').trim_end_matches('}'));
    reference(text).is_none() && (name.is_some_and(is_shell_name) || text.starts_with("env:"))
}

/// Says whether a variable can have this name in a shell.
pub(crate) fn is_shell_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(inner) && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// Says whether a text that may be anything looks like a secret: by the name that it has, or by how such values begin.
pub(crate) fn resembles_secret(name: &str, text: &str) -> bool {
    const NAMES: [&str; 7] = ["token", "secret", "password", "passwd", "apikey", "credential", "privatekey"];
    const BEGINNINGS: [&str; 7] = ["sk-", "xoxb-", "xoxp-", "xapp-", "ghp_", "glpat-", "AKIA"];
    let text = text.trim();
    let opaque = text.len() >= 8 && !text.contains(char::is_whitespace) && !text.contains("://");
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    opaque && (NAMES.iter().any(|word| name.ends_with(word)) || BEGINNINGS.iter().any(|start| text.starts_with(start)))
}

/// Says whether a line that could not be understood may hold a secret in clear, so that it must not be shown.
pub(crate) fn may_hold_secret(line: &str) -> bool {
    const WORDS: [&str; 9] =
        ["key", "token", "secret", "password", "passwd", "credential", "authorization", "bearer", "private"];
    let Some((_, value)) = line.split_once(['=', ':']) else { return false };
    let quiet = value.trim().trim_matches(['"', '\'']);
    if quiet.is_empty() || variable(quiet).is_some() {
        return false;
    }
    let line = line.to_ascii_lowercase();
    WORDS.iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_strings_are_references() {
        let env = |name: &str| Some(SecretOrigin::Env(name.to_owned()));
        assert_eq!(reference(" $Z_AI_KEY "), env("Z_AI_KEY"));
        assert_eq!(reference("env:lower_case"), env("lower_case"));
        assert_eq!(reference("file:keys/a"), Some(SecretOrigin::File("keys/a".to_owned())));
        for literal in ["$lower", "${X}", "pre-$X", "$1X", "$", "env:a b", "file:", "file:///x", "text"] {
            assert_eq!(reference(literal), None, "{literal}");
        }
        assert!(resembles_reference("$lower") && resembles_reference("${X}") && resembles_reference("env:a b"));
        assert!(!resembles_reference("$X") && !resembles_reference("pa$$word") && !resembles_reference("x"));
    }

    #[test]
    fn a_secret_is_known_by_its_name_or_its_beginning() {
        for (name, text) in
            [("botToken", "1234:abcdef"), ("bot_token", "abcdefgh"), ("x", "xoxb-12345"), ("API-Key", "abcdefgh")]
        {
            assert!(resembles_secret(name, text), "{name}");
        }
        for (name, text) in
            [("tokenUrl", "abcdefgh"), ("token", "short"), ("secret", "two words"), ("team", "T0ABCDEF")]
        {
            assert!(!resembles_secret(name, text), "{name}");
        }
    }

    #[test]
    fn an_environment_shows_no_value_p8() {
        let environment = Environment::new([("A".to_owned(), "hidden".to_owned()), ("E".to_owned(), String::new())])
            .or([("A".to_owned(), "other".to_owned()), ("B".to_owned(), "b".to_owned())]);
        assert_eq!(format!("{environment:?}"), r#"{"A", "B", "E"}"#);
        assert_eq!(
            (environment.get("A"), environment.get("B"), environment.get("E")),
            (Some("hidden"), Some("b"), None)
        );
    }

    #[test]
    fn a_broken_line_with_a_credential_is_not_shown() {
        for line in ["key = \"sk-abc", "botToken: abc", "  HN_TOKEN= x", "Authorization = \"Bearer x\""] {
            assert!(may_hold_secret(line), "{line}");
        }
        for line in ["key = \"$NAME\"", "name = \"x\"", "key =", "[agents.x"] {
            assert!(!may_hold_secret(line), "{line}");
        }
    }
}
