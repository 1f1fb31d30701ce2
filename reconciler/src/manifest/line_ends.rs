//! A text file with other content: lines that stay keep their line ends, and the file its byte order mark.
//!
//! The editor of TOML writes LF wherever it writes. Never here: what the lines mean.

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// The byte order mark.
const MARK: char = '\u{feff}';

/// Whether a file's lines end with CR LF: its first one tells.
pub(super) fn is_crlf(text: &str) -> bool {
    text.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r'))
}

/// The file `before` with the lines of `after`, where `normal` is how the editor writes `before` out unchanged: lines that are
/// the same in both stay as they are in the file, others get its line end. None if the editor took the file for other lines.
pub(super) fn kept(before: &str, normal: &str, after: &str) -> Option<String> {
    let text = before.strip_prefix(MARK).unwrap_or(before);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let [normal, new] = [normal, after].map(|text| bare(text.strip_prefix(MARK).unwrap_or(text)));
    if lines.len() != normal.len() {
        return None;
    }
    let end = if is_crlf(text) { "\r\n" } else { "\n" };
    let mut out = String::with_capacity(before.len() + after.len() / 8);
    out.extend(before.starts_with(MARK).then_some(MARK));
    for difference in capture_diff_slices(Algorithm::Myers, &normal, &new) {
        match difference {
            DiffOp::Equal { old_index, new_index: _, len } => {
                for line in &lines[old_index..old_index + len] {
                    out.push_str(line);
                    // The last line of the file, which is the last one no more.
                    if !line.ends_with('\n') {
                        out.push_str(end);
                    }
                }
            }
            DiffOp::Insert { new_index, new_len, .. } | DiffOp::Replace { new_index, new_len, .. } => {
                for line in &new[new_index..new_index + new_len] {
                    out.push_str(line.strip_suffix('\r').unwrap_or(line));
                    out.push_str(if line.ends_with('\r') { "\r\n" } else { end });
                }
            }
            DiffOp::Delete { .. } => {}
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        out.truncate(out.trim_end_matches('\n').trim_end_matches('\r').len());
    }
    Some(out)
}

/// The lines of a text without their line feeds.
fn bare(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').map(|line| line.strip_suffix('\n').unwrap_or(line)).collect()
}

/// The file `before`, which is one text with space around it, with another text; an empty text empties it.
pub(super) fn with_text(before: &str, text: &str) -> String {
    let old = before.trim_start_matches(MARK).trim();
    match before.split_once(old) {
        _ if text.is_empty() => String::new(),
        Some((front, rest)) if !old.is_empty() => format!("{front}{text}{rest}"),
        _ => format!("{text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_stay_keep_their_ends() {
        for (before, after, expected) in [
            ("a\r\nb\r\nc\r\n", "a\nB\nc\n", "a\r\nB\r\nc\r\n"),
            ("a\r\nb\nc\r\n", "a\nb\nC\n", "a\r\nb\nC\r\n"),
            ("a\nb\r\n", "a\nx\nb\n", "a\nx\nb\r\n"),
            ("\u{feff}a\nb", "a\nB\n", "\u{feff}a\nB"),
            ("a\r\nb", "a\nb\nc\n", "a\r\nb\r\nc"),
            ("a\nb\n", "b\n", "b\n"),
        ] {
            let normal = format!("{}\n", before.trim_start_matches(MARK).replace("\r\n", "\n").trim_end());
            assert_eq!(kept(before, &normal, after).as_deref(), Some(expected), "{before:?} to {after:?}");
        }
        assert_eq!(kept("a\nb\n", "a b\n", "a\n"), None);
    }

    #[test]
    fn a_text_keeps_what_is_around_it() {
        assert_eq!(with_text("\u{feff}Kind.\r\n", "Brief.\nYes."), "\u{feff}Brief.\nYes.\r\n");
        assert_eq!(with_text("\n", "Brief."), "Brief.\n");
        assert_eq!(with_text("Kind.\n", ""), "");
    }
}
