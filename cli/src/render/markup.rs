//! Text from outside as Markdown: nothing in it is markup, and nobody is mentioned; bounded, where it stands for one thing of many.
//!
//! Never here: what is said.

use super::escape::visible;

/// One thing of many is told in so many characters; names and values in it can be of any length.
pub(crate) const CHARACTERS_MAX: usize = 400;

/// The text, or its beginning and an ellipsis.
pub(crate) fn cut(text: &str) -> String {
    let text = visible(text);
    let Some((end, _)) = text.char_indices().nth(CHARACTERS_MAX) else { return text.into_owned() };
    let shown = &text[..end];
    // A name in backticks stays one.
    let open = shown.matches('`').count() % 2 == 1;
    format!("{shown}...{}", if open { "`" } else { "" })
}

/// Text in a code span: nothing in it is markup, and nobody is mentioned.
pub(crate) fn code(text: &str) -> String {
    let text = visible(text);
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// Text from outside as prose: what stands in backticks becomes a code span, everything else that could be markup is
/// escaped.
pub(crate) fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escaped(text);
    }
    let piece =
        |(index, part): (usize, &&str)| if index % 2 == 1 && !part.is_empty() { code(part) } else { escaped(part) };
    parts.iter().enumerate().map(piece).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in visible(text).chars() {
        match character {
            '@' => out.push_str("&#64;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '*' | '_' | '[' | ']' | '#' | '!' | '~' | '\\' | '`' => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out
}

/// The most backticks in a row.
pub(crate) fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(prose("`a*b` of *c*"), "`a*b` of \\*c\\*");
        assert_eq!(prose("an odd ` one"), "an odd \\` one");
        assert_eq!(prose("@maria <b>*x*</b> [y](z)"), "&#64;maria &lt;b&gt;\\*x\\*&lt;/b&gt; \\[y\\](z)");
    }

    #[test]
    fn what_is_long_is_cut_and_a_name_in_it_stays_one() {
        assert_eq!(cut("short"), "short");
        let long = cut(&format!("model `{}` is not there", "m".repeat(60_000)));
        assert_eq!(long, format!("model `{}...`", "m".repeat(CHARACTERS_MAX - 7)));
        assert_eq!(prose(&long), long);
        assert!(prose(&cut(&"&".repeat(60_000))).len() <= 5 * CHARACTERS_MAX + 3);
    }
}
