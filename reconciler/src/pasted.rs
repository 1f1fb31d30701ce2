//! Names and values in what a message says to paste: as a word of a shell's command.
//!
//! A name may hold anything but control characters, so that one in a command could be two words, or a command of its own. Never
//! here: which commands are said, and TOML (`manifest/spelled.rs`).

/// A word as a shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=,@+%".contains(char);
    // A `=` in front means something to zsh.
    match !word.is_empty() && !word.starts_with('=') && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        for (word, expected) in [
            ("settings/triage", "settings/triage"),
            ("provider:z-ai:apiKey", "provider:z-ai:apiKey"),
            ("", "''"),
            ("my 'p; touch x", "'my '\\''p; touch x'"),
            ("$(x)", "'$(x)'"),
            ("a`b`", "'a`b`'"),
            ("~", "'~'"),
            ("=ls", "'=ls'"),
            ("ä", "'ä'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
