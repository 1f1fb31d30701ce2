//! Suggestions for words that are almost right.
//!
//! Never here: what the word is used for.

/// The candidate nearest to a word, if one is near enough to be meant.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_ascii_lowercase().replace('_', "-");
    let distance = |candidate: &str| {
        let candidate = candidate.to_ascii_lowercase().replace('_', "-");
        strsim::damerau_levenshtein(&lower, &candidate)
    };
    let near = candidates.into_iter().map(|candidate| (distance(candidate), candidate)).min()?;
    let length = word.chars().count().min(near.1.chars().count());
    (near.0 <= (length / 3).max(1) && near.0 < length).then_some(near.1)
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
}
