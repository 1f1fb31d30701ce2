//! The command that was given, written down again to be pasted, with flags that it lacked.
//!
//! Never here: which flags those are.

use std::ffi::OsString;

/// The command with more flags; what was given stays as it was.
pub(crate) fn again(arguments: &[OsString], flags: &str) -> String {
    let words: Vec<String> = arguments.iter().skip(1).map(|word| quoted(&word.to_string_lossy())).collect();
    // Behind `--` everything is a name.
    let names = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let (flagged, named) = words.split_at(names);
    let parts = ["reconcile"].into_iter().chain(flagged.iter().map(String::as_str)).chain([flags]);
    parts.chain(named.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=,@+%".contains(char);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_pasted_as_it_was_given() {
        for (given, flags, expected) in [
            (vec!["./reconcile"], "--yes", "reconcile --yes"),
            (vec!["x", "rollback", "r1", "--allow-break", "a"], "--yes", "reconcile rollback r1 --allow-break a --yes"),
            (vec!["x", "apply", "my plan.json"], "--yes", "reconcile apply 'my plan.json' --yes"),
            (vec!["x", "-m", "it's", ""], "--yes", "reconcile -m 'it'\\''s' '' --yes"),
            (vec!["x", "apply", "--", "-p"], "--yes", "reconcile apply --yes -- -p"),
        ] {
            let given: Vec<OsString> = given.into_iter().map(OsString::from).collect();
            assert_eq!(again(&given, flags), expected);
        }
    }
}
