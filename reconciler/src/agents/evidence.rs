//! Evidence: how each step of resolving a session went, in order, for people and programs.
//!
//! Never here: deciding anything, and secret values.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a step looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The agent's settings.
    Settings,
    /// The profiles of the user.
    Profile,
    /// The api-key profiles of the agent's owner.
    OwnerProfile,
    /// The profiles that the host passed in with the request.
    EphemeralProfile,
    /// The organisation's shared secret.
    OrgSecret,
    /// A `secret_ref` of the manifest.
    Reference,
    /// The environment of the host.
    System,
    /// The choice of the provider.
    Provider,
    /// The choice of the model.
    Model,
    /// A resource that a resolver of somebody else's looked at.
    Resource,
}

impl Step {
    fn as_text(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Profile => "profile",
            Self::OwnerProfile => "owner profile",
            Self::EphemeralProfile => "ephemeral profile",
            Self::OrgSecret => "org secret",
            Self::Reference => "reference",
            Self::System => "system environment",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Resource => "resource",
        }
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was found and is what the session uses.
    Used,
    /// It was found and counts.
    Found,
    /// It is not there.
    Absent,
    /// It is there and has expired, so it does not count.
    Expired,
    /// It is there and cannot be opened with the keys at hand, so it does not count.
    Undecryptable,
    /// It names something that is nowhere, so it does not count.
    Unresolved,
    /// It cannot be known here, so it does not count.
    Unknown,
    /// An earlier step decided; it was not looked at.
    Skipped,
}

impl Outcome {
    fn as_text(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Found => "found",
            Self::Absent => "absent",
            Self::Expired => "expired",
            Self::Undecryptable => "cannot be opened",
            Self::Unresolved => "unresolved",
            Self::Unknown => "not known here",
            Self::Skipped => "not looked at",
        }
    }
}

/// One step of a resolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was looked at.
    pub step: Step,
    /// The installed provider it was looked at for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What was looked for: the name of a secret, a variable, a resource.
    pub looked_for: String,
    /// How it went.
    pub outcome: Outcome,
    /// Why, where the outcome alone does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl fmt::Display for Evidence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(provider) = &self.provider {
            write!(out, "{provider}: ")?;
        }
        write!(out, "{} {}: {}", self.step.as_text(), self.looked_for, self.outcome.as_text())?;
        match &self.detail {
            Some(detail) => write!(out, " ({detail})"),
            None => Ok(()),
        }
    }
}
