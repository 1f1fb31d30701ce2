//! What a plan looks at: everything, or only what can differ from what stood as declared when the source was planned before.
//!
//! A plan of a large project is asked for again and again while next to nothing of it changes. Whoever stays keeps what the last
//! whole plan found ([`Standing`]), and the next one looks at the declarations that are others now, at the records that
//! commits touched since, and at the rows that did not stand as declared then. Both ways give the same plan. Never here:
//! what becomes of a row (`rows.rs`).

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use holdfast_engine::{Difference, Key, Revision};

use super::{PlanInput, parts};
use crate::desired::Declared;
use crate::kind::Kinds;
use crate::own_kind::OwnKind;
use crate::resource::{Address, keys};

/// So many rows, and that share of all, may be looked at again before looking at all of them is as good.
const LOOKED_MAX: usize = 1_000;
const LOOKED_SHARE: usize = 16;

/// What a whole plan of a source found, at one revision. It holds no secret value.
#[derive(Debug)]
pub(crate) struct Standing {
    revision: Revision,
    kinds: Vec<OwnKind>,
    protect: Vec<String>,
    /// What was declared, in the order of addresses.
    resources: Vec<Arc<Declared>>,
    /// The address of each as a text.
    texts: Arc<[Arc<str>]>,
    /// Those that did not stand as declared, or whose row says more than that: positions, ascending.
    unsettled: Vec<usize>,
    /// What the source declared before and did no longer.
    gone: Vec<Address>,
    /// What was live and of no source.
    unmanaged: Vec<Address>,
    /// The keys of the organisation that had sealed values.
    sealed: Vec<Key>,
}

/// What a whole plan notes on its way for a [`Standing`].
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The rows that stood as declared and say nothing else.
    pub(super) settled: HashSet<Address>,
    pub(super) gone: Vec<Address>,
    pub(super) unmanaged: Vec<Address>,
    pub(super) sealed: Vec<Key>,
}

impl Standing {
    /// The revision that it was found at.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Keeps what a whole plan noted; none if its resources were not in order, if it was not about all of them, or if most of
    /// them do not stand: then it would save nothing, and whoever asks for plans of things that there are not would fill the memory.
    pub(super) fn of(input: &PlanInput<'_>, notes: Notes) -> Option<Self> {
        let resources = &input.desired.resources;
        let in_order = resources.windows(2).all(|pair| pair[0].address < pair[1].address);
        if !in_order || !covers(input) || notes.settled.len() * 2 < resources.len() {
            return None;
        }
        let Notes { settled, gone, unmanaged, sealed } = notes;
        let without_values = |declared: &Arc<Declared>| match declared.secrets.is_empty() {
            true => Arc::clone(declared),
            // It is never settled, so nothing is lost with them.
            false => Arc::new(Declared { secrets: Default::default(), ..declared.as_ref().clone() }),
        };
        let unsettled = resources.iter().enumerate().filter(|(_, declared)| !settled.contains(&declared.address));
        Some(Self {
            revision: input.snapshot.revision(),
            kinds: input.desired.kinds.clone(),
            protect: input.desired.protect.clone(),
            resources: resources.iter().map(without_values).collect(),
            texts: resources.iter().map(|declared| declared.address.to_string().into()).collect(),
            unsettled: unsettled.map(|(position, _)| position).collect(),
            gone,
            unmanaged,
            sealed,
        })
    }
}

/// Whether a plan is about all of a source, as it is declared and nothing else.
fn covers(input: &PlanInput<'_>) -> bool {
    input.options.only.is_empty() && input.options.rollback.is_none() && input.desired.moved.is_empty()
}

/// What a plan looks at.
#[derive(Debug)]
pub(super) enum Scope<'p> {
    /// Everything; the kind and name of what is declared.
    Whole(HashSet<(&'p str, &'p str)>),
    /// What can differ.
    Part(Part<'p>),
}

/// What can differ from what stood.
#[derive(Debug)]
pub(super) struct Part<'p> {
    standing: &'p Standing,
    resources: &'p [Arc<Declared>],
    runs: Vec<Run>,
    /// The rows to look at: positions in `resources`, ascending.
    looked: Vec<usize>,
    /// What may have been declared before and not now.
    pub(super) gone: BTreeSet<Address>,
    /// What may be live and of no source.
    pub(super) unmanaged: BTreeSet<Address>,
    /// What may have sealed values.
    pub(super) sealed: BTreeSet<&'p Key>,
}

/// Declarations that follow each other and are the same now and then.
#[derive(Clone, Copy, Debug)]
struct Run {
    now: usize,
    then: usize,
    length: usize,
}

/// A piece of the rows in the order of a plan.
pub(super) enum Rows<'p> {
    /// A row to be looked at.
    Look(&'p Arc<Declared>),
    /// Rows that stand as declared.
    Stand(&'p Arc<[Arc<str>]>, Range<usize>),
}

impl<'p> Scope<'p> {
    pub(super) fn whole(input: &PlanInput<'p>) -> Self {
        Self::Whole(input.desired.resources.iter().map(|declared| parts(&declared.address)).collect())
    }

    /// Whether the manifests declare a resource.
    pub(super) fn declares(&self, kind: &str, name: &str) -> bool {
        match self {
            Self::Whole(declared) => declared.contains(&(kind, name)),
            Self::Part(part) => position(part.resources, (kind, name)).is_ok(),
        }
    }

    /// All rows in the order of kinds, then of names.
    pub(super) fn rows(&self, resources: &'p [Arc<Declared>], kinds: &Kinds) -> Vec<Rows<'p>> {
        match self {
            Self::Whole(_) => {
                let mut rows: Vec<&Arc<Declared>> = resources.iter().collect();
                rows.sort_by_cached_key(|row| kinds.order(row.address.kind.as_str()));
                rows.into_iter().map(Rows::Look).collect()
            }
            Self::Part(part) => part.rows(kinds),
        }
    }

    /// The declarations whose rows are looked at.
    pub(super) fn looked(&self, resources: &'p [Arc<Declared>]) -> Vec<&'p Arc<Declared>> {
        match self {
            Self::Whole(_) => resources.iter().collect(),
            Self::Part(part) => part.looked.iter().map(|&position| &resources[position]).collect(),
        }
    }
}

impl<'p> Part<'p> {
    /// Works out what can differ; none if that is so much, or of such a sort, that everything is to be looked at. `since` is what
    /// differs in the store between the revision of `standing` and that of the plan.
    pub(super) fn new(input: &PlanInput<'p>, standing: &'p Standing, since: &'p [Difference]) -> Option<Self> {
        if !covers(input) || input.desired.kinds != standing.kinds || input.desired.protect != standing.protect {
            return None;
        }
        let resources = input.desired.resources.as_slice();
        let most = LOOKED_MAX + resources.len() / LOOKED_SHARE;
        let touched = touched(input, since)?;
        let Walk { runs, mut looked, dropped } = walk(&standing.resources, resources, most)?;
        looked.extend(standing.unsettled.iter().filter_map(|&then| now(&runs, then)));
        looked.extend(touched.iter().filter_map(|address| position(resources, parts(address)).ok()));
        looked.sort_unstable();
        looked.dedup();
        if looked.len() > most {
            return None;
        }
        let seen = |known: &[Address]| known.iter().chain(&dropped).chain(&touched).cloned().collect();
        let (gone, unmanaged) = (seen(&standing.gone), seen(&standing.unmanaged));
        let sealed = standing.sealed.iter().chain(since.iter().map(|difference| &difference.key)).collect();
        Some(Self { standing, resources, runs, looked, gone, unmanaged, sealed })
    }

    fn rows(&self, kinds: &Kinds) -> Vec<Rows<'p>> {
        let mut spans = Vec::new();
        let mut begin = 0;
        while let Some(first) = self.resources.get(begin) {
            let kind = &first.address.kind;
            let end = begin + self.resources[begin..].partition_point(|declared| declared.address.kind == *kind);
            spans.push((kinds.order(kind.as_str()), begin..end));
            begin = end;
        }
        spans.sort_by_key(|(order, _)| *order);
        let mut rows = Vec::new();
        for (_, span) in spans {
            let mut at = span.start;
            while at < span.end {
                let next = self.looked.partition_point(|&looked| looked < at);
                let next = self.looked.get(next).copied().unwrap_or(span.end).min(span.end);
                if next == at {
                    rows.push(Rows::Look(&self.resources[at]));
                    at += 1;
                    continue;
                }
                // What is not looked at lies in a run.
                let run = self.runs[self.runs.partition_point(|run| run.now + run.length <= at)];
                let end = next.min(run.now + run.length);
                let then = run.then + at - run.now;
                rows.push(Rows::Stand(&self.standing.texts, then..then + end - at));
                at = end;
            }
        }
        rows
    }
}

/// The addresses of the source whose records were touched; none if a definition of a kind was, or too many were.
fn touched(input: &PlanInput<'_>, since: &[Difference]) -> Option<Vec<Address>> {
    let (live, desired) = (keys::live_prefix(input.org), keys::desired_prefix(input.org, input.source));
    let kinds = keys::kinds_prefix(input.org);
    let mut touched = Vec::new();
    for difference in since {
        let key = difference.key.as_str();
        if key.starts_with(&kinds) {
            return None;
        }
        if let Some(address) = key.strip_prefix(&live).or_else(|| key.strip_prefix(&desired)) {
            touched.push(address.parse().ok()?);
        }
    }
    Some(touched)
}

/// What a walk through the declarations of then and now found.
struct Walk {
    runs: Vec<Run>,
    looked: Vec<usize>,
    /// What is declared no longer.
    dropped: Vec<Address>,
}

/// Compares the declarations of then with those of now; none if more than `most` differ, or if those of now are not in order.
fn walk(before: &[Arc<Declared>], after: &[Arc<Declared>], most: usize) -> Option<Walk> {
    let mut found = Walk { runs: Vec::new(), looked: Vec::new(), dropped: Vec::new() };
    let (mut then, mut now) = (0, 0);
    loop {
        let same =
            before[then..].iter().zip(&after[now..]).take_while(|(before, after)| is_same(before, after)).count();
        if same > 0 {
            found.runs.push(Run { now, then, length: same });
            (then, now) = (then + same, now + same);
        }
        let order = match (before.get(then), after.get(now)) {
            (None, None) => return Some(found),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(before), Some(after)) => before.address.cmp(&after.address),
        };
        if order.is_le() {
            if order.is_lt() {
                found.dropped.push(before[then].address.clone());
            }
            then += 1;
        }
        if order.is_ge() {
            let around = &after[now.saturating_sub(1)..(now + 2).min(after.len())];
            if !around.windows(2).all(|pair| pair[0].address < pair[1].address) {
                return None;
            }
            found.looked.push(now);
            now += 1;
        }
        if found.looked.len() + found.dropped.len() > most {
            return None;
        }
    }
}

/// Whether two declarations say the same, wherever they stand: mostly they are one.
fn is_same(before: &Arc<Declared>, after: &Arc<Declared>) -> bool {
    Arc::ptr_eq(before, after) || before.same(after)
}

/// Where a declaration of then stands now, if it is the same.
fn now(runs: &[Run], then: usize) -> Option<usize> {
    let run = runs.get(runs.partition_point(|run| run.then + run.length <= then))?;
    (run.then <= then).then(|| run.now + then - run.then)
}

fn position(resources: &[Arc<Declared>], sought: (&str, &str)) -> Result<usize, usize> {
    resources.binary_search_by(|declared| parts(&declared.address).cmp(&sought))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::desired::Lifecycle;

    fn declared(name: &str, text: &str) -> Arc<Declared> {
        Arc::new(Declared {
            address: format!("agent/{name}").parse().unwrap(),
            fields: [("name".to_owned(), json!(text))].into(),
            secrets: Default::default(),
            at: None,
            field_at: Default::default(),
            lifecycle: Lifecycle::default(),
        })
    }

    fn walked(before: &[Arc<Declared>], after: &[Arc<Declared>]) -> (Vec<usize>, Vec<String>) {
        let Walk { runs, looked, dropped } = walk(before, after, 10).unwrap();
        // What is in no run is looked at or was dropped, and each run is of equal declarations.
        let mut covered = looked.clone();
        for Run { now, then, length } in runs {
            assert_eq!(before[then..then + length], after[now..now + length]);
            covered.extend(now..now + length);
        }
        covered.sort_unstable();
        assert!(covered.into_iter().eq(0..after.len()));
        (looked, dropped.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_walk_finds_what_is_new_other_and_gone() {
        let before: Vec<_> = ["b", "c", "d", "f"].map(|name| declared(name, name)).into();
        assert_eq!(walked(&before, &before), (vec![], vec![]));
        assert_eq!(walked(&[], &before), (vec![0, 1, 2, 3], vec![]));
        assert_eq!(walked(&before, &[]).1.len(), 4);
        let mut after = vec![declared("a", "new")];
        after.extend([&before[0], &before[2]].map(Arc::clone));
        after.extend([declared("e", "new"), declared("f", "other")]);
        assert_eq!(walked(&before, &after), (vec![0, 3, 4], vec!["agent/c".to_owned()]));
        // Equal declarations need not be the same ones.
        let again: Vec<_> = ["b", "c", "d", "f"].map(|name| declared(name, name)).into();
        assert_eq!(walked(&before, &again), (vec![], vec![]));
    }

    #[test]
    fn a_walk_gives_up_where_everything_is_to_be_looked_at() {
        let before: Vec<_> = ["b", "c", "d"].map(|name| declared(name, name)).into();
        let other: Vec<_> = ["b", "c", "d"].map(|name| declared(name, "other")).into();
        assert!(walk(&before, &other, 2).is_none(), "too much differs");
        let disordered = [&before[0], &before[2], &before[1]].map(Arc::clone);
        assert!(walk(&before, &disordered, 10).is_none());
        let twice = [&before[0], &before[0], &before[1], &before[2]].map(Arc::clone);
        assert!(walk(&before, &twice, 10).is_none());
    }
}
