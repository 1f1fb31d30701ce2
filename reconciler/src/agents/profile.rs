//! Profiles: the credentials of single users for a provider, as the store holds them, and which of them counts.
//!
//! One record holds all profiles that a user has for a provider, each for a scope of models; the values are sealed beside
//! it. Never here: the chain that profiles are a part of (`credential.rs`), writing them, and values.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use holdfast_engine::{Entry, Timestamp};
use serde::{Deserialize, Serialize};

use super::kinds::PROFILE;
use crate::desired::SecretText;
use crate::resource::{Address, OrgId, ResourceName, is_id};

/// The scope of a profile that counts for all models.
pub const ALL_MODELS: &str = "*";
/// The longest name of a user, in bytes.
pub const USER_BYTES_MAX: usize = 128;
/// The longest scope, in bytes.
pub const SCOPE_BYTES_MAX: usize = 200;
/// How many profiles a user may have for one provider.
pub const PROFILES_MAX: usize = 64;

/// How a profile's credential was obtained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileType {
    /// A key that the provider issued; the only type that an owner shares with the sessions of an agent.
    #[default]
    ApiKey,
    /// A token of an OAuth grant.
    Oauth,
    /// A token of a device-code grant.
    DeviceCode,
}

impl ProfileType {
    /// The word that output and flags use.
    pub fn as_text(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::Oauth => "oauth",
            Self::DeviceCode => "device-code",
        }
    }
}

impl fmt::Display for ProfileType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_text())
    }
}

impl FromStr for ProfileType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::ApiKey, Self::Oauth, Self::DeviceCode];
        all.into_iter()
            .find(|known| known.as_text() == text)
            .ok_or_else(|| format!("`{}` is none of `api-key`, `oauth`, `device-code`", text.escape_default()))
    }
}

/// One profile of a user for a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The model reference that it counts for, or `*`.
    pub model: String,
    /// How it was obtained.
    #[serde(rename = "type")]
    pub kind: ProfileType,
    /// The keyed tag of its sealed value; none if the value is a shared secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The name of the shared secret that holds its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// When it stops counting, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// Who set it.
    pub owner: String,
}

impl Profile {
    /// Whether it has stopped counting.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_ms.is_some_and(|expires| expires <= now.as_millis())
    }
}

/// All profiles that a user has for one provider, in the order in which they were set first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileSet {
    /// One for each scope.
    pub profiles: Vec<Profile>,
}

impl ProfileSet {
    /// Reads the record of an entry, decoded once per version.
    ///
    /// # Errors
    /// The bytes are not such a record.
    pub fn of(entry: &Entry) -> Result<Arc<Self>, serde_json::Error> {
        entry.decoded(|bytes| serde_json::from_slice(bytes))
    }
}

/// A credential that an embedder passes in with the request of a session; it is stored nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EphemeralProfile {
    /// The provider, by its id or slug.
    pub provider: String,
    /// The model reference that it counts for, or `*`.
    pub model: String,
    /// When it stops counting.
    pub expires: Option<Timestamp>,
    /// The credential.
    pub value: SecretText,
}

/// A profile's name that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileNameError {
    /// The user.
    #[error("invalid user: use 1 to {USER_BYTES_MAX} bytes without control characters")]
    User,
    /// The provider.
    #[error("invalid provider: use lower-case letters, digits and `-`, at most 63, not starting with `-`")]
    Provider,
    /// The scope.
    #[error("invalid model scope: use `*` or 1 to {SCOPE_BYTES_MAX} bytes without control characters and blanks")]
    Scope,
}

/// The address under which the profiles of a user for a provider are sealed and shown: `profile/<user>/<provider>`.
///
/// # Errors
/// Names the part that breaks its rule.
pub fn address(user: &str, provider: &str) -> Result<Address, ProfileNameError> {
    if user.is_empty() || user.len() > USER_BYTES_MAX || user.chars().any(char::is_control) {
        return Err(ProfileNameError::User);
    }
    if !is_id(provider) {
        return Err(ProfileNameError::Provider);
    }
    let mut name = String::with_capacity(user.len() + provider.len() + 1);
    for char in user.chars() {
        match char {
            '%' => name.push_str("%25"),
            '/' => name.push_str("%2F"),
            other => name.push(other),
        }
    }
    name.push('/');
    name.push_str(provider);
    let name = ResourceName::new(name).map_err(|_| ProfileNameError::User)?;
    Ok(Address::new(super::kinds::profile_kind(), name))
}

/// Checks a scope.
///
/// # Errors
/// It breaks its rule.
pub fn check_scope(scope: &str) -> Result<(), ProfileNameError> {
    let fine = !scope.is_empty()
        && scope.len() <= SCOPE_BYTES_MAX
        && !scope.chars().any(|char| char.is_control() || char.is_whitespace());
    if fine { Ok(()) } else { Err(ProfileNameError::Scope) }
}

/// The prefix of all profiles of an organisation.
pub fn prefix(org: &OrgId) -> String {
    format!("org/{org}/{PROFILE}/")
}

/// The key of the profiles at an address.
pub fn key(org: &OrgId, address: &Address) -> String {
    let parts = ["org/", org.as_str(), "/", PROFILE, "/", address.name.as_str()];
    parts.concat()
}

/// The user and the provider of a key below [`prefix`].
pub fn parts(below: &str) -> Option<(String, &str)> {
    let (user, provider) = below.rsplit_once('/')?;
    Some((user.replace("%2F", "/").replace("%25", "%"), provider))
}

/// The best of the usable profiles: the one whose scope is exactly the model, else the one for all models, else the first.
pub(super) fn best<'p, T>(usable: &'p [(&str, T)], model: &[&str]) -> Option<&'p T> {
    let find = |fits: &dyn Fn(&str) -> bool| usable.iter().find(|(scope, _)| fits(scope));
    find(&|scope| model.contains(&scope))
        .or_else(|| find(&|scope| scope == ALL_MODELS))
        .or_else(|| usable.first())
        .map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_profile_has_the_exact_scope_then_all_models_then_is_the_first() {
        let usable = [("glm-4.5", 1), ("*", 2), ("glm-4.6", 3)];
        assert_eq!(best(&usable, &["z-ai/glm-4.6", "glm-4.6"]), Some(&3));
        assert_eq!(best(&usable, &["glm-5"]), Some(&2));
        assert_eq!(best(&usable[..1], &["glm-5"]), Some(&1));
        assert_eq!(best::<u8>(&[], &["glm-5"]), None);
    }

    #[test]
    fn a_user_of_any_text_has_an_address_of_his_own() {
        let name = |user: &str| address(user, "z-ai").map(|address| address.name.as_str().to_owned());
        assert_eq!(name("a/b").unwrap(), "a%2Fb/z-ai");
        assert_eq!(name("a%2Fb").unwrap(), "a%252Fb/z-ai");
        for user in ["a/b", "a%2Fb", "maria@acme.example", "%", "ünï"] {
            assert_eq!(parts(&name(user).unwrap()), Some((user.to_owned(), "z-ai")));
        }
        assert_eq!(name(""), Err(ProfileNameError::User));
        assert_eq!(name(&"x".repeat(USER_BYTES_MAX + 1)), Err(ProfileNameError::User));
        assert_eq!(address("maria", "a/b"), Err(ProfileNameError::Provider));
        assert!(check_scope("*").is_ok() && check_scope("z-ai/glm-4.6").is_ok());
        assert!(check_scope("a b").is_err() && check_scope("").is_err());
    }
}
