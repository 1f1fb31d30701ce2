//! What is asked of sessions. What they are given is [`SessionContext`](crate::agents::context::SessionContext).
//!
//! Never here: how it is answered.

use serde::{Deserialize, Serialize};

use super::Moment;
use crate::agents::profile::EphemeralProfile;
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
    /// As of this revision or time; only for looking.
    pub at: Option<Moment>,
    /// Answer also if no credential is usable, for hosts that add keys elsewhere.
    pub allow_missing: bool,
    /// Credentials that the host has for this session alone, in process; they rank after the owner's profiles.
    #[serde(skip)]
    pub ephemeral: Vec<EphemeralProfile>,
}
