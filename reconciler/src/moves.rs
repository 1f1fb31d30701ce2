//! `[[moved]]` carried out: which live resource goes to which declared address.
//!
//! Entries form chains (`a` to `b`, later `b` to `c`), and what belongs to a moved resource goes along. An entry that has
//! nothing left to do does nothing. Never here: what becomes of the fields (`diff.rs`), and reading manifests.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_engine::Snapshot;

use crate::agents::kinds::dependents;
use crate::agents::moves::follow;
use crate::desired::Moved;
use crate::error::{Problem, ProblemKind};
use crate::resource::{Address, OrgId, keys};

/// The moves of one plan.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// From where the resource of a declared address comes.
    from: BTreeMap<Address, Address>,
    /// The other way round.
    leaves: BTreeSet<Address>,
    /// Moves whose both ends are live: where to, and where from.
    pub(crate) clashes: BTreeMap<Address, Address>,
}

/// What is known of addresses.
pub(crate) struct Known<'k> {
    pub(crate) snapshot: &'k Snapshot,
    pub(crate) org: &'k OrgId,
    /// Whether the manifests declare an address now.
    pub(crate) declared: &'k dyn Fn(&Address) -> bool,
    /// Whether the source declared an address before.
    pub(crate) before: &'k dyn Fn(&Address) -> bool,
}

impl Known<'_> {
    fn live(&self, address: &Address) -> bool {
        self.snapshot.get(&keys::live(self.org, address)).is_some()
    }

    /// The live resources that belong to one.
    fn belongings(&self, owner: &Address) -> Vec<Address> {
        let live = keys::live_prefix(self.org);
        let of_pattern = |pattern: String| {
            let prefix = format!("{live}{pattern}");
            let exact = !pattern.ends_with('/');
            let keys = self.snapshot.prefix(&prefix).map(|(key, _)| key.as_str().to_owned());
            keys.filter(|key| !exact || *key == prefix).collect::<Vec<_>>()
        };
        let keys = dependents(owner).into_iter().flat_map(of_pattern);
        keys.filter_map(|key| key[live.len()..].parse().ok()).collect()
    }
}

impl Moves {
    /// Works out the moves.
    ///
    /// # Errors
    /// Entries that lead in a circle.
    pub(crate) fn settle(moved: &[Moved], known: &Known<'_>) -> Result<Self, Problem> {
        let mut moves = Self::default();
        for (from, to) in ends(moved)? {
            // First what is named itself, so that an entry wins over what goes along with another.
            moves.add(known, from.clone(), to.clone());
        }
        for (from, to) in ends(moved)? {
            for address in known.belongings(&from) {
                if let Some(new) = follow(&from, &to, &address) {
                    moves.add(known, address, new);
                }
            }
        }
        Ok(moves)
    }

    fn add(&mut self, known: &Known<'_>, from: Address, to: Address) {
        let taken = self.from.contains_key(&to) || self.leaves.contains(&from) || (known.declared)(&from);
        if taken || !(known.declared)(&to) || !known.live(&from) {
            return;
        }
        if !known.live(&to) {
            self.leaves.insert(from.clone());
            self.from.insert(to, from);
        } else if (known.before)(&from) {
            self.clashes.insert(to, from);
        }
    }

    /// Where the resource of a declared address comes from, if it moves.
    pub(crate) fn origin(&self, to: &Address) -> Option<&Address> {
        self.from.get(to)
    }

    /// Whether the resource of an address goes to another one.
    pub(crate) fn leaves(&self, from: &Address) -> bool {
        self.leaves.contains(from)
    }
}

/// The addresses under which a declared resource may still be live.
pub(crate) fn former(moved: &[Moved], address: &Address) -> Vec<Address> {
    let ends = ends(moved).unwrap_or_default();
    let named = ends.iter().filter(|(_, to)| to == address).map(|(from, _)| from.clone());
    let along = ends.iter().filter_map(|(from, to)| follow(to, from, address));
    named.chain(along).collect()
}

/// Every entry with the end of its chain, the shortest ways first: of two live resources of one chain the later one counts.
fn ends(moved: &[Moved]) -> Result<Vec<(Address, Address)>, Problem> {
    let next: BTreeMap<&Address, &Address> = moved.iter().map(|one| (&one.from, &one.to)).collect();
    let mut all = Vec::with_capacity(next.len());
    for (from, to) in &next {
        let (mut end, mut steps) = (*to, 1);
        while let Some(further) = next.get(end) {
            (end, steps) = (further, steps + 1);
            if steps > next.len() {
                let message = format!("the moves of `{from}` lead in a circle");
                let problem = Problem::new(ProblemKind::Invalid, "E_MOVED", message);
                return Err(problem.help("take one of the entries out"));
            }
        }
        all.push((steps, (*from).clone(), end.clone()));
    }
    all.sort();
    Ok(all.into_iter().map(|(_, from, to)| (from, to)).collect())
}
