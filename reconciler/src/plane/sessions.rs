//! What is asked of sessions. What they are given is [`SessionContext`](crate::agents::context::SessionContext).
//!
//! Never here: how it is answered.

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use crate::resource::OrgId;

/// Asks for a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionRequest {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// The agent.
    pub agent: String,
    /// The user.
    pub user: Option<String>,
    /// As of this revision; only for looking.
    pub at: Option<Revision>,
    /// Answer also if no credential is usable, for hosts that add keys elsewhere.
    pub allow_missing: bool,
}
