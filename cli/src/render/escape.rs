//! Makes text from outside harmless on a terminal.
//!
//! Names and values come from manifests, stores and servers; a raw escape sequence among them could rewrite what the reader
//! sees, a bidirectional override could reorder it, and what is drawn as nothing makes two values look alike. Everything
//! printed passes through here, once. Never here: markup of our own, and which characters these are.

use std::borrow::Cow;

use holdfast_reconciler::unseen::is_unseen;

/// The text with every unseen character written as in a JSON string; a line break becomes `\n`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// The text with unseen characters escaped, except for line breaks; for text that is lines already, such as a JSON document.
pub(crate) fn visible_lines(text: &str) -> Cow<'_, str> {
    escape(text, |character| character == '\n')
}

/// The text with each unseen character, tabs apart, replaced by one that is shown, so that columns stay as they are.
pub(crate) fn same_columns(text: &str) -> String {
    let shown = |character: char| match character {
        '\t' => character,
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        other if is_unseen(other) => '\u{fffd}',
        other => other,
    };
    text.chars().map(shown).collect()
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|character| is_unseen(character) && !keep(character)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            other if !is_unseen(other) || keep(other) => out.push(other),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_or_reorders_text_passes() {
        let nasty = "a\u{1b}[31mb\u{9b}c\u{202e}d\u{2028}e\u{7f}\r\n\tf";
        assert_eq!(visible(nasty), "a\\u001b[31mb\\u009bc\\u202ed\\u2028e\\u007f\\r\\n\\tf");
        assert_eq!(visible_lines("a\nb\u{9b}"), "a\nb\\u009b");
        for shown in [visible(nasty).into_owned(), same_columns(nasty).replace('\t', "")] {
            assert!(!shown.chars().any(is_unseen), "{shown:?}");
        }
    }

    #[test]
    fn what_is_drawn_as_nothing_is_shown() {
        assert_eq!(visible("gl\u{200b}m\u{e0041}\u{fe0f}"), "gl\\u200bm\\udb40\\udc41\\ufe0f");
        assert_eq!(same_columns("gl\u{200b}m"), "gl\u{fffd}m");
    }

    #[test]
    fn ordinary_text_is_borrowed_and_columns_stay() {
        assert!(matches!(visible("grüße 日本語 \"x\""), Cow::Borrowed(_)));
        assert_eq!(same_columns("a\u{1b}b\tc").chars().count(), "a\u{1b}b\tc".chars().count());
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = serde_json::json!({"a": "x\u{9b}\u{202e}y\nz\u{200b}\u{e0041}"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&visible_lines(&text)).unwrap(), value);
    }
}
