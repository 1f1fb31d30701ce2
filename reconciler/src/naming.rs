//! Names in a sentence: the first few, and how many more there are.
//!
//! Never here: what is named, and why.

/// The first `most` of the names, with a word about the rest.
pub(crate) fn some<T: AsRef<str>>(names: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut names = names.into_iter();
    let shown: Vec<T> = names.by_ref().take(most).collect();
    let shown = shown.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_the_rest_is_counted() {
        assert_eq!(some(["a", "b"], 2), "a, b");
        assert_eq!(some(["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(some([""; 0], 2), "");
    }
}
