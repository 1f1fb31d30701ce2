//! The request ids that were answered, bounded by the commits that have passed since.
//!
//! Never here: judging whether a repeated request is the same one; the id is the caller's word for it.

use std::collections::{HashMap, VecDeque};

use crate::commit::{Commit, RequestId};
use crate::digest::Digest;
use crate::limits::REQUEST_IDS_KEPT;
use crate::planted::planted;
use crate::revision::Revision;
use crate::store::{Request, Requests};
use crate::txn::{Outcome, Receipt};

/// Request ids of at least the last [`REQUEST_IDS_KEPT`] commits, with their first receipts.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    receipts: HashMap<RequestId, (Revision, Digest)>,
    order: VecDeque<(Revision, RequestId)>,
}

impl RequestLog {
    pub(crate) fn receipt(&self, id: &RequestId) -> Option<Receipt> {
        self.receipts.get(id).map(|&(revision, id)| Receipt { revision, id, outcome: Outcome::Replayed })
    }

    pub(crate) fn record(&mut self, commit: &Commit) {
        if let Some(id) = &commit.request_id {
            self.insert(Request { id: id.clone(), revision: commit.revision, commit: commit.id });
        }
    }

    pub(crate) fn insert(&mut self, request: Request) {
        if planted("requests-are-forgotten") && self.order.len() > 2 {
            return;
        }
        let Request { id, revision, commit } = request;
        self.receipts.insert(id.clone(), (revision, commit));
        self.order.push_back((revision, id));
        self.expire();
    }

    /// Each commit has at most one id, so that many ids reach back at least that many commits; revisions are no measure,
    /// because they jump when a backup is restored.
    fn expire(&mut self) {
        while self.order.len() > REQUEST_IDS_KEPT
            && let Some((revision, id)) = self.order.pop_front()
        {
            // The id may have been used again after its time; then the newer receipt stays.
            if self.receipts.get(&id).is_some_and(|(kept, _)| *kept == revision) {
                self.receipts.remove(&id);
            }
        }
    }
}

impl Requests for RequestLog {
    fn list(&self) -> Vec<Request> {
        let known = |(revision, id): &(Revision, RequestId)| {
            let (kept, commit) = self.receipts.get(id)?;
            (kept == revision).then(|| Request { id: id.clone(), revision: *revision, commit: *commit })
        };
        self.order.iter().filter_map(known).collect()
    }
}
