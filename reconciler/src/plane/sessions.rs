//! What is asked of sessions. What they are given is [`SessionContext`](crate::agents::context::SessionContext).
//!
//! Never here: how it is answered.

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use super::Moment;
use crate::agents::context::{CredentialSource, Model};
use crate::agents::evidence::Evidence;
use crate::agents::profile::EphemeralProfile;
use crate::desired::SecretText;
use crate::resource::OrgId;

/// A token that a worker shows to be given the context of its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerToken {
    /// The token itself: keep it as a secret.
    pub token: SecretText,
    /// When it ends, in RFC 3339; it ends before if the session is closed.
    pub expires: String,
}

/// Why a session gets what it gets, or gets nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The organisation.
    pub org: OrgId,
    /// The agent.
    pub agent: String,
    /// The user.
    pub user: Option<String>,
    /// The revision that everything was read at.
    pub revision: Revision,
    /// The commit id of that revision.
    pub commit: String,
    /// The model; none if there is no session.
    pub model: Option<Model>,
    /// Where the credential of the model's provider comes from.
    pub credential: Option<CredentialSource>,
    /// Why there is no session.
    pub error: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// How each step went, in order.
    pub evidence: Vec<Evidence>,
}

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
