//! Raw values and raw transactions: the engine itself.
//!
//! Never here: how it is answered.

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use crate::resource::OrgId;

/// A raw value that a client wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    /// The bytes.
    pub value: Vec<u8>,
    /// The revision that made it.
    pub created: Revision,
    /// The revision that last touched it.
    pub modified: Revision,
    /// How often it was written since it was made.
    pub version: u64,
    /// The head when it was read.
    pub head: Revision,
}

/// One condition of a raw transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvCompare {
    /// The head is this revision.
    Head(Revision),
    /// The key does not exist.
    Absent(String),
    /// The key was last touched at this revision.
    Modified(String, Revision),
}

/// One operation of a raw transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvOp {
    /// Writes a value.
    Put(String, Vec<u8>),
    /// Removes a key.
    Delete(String),
}

/// A raw transaction: all operations or none, if all conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvTxn {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// The conditions.
    pub compare: Vec<KvCompare>,
    /// The operations.
    pub ops: Vec<KvOp>,
    /// Who.
    pub author: String,
    /// Makes a repetition answer the first receipt.
    pub request_id: Option<String>,
}

/// How a raw transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvTxnResult {
    /// Whether the conditions held.
    pub succeeded: bool,
    /// The revision of the commit, else the head.
    pub revision: Revision,
}
