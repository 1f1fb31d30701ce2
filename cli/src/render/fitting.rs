//! Lists in a text that has a bound: as many things are named as there is room for, then as many as possible are told in full.
//!
//! Never here: what the things are, and how it is said that some are left out.

/// One thing of a list.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    full: Form,
    /// Its name alone, if that is shorter.
    name: Option<Form>,
}

/// A text with the number of its characters.
#[derive(Clone, Debug)]
struct Form {
    text: String,
    length: usize,
}

impl Item {
    /// A thing that is told in one way.
    pub(crate) fn new(full: String) -> Self {
        Self { full: Form::new(full), name: None }
    }

    /// A thing that may also be named only.
    pub(crate) fn named(full: String, name: String) -> Self {
        let (full, name) = (Form::new(full), Form::new(name));
        let name = Some(name).filter(|name| name.length < full.length);
        Self { full, name }
    }

    /// It in full.
    pub(crate) fn full(&self) -> &str {
        &self.full.text
    }

    fn in_full(&self) -> &Form {
        &self.full
    }

    fn shortest(&self) -> &Form {
        self.name.as_ref().unwrap_or(&self.full)
    }
}

impl Form {
    fn new(text: String) -> Self {
        Self { length: count(&text), text }
    }
}

/// What is shown of each thing of a list: nothing, its name or all of it.
pub(crate) type Chosen<'i> = Vec<Option<&'i str>>;

/// Chooses what fits into so many characters, and says how many are left.
///
/// Short lists are told whole and long ones share the rest; what one leaves the others get. Of a list that is too long all are named
/// before the first is told in full. One that does not fit is passed over, and those after it are tried.
pub(crate) fn fit<'i>(lists: &[&'i [Item]], room: usize) -> (Vec<Chosen<'i>>, usize) {
    let mut chosen: Vec<Chosen<'i>> = lists.iter().map(|list| vec![None; list.len()]).collect();
    let mut left = room;
    let length = |index: &usize| lists[*index].iter().map(|item| item.full.length).sum::<usize>();
    let mut by_length: Vec<usize> = (0..lists.len()).collect();
    by_length.sort_by_cached_key(length);
    for (place, &index) in by_length.iter().enumerate() {
        let share = left / (lists.len() - place);
        let named = show(lists[index], &mut chosen[index], share, Item::shortest);
        left -= named + show(lists[index], &mut chosen[index], share - named, Item::in_full);
    }
    for form in [Item::shortest, Item::in_full] {
        for (list, chosen) in lists.iter().zip(&mut chosen) {
            left -= show(list, chosen, left, form);
        }
    }
    (chosen, left)
}

/// Shows things in this form instead of the shorter one that they are shown in, as far as there is room, and says how much was taken.
fn show<'i>(list: &'i [Item], chosen: &mut Chosen<'i>, room: usize, form: fn(&'i Item) -> &'i Form) -> usize {
    let mut used = 0;
    for (item, shown) in list.iter().zip(chosen) {
        let (now, then) = (shown.map_or(0, count), form(item));
        let more = then.length.saturating_sub(now);
        if more > 0 && used + more <= room {
            used += more;
            *shown = Some(&then.text);
        }
    }
    used
}

/// How many characters a text has.
pub(crate) fn count(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(lengths: &[(usize, usize)]) -> Vec<Item> {
        let item = |&(name, full): &(usize, usize)| Item::named("f".repeat(full), "n".repeat(name));
        lengths.iter().map(item).collect()
    }

    fn shown(lists: &[&[Item]], room: usize) -> (Vec<String>, usize) {
        let (chosen, left) = fit(lists, room);
        let one = |text: &Option<&str>| text.map_or("-".to_owned(), |text| format!("{}{}", &text[..1], text.len()));
        (chosen.iter().map(|list| list.iter().map(one).collect::<Vec<_>>().join(" ")).collect(), left)
    }

    #[test]
    fn as_many_are_named_as_fit_and_no_room_is_lost() {
        let (a, b) = (items(&[(2, 10), (2, 10)]), items(&[(2, 4), (90, 90), (2, 4)]));
        for (room, expected, left) in [
            (0, ["- -", "- - -"], 0),
            (4, ["n2 -", "n2 - -"], 0),
            (8, ["n2 n2", "n2 - n2"], 0),
            // Nothing is told in full before all of its list are named.
            (17, ["n2 n2", "f4 - f4"], 5),
            (29, ["f10 f10", "f4 - f4"], 1),
            (118, ["f10 f10", "f4 f90 f4"], 0),
        ] {
            assert_eq!(shown(&[&a, &b], room), (expected.map(str::to_owned).to_vec(), left), "{room}");
        }
        assert_eq!(shown(&[&[], &a], 100), (vec![String::new(), "f10 f10".to_owned()], 80));
    }
}
