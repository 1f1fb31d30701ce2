//! Which characters a reader cannot see as they are: those that move a cursor, turn text around, or show nothing at all.
//!
//! One list for everything that shows text from outside. Never here: how such a character is shown.

/// Whether text with this character may look like other text: a control character, a separator of lines, a mark that turns the direction, or a
/// character that is drawn as nothing.
///
/// The latter are those with the Unicode property `Default_Ignorable_Code_Point` and the marks of interlinear annotations: zero width spaces and
/// joiners, the soft hyphen, the byte order mark, variation selectors, and tags, in which whole sentences can be hidden from a person and not
/// from a model. A joiner or selector that makes an emoji is none the less one: with it and without it a value is not the same, and the
/// difference must be seen. Spaces of every width are seen.
pub fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_nothing_or_moves_other_text_is_unseen() {
        for unseen in [
            '\0',
            '\n',
            '\t',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{1160}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fffa}',
            '\u{1d173}',
            '\u{e0000}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e01ef}',
        ] {
            assert!(is_unseen(unseen), "{unseen:?}");
        }
    }

    #[test]
    fn what_is_drawn_is_seen() {
        for seen in [' ', 'a', 'ü', '\u{301}', 'ع', '日', '\u{a0}', '\u{3000}', '\u{2026}', '\u{fffd}', '👩', '🏽']
        {
            assert!(!is_unseen(seen), "{seen:?}");
        }
    }
}
