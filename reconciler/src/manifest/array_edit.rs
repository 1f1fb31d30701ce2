//! A list in a manifest with other items: what stays keeps its comments and its line.
//!
//! The editor hands out what stands between two items as the front of the later one, though a comment at the end of a line is
//! about the earlier. So fronts are cut at the end of their first line here, and joined again. Never here: which value is
//! written where (`adopt.rs`).

use toml_edit::{Array, RawString, Value};

/// What is about an item.
struct About {
    /// The lines before it, from the end of the line of the item before.
    front: String,
    /// The rest of its line, behind its comma.
    tail: String,
}

/// The list `old` with the items `new`, in their order. One that is of an item of `old`, the position of which it has, takes
/// that one's comments over.
pub(super) fn with_items(old: &Array, new: Vec<(Value, Option<usize>)>) -> Array {
    // Without a comma behind the last item, what stands before the end of the list is handed out as a part of that item.
    let behind = old.iter().last().and_then(|last| text(last.decor().suffix()?)).filter(|_| !old.trailing_comma());
    let end = format!("{}{}", behind.unwrap_or_default(), text(old.trailing()).unwrap_or_default());
    let fronts = old.iter().map(|value| value.decor().prefix().and_then(text).unwrap_or_default());
    let fronts = fronts.chain([end.as_str()]).map(cut);
    let (rests, fronts): (Vec<&str>, Vec<&str>) = fronts.unzip();
    // Lines that are like the first one, without its comments.
    let own_line = fronts.first().filter(|front| front.contains('\n'));
    let indent = own_line.and_then(|front| front.rsplit('\n').next()).map(|indent| format!("\n{indent}"));
    let mut array = Array::new();
    *array.decor_mut() = old.decor().clone();
    let mut before = rests[0].to_owned();
    for (mut value, origin) in new {
        let kept = origin.filter(|at| *at < old.len());
        let About { front, tail } = match kept {
            Some(at) => About { front: fronts[at].to_owned(), tail: rests[at + 1].to_owned() },
            None => {
                let space = if array.is_empty() { "" } else { " " };
                About { front: indent.clone().unwrap_or_else(|| space.to_owned()), tail: String::new() }
            }
        };
        if behind.is_some() && kept.is_some_and(|at| at + 1 == old.len()) {
            value.decor_mut().set_suffix("");
        }
        value.decor_mut().set_prefix(format!("{before}{front}"));
        array.push_formatted(value);
        before = tail;
    }
    array.set_trailing(format!("{before}{}", fronts[fronts.len() - 1]));
    array.set_trailing_comma(old.trailing_comma() && !array.is_empty());
    array
}

fn text(raw: &RawString) -> Option<&str> {
    raw.as_str()
}

/// The rest of a line, and the lines from its end on; all of it is of the next item if there is no end.
fn cut(text: &str) -> (&str, &str) {
    text.find('\n').map_or(("", text), |end| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_stay_keep_their_comments() {
        let lines =
            "[ # all\n  # of us\n  \"one\",   # first\n  'two', # second\n  # the last\n  \"three\", # third\n]";
        for (old, new, expected) in [
            (lines, vec!["one", "two", "three"], lines.to_owned()),
            (
                lines,
                vec!["one", "four", "three"],
                "[ # all\n  # of us\n  \"one\",   # first\n  \"four\",\n  # the last\n  \"three\", # third\n]"
                    .to_owned(),
            ),
            (lines, vec!["two"], "[ # all\n  'two', # second\n]".to_owned()),
            (lines, vec!["five"], "[ # all\n  \"five\",\n]".to_owned()),
            (
                lines,
                vec!["three", "one"],
                "[ # all\n  # the last\n  \"three\", # third\n  # of us\n  \"one\",   # first\n]".to_owned(),
            ),
            ("[\"a\", \"b\"]", vec!["a", "c", "b"], "[\"a\", \"c\", \"b\"]".to_owned()),
            ("[\"a\"]", vec!["a", "b"], "[\"a\", \"b\"]".to_owned()),
            ("[]", vec!["a", "b"], "[\"a\", \"b\"]".to_owned()),
            ("[\n  \"a\", # x\n  \"b\" # y\n]", vec!["b", "c"], "[\n  \"b\", # y\n  \"c\"\n]".to_owned()),
            ("[ \"a\", \"a\" ]", vec!["a"], "[ \"a\" ]".to_owned()),
        ] {
            let document: toml_edit::DocumentMut = format!("x = {old}\n").parse().unwrap();
            let array = document["x"].as_array().unwrap();
            let mut free: Vec<Option<&Value>> = array.iter().map(Some).collect();
            let mut item = |text: &str| {
                let at = free.iter().position(|old| old.and_then(Value::as_str) == Some(text));
                (at.and_then(|at| free[at].take()).cloned().unwrap_or_else(|| text.into()), at)
            };
            let items = new.iter().map(|text| item(text)).collect();
            assert_eq!(with_items(array, items).to_string().trim(), expected, "{old:?} with {new:?}");
        }
    }
}
