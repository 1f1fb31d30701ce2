//! Access tokens: what a client of a server on the network shows, with a role, for some organisations. Made once, listed
//! without the token itself.
//!
//! Never here: how it is answered, and the tokens of workers (`worker_token.rs`).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use crate::desired::SecretText;
use crate::error::{Problem, ProblemKind};
use crate::resource::OrgId;

/// What the holder of a token may do; each role may all that those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Read, plan and watch.
    Read,
    /// Apply, edit, set secrets and open sessions too.
    Apply,
    /// Everything: tokens, and with a token for all organisations the store itself.
    Admin,
}

impl Role {
    /// All of them, the weakest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Apply, Self::Admin];

    /// The word that output and flags use.
    pub fn as_text(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Apply => "apply",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_text())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_text() == text);
        found.ok_or_else(|| format!("`{}` is none of `read`, `apply`, `admin`", text.escape_default()))
    }
}

/// The organisations that a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// All, those that are made later too.
    All,
    /// These.
    Orgs(BTreeSet<OrgId>),
}

impl Reach {
    /// One organisation.
    pub fn one(org: OrgId) -> Self {
        Self::Orgs(BTreeSet::from([org]))
    }

    /// Whether an organisation lies in it.
    pub fn allows(&self, org: &OrgId) -> bool {
        match self {
            Self::All => true,
            Self::Orgs(orgs) => orgs.contains(org),
        }
    }

    /// Whether all of another reach lies in it.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Orgs(_), Self::All) => false,
            (Self::Orgs(ours), Self::Orgs(theirs)) => theirs.is_subset(ours),
        }
    }

    /// The organisation, if it is exactly one.
    pub fn only(&self) -> Option<&OrgId> {
        match self {
            Self::All => None,
            Self::Orgs(orgs) => orgs.first().filter(|_| orgs.len() == 1),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("all organisations"),
            Self::Orgs(orgs) => out.write_str(&orgs.iter().map(OrgId::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// Asks for a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// Its name, by which the history says who wrote.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// For which organisations; without it the plane's rule names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// How long it lives, in milliseconds; 90 days if nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_ms: Option<i64>,
    /// Who makes it.
    #[serde(default)]
    pub author: String,
}

/// A token without what its holder shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// What it is revoked by, beside its name; the token begins with it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// For which organisations.
    pub reach: Reach,
    /// Who made it.
    pub owner: String,
    /// When, in RFC 3339.
    pub created: String,
    /// When it stops counting, in RFC 3339.
    pub expires: String,
    /// Whether it has.
    pub expired: bool,
    /// The revision that made it.
    pub modified: Revision,
}

/// A token that was just made. This is the only time that it can be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// What its holder shows.
    pub token: SecretText,
    /// What is known of it from now on.
    pub info: TokenInfo,
}

/// Asks to revoke a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRevocation {
    /// Its id or its name.
    pub token: String,
    /// Only if it is for no organisation beyond these.
    pub within: Reach,
    /// Who.
    pub author: String,
}

impl TokenRevocation {
    /// Which of the tokens that may be revoked is meant: the one of this id, else the only one of this name.
    ///
    /// # Errors
    /// If there is none, or there are several of this name.
    pub fn pick(&self, known: Vec<TokenInfo>) -> Result<TokenInfo, Problem> {
        let shown: String = self.token.chars().take(80).flat_map(char::escape_default).collect();
        let (mut by_id, by_name): (Vec<_>, Vec<_>) = known
            .into_iter()
            .filter(|known| known.id == self.token || known.name == self.token)
            .partition(|known| known.id == self.token);
        if let Some(found) = by_id.pop() {
            return Ok(found);
        }
        let mut by_name = by_name.into_iter();
        match (by_name.next(), by_name.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => {
                let message = format!("there is no access token `{shown}`");
                let help = "`reconcile token list` shows them; a token that is revoked is gone";
                Err(Problem::new(ProblemKind::NotFound, "E_NOT_FOUND", message).help(help))
            }
            (Some(_), Some(_)) => {
                let message = format!("several access tokens have the name `{shown}`, for different organisations");
                let help = "name it by its id; `reconcile token list` shows them";
                Err(Problem::new(ProblemKind::Invalid, "E_AMBIGUOUS", message).help(help))
            }
        }
    }
}

/// What a token that counts allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The token's id.
    pub id: String,
    /// The token's name.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// For which organisations.
    pub reach: Reach,
}
