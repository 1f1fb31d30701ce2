//! Suggestions for words that are almost right.
//!
//! Never here: what the word is used for, and wording.

/// How many suggestions are made at most.
const NEAR_MAX: usize = 3;
/// Words longer than this many bytes are nobody's slip.
const WORD_BYTES_MAX: usize = 128;

/// The candidates that a word may have been meant to be, nearest first: those within a third of its length in edits
/// (Damerau-Levenshtein), case and `_` or `-` apart. Of those
/// that are as near, one that only lacks or has a `-` more comes first.
pub fn near<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Vec<&'c str> {
    if word.len() > WORD_BYTES_MAX {
        return Vec::new();
    }
    let folded = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let (lower, length) = (folded(word), word.chars().count());
    let mut near: Vec<(usize, usize, &str)> = candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 2 * WORD_BYTES_MAX)
        .map(|candidate| {
            let folded = folded(candidate);
            let joined = strsim::damerau_levenshtein(&lower.replace('-', ""), &folded.replace('-', ""));
            (strsim::damerau_levenshtein(&lower, &folded), joined, candidate)
        })
        .filter(|(distance, _, candidate)| {
            let length = length.min(candidate.chars().count());
            *distance <= (length / 3).max(1) && *distance < length
        })
        .collect();
    near.sort_unstable();
    near.truncate(NEAR_MAX);
    near.into_iter().map(|(_, _, candidate)| candidate).collect()
}

/// The candidate nearest to a word, if one is near enough to be meant.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    near(word, candidates).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_mended_and_a_stranger_is_not() {
        let keys = ["name", "description", "network", "pre_approved", "key"];
        for (word, expected) in [
            ("descripton", Some("description")),
            ("netwrok", Some("network")),
            ("pre-approved", Some("pre_approved")),
            ("Name", Some("name")),
            ("kee", Some("key")),
            ("model", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }

    #[test]
    fn several_near_words_come_nearest_first() {
        assert_eq!(near("triage-bto", ["triage-bot", "triage-bat", "other"]), ["triage-bot", "triage-bat"]);
        assert_eq!(near("zai", ["xai", "z-ai"]), ["z-ai", "xai"]);
    }
}
