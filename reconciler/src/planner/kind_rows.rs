//! The project's own kinds in a plan: which definitions the store learns, changes or forgets.
//!
//! Never here: resources of these kinds, which are rows like all others.

use std::collections::HashSet;

use super::{Planner, Write, blocking};
use crate::error::Problem;
use crate::kind_record::{self, KindRecord};
use crate::plan::{Action, KindChange};
use crate::resource::{Address, KindName, ResourceName, keys};

impl Planner<'_> {
    /// Plans the definitions; call it after the rows, because a kind stays as long as a resource of it does.
    pub(super) fn kind_rows(&mut self) -> Result<(), Problem> {
        let (desired, us) = (self.input.desired, self.input.source.as_str());
        let known = kind_record::records(self.input.snapshot, self.input.org)?;
        for definition in &desired.kinds {
            let name = &definition.name;
            if !self.wanted(name.as_str()) {
                continue;
            }
            let record = known.iter().find(|(known, _)| known == name).map(|(_, record)| record);
            self.reads.insert(keys::kind(self.input.org, name));
            let other = record.and_then(|record| record.sources.iter().find(|source| *source != us));
            if let (Some(record), Some(other)) = (record, other)
                && record.definition != *definition
            {
                self.blocked.push(blocking::other_kind(name, other, self.modified(name)));
                if let Ok(row) = ResourceName::new(name.as_str()) {
                    let kind = KindName::new("kind").expect("`kind` is a valid name of a kind");
                    self.blocked_rows.insert(Address::new(kind, row));
                }
                continue;
            }
            let mut sources = record.map(|record| record.sources.clone()).unwrap_or_default();
            sources.insert(us.to_owned());
            let after = KindRecord { definition: definition.clone(), sources };
            match record {
                Some(record) if *record == after => {}
                Some(record) => {
                    if record.definition != after.definition {
                        self.kind_change(name, Action::Update);
                    }
                    self.writes.push(Write::Kind(name.clone(), Some(after)));
                }
                None => {
                    self.kind_change(name, Action::Create);
                    self.writes.push(Write::Kind(name.clone(), Some(after)));
                }
            }
        }
        for (name, record) in known {
            let declared = desired.kinds.iter().any(|kind| kind.name == name);
            if !declared && self.wanted(name.as_str()) {
                self.kind_left(&name, record);
            }
        }
        self.kinds_changed.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(())
    }

    /// A kind that this source does not declare: it goes with its last source, once nothing of it is live any more.
    fn kind_left(&mut self, name: &KindName, mut record: KindRecord) {
        let ours = record.sources.remove(self.input.source.as_str());
        if !record.sources.is_empty() {
            if ours {
                self.reads.insert(keys::kind(self.input.org, name));
                self.writes.push(Write::Kind(name.clone(), Some(record)));
            }
            return;
        }
        let stays = self.outlives(name);
        if !stays {
            self.kind_change(name, Action::Delete);
        }
        if ours || !stays {
            self.reads.insert(keys::kind(self.input.org, name));
            self.writes.push(Write::Kind(name.clone(), stays.then_some(record)));
        }
    }

    /// Whether a resource of the kind is live after the writes so far.
    fn outlives(&self, name: &KindName) -> bool {
        let gone = |write: &Write| match write {
            Write::Gone(address) => Some(keys::live(self.input.org, address)),
            Write::Live { .. } | Write::Moved { .. } | Write::Declared(..) | Write::Undeclared(_) | Write::Kind(..) => {
                None
            }
        };
        let gone: HashSet<String> = self.writes.iter().filter_map(gone).collect();
        let of_kind = format!("{}{name}/", keys::live_prefix(self.input.org));
        self.input.snapshot.prefix(&of_kind).any(|(key, _)| !gone.contains(key.as_str()))
    }

    fn kind_change(&mut self, name: &KindName, action: Action) {
        self.kinds_changed.push(KindChange { name: name.clone(), action });
    }

    fn modified(&self, name: &KindName) -> holdfast_engine::Revision {
        let entry = self.input.snapshot.get(&keys::kind(self.input.org, name));
        entry.map_or(holdfast_engine::Revision::ZERO, holdfast_engine::Entry::modified)
    }
}
