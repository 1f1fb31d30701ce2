//! Which declared rows stand just as they are declared, told from the bytes of their records and in two threads.
//!
//! Never here: what becomes of a row that does not (`rows.rs`).

use std::sync::Arc;

use holdfast_engine::{Entry, Snapshot};

use super::scope::Rows;
use super::{PlanInput, parts};
use crate::desired::Declared;
use crate::encoded;
use crate::guard;
use crate::kind::Kinds;
use crate::resource::{OrgId, SourceName, keys};

/// The most rows for which a second thread would cost more than it saves.
const IN_ONE_THREAD_MAX: usize = 1_000;

/// Which rows change nothing, not even an owner. To tell that of each is most of a plan, and hangs on nothing else.
pub(super) fn standing(input: &PlanInput<'_>, kinds: &Kinds, rows: &[Rows<'_>]) -> Vec<bool> {
    let PlanInput { snapshot, org, source, .. } = *input;
    let tell = |rows: &[Rows<'_>]| -> Vec<bool> {
        let stands = |row: &Rows<'_>| match row {
            Rows::Look(declared) => {
                guard::protects(&input.desired.protect, &declared.address).is_none()
                    && stands(snapshot, org, source, declared)
                    && kinds.get(parts(&declared.address).0).is_some()
            }
            Rows::Stand(..) => true,
        };
        rows.iter().map(stands).collect()
    };
    if rows.len() <= IN_ONE_THREAD_MAX {
        return tell(rows);
    }
    let (first, second) = rows.split_at(rows.len() / 2);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| tell(second));
        let mut all = tell(first);
        all.extend(second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        all
    })
}

/// Whether a resource is live just as it is declared, told without decoding what is live.
fn stands(snapshot: &Snapshot, org: &OrgId, source: &SourceName, declared: &Declared) -> bool {
    let is_declared = |live: &Entry| {
        let before = snapshot.get(&keys::desired(org, source, &declared.address));
        // A row of an exported state stands for both.
        before.is_some_and(|before| {
            Arc::ptr_eq(before.value(), live.value()) || encoded::is_declared(before.value(), declared)
        })
    };
    let is_live = |live: &&Entry| encoded::is_live(live.value(), declared, source.as_str());
    encoded::is_plain(declared)
        && keys::with_live(org, &declared.address, |key| snapshot.get(key)).filter(is_live).is_some_and(is_declared)
}
