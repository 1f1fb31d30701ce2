//! Near matches: what somebody may have meant.
//!
//! Never here: wording.

/// How many suggestions are made at most.
const NEAR_MAX: usize = 3;

/// The candidates that differ from the word by few edits (optimal string alignment distance), best first.
pub(crate) fn near<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Vec<String> {
    let allowed = (word.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * allowed)
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .collect();
    near.sort_unstable();
    near.truncate(NEAR_MAX);
    near.into_iter().map(|(_, candidate)| candidate.to_owned()).collect()
}
