//! Names in what a message says to write into a manifest: as TOML reads them back.
//!
//! Never here: edits of a manifest, and commands (`pasted.rs`).

use toml_edit::{Key, Value};

use super::source::shown;

/// A name as a key, bare where it may be, and cut if it is very long.
pub(crate) fn key(name: &str) -> String {
    Key::new(&*shown(name)).display_repr().into_owned()
}

/// A text as a value.
pub(crate) fn text(value: &str) -> String {
    Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back_as_it_was() {
        assert_eq!(key("z-ai"), "z-ai");
        assert_eq!(text("settings/triage"), "\"settings/triage\"");
        for name in ["", "my 'p; touch x", "a.b", "a\"b", "'\"", "]", "ä", "back\\slash", "a = 1 #"] {
            let document: toml_edit::DocumentMut = format!("[{}]\nx = {}", key(name), text(name)).parse().unwrap();
            assert_eq!(document[name]["x"].as_str(), Some(name));
        }
    }
}
