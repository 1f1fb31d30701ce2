//! What a session of an agent is given: model, credentials, settings, and the evidence for each.
//!
//! Never here: how it is resolved (`resolver.rs`), and credential values.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::evidence::Evidence;
use crate::resource::{OrgId, Record};
use crate::value::Fields;
use holdfast_engine::Revision;

/// The model of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The reference as it was configured.
    pub reference: String,
    /// The id of the installed provider.
    pub provider: String,
    /// The model library's name of the provider.
    pub registry: String,
    /// The model's id without its provider's own prefix.
    pub id: String,
}

/// Where a credential comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialSource {
    /// A profile of the user.
    Profile,
    /// An api-key profile of the agent's owner.
    OwnerProfile,
    /// The shared secret of the organisation.
    OrgSecret,
    /// A `secret_ref` of the manifest.
    Reference,
    /// The environment of the host.
    System,
}

impl CredentialSource {
    /// The word that output and logs show.
    pub fn as_text(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::OwnerProfile => "owner-profile",
            Self::OrgSecret => "org-secret",
            Self::Reference => "reference",
            Self::System => "system",
        }
    }
}

/// A credential that the session may use; the value is fetched when it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The installed provider it is for.
    pub provider: String,
    /// The variable under which a worker expects it.
    pub env: String,
    /// Where it comes from.
    pub source: CredentialSource,
    /// What stands in the worker's environment instead of the value.
    pub placeholder: String,
}

/// The settings of a session, shared with the snapshot that they were read from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(Arc<Record>);

impl Settings {
    /// Shares a record.
    pub(super) fn new(record: Arc<Record>) -> Self {
        Self(record)
    }

    /// The fields.
    pub fn fields(&self) -> &Fields {
        &self.0.fields
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.fields().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(from)?;
        Ok(Self(Arc::new(Record { fields, ..Record::default() })))
    }
}

/// What a session is given, pinned to one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionContext {
    /// The id of the open session; null if somebody only looked.
    pub session: Option<String>,
    /// The organisation.
    pub org: OrgId,
    /// The agent.
    pub agent: String,
    /// The user, if there is one.
    pub user: Option<String>,
    /// The revision that everything was read at.
    pub revision: Revision,
    /// The commit id of that revision.
    pub commit: String,
    /// The model.
    pub model: Model,
    /// The credentials, one for each installed provider that has one.
    pub credentials: Vec<Credential>,
    /// The settings, as in diffs.
    pub settings: Settings,
    /// How each step of the resolution went.
    pub evidence: Vec<Evidence>,
}
