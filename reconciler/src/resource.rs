//! Resources and their names: organisations, kinds, addresses, the record that the store holds for one resource, and the
//! keys under which records lie.
//!
//! Never here: what a kind's fields mean (`kind.rs`), and any reading or writing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::desired::Lifecycle;
use crate::diagnostic::Position;
use crate::kept_places::KeptPlaces;
use crate::value::Fields;

/// The longest name of a resource, in bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// A name that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} `{shown}`: {rule}")]
pub struct NameError {
    what: &'static str,
    shown: String,
    rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
        Self { what, shown, rule }
    }
}

/// Defines a validated, cheaply cloned name.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Validates the text.
            ///
            /// # Errors
            /// Names the rule that the text breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(NameError::new($what, text, $rule)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

/// Says whether the text matches `^[a-z0-9][a-z0-9-]{0,62}$`, the rule of ids unless a kind says otherwise.
pub fn is_id(text: &str) -> bool {
    text.len() <= 63
        && !text.starts_with('-')
        && !text.is_empty()
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_org(text: &str) -> bool {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| inner(byte) && byte != b'-' && byte != b'_');
    text.len() <= 63 && text.bytes().all(inner) && edge(text.bytes().next()) && edge(text.bytes().last())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
}

name!(
    /// An organisation: the tenant that a record belongs to.
    OrgId,
    "organisation",
    "use lower-case letters, digits, `-` and `_`, at most 63, with a letter or digit at both ends",
    is_org
);
name!(
    /// The type of a resource, such as `settings`.
    KindName,
    "kind",
    "use lower-case letters, digits and `-`, at most 63, not starting with `-`",
    is_id
);
name!(
    /// The name of a resource inside its kind; it may contain `/`.
    ResourceName,
    "name",
    "use 1 to 512 bytes without control characters",
    is_name
);
name!(
    /// A source of desired state: the name of a project.
    SourceName,
    "source",
    "use lower-case letters, digits and `-`, at most 63, not starting with `-`",
    is_id
);

impl Default for OrgId {
    fn default() -> Self {
        Self("default".into())
    }
}

impl Default for SourceName {
    fn default() -> Self {
        Self("project".into())
    }
}

/// One resource inside an organisation: `settings/triage`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// The kind.
    pub kind: KindName,
    /// The name inside the kind.
    pub name: ResourceName,
}

impl Address {
    /// Puts an address together from its two validated parts.
    pub fn new(kind: KindName, name: ResourceName) -> Self {
        Self { kind, name }
    }

    /// Parses `kind/name` with an optional `org:` in front; the prefix counts only if its `:` stands before the first `/`.
    ///
    /// # Errors
    /// Names the part that is malformed.
    pub fn parse_with_org(text: &str) -> Result<(Option<OrgId>, Self), NameError> {
        let slash = text.find('/').ok_or_else(|| NameError::new("address", text, "write it as `kind/name`"))?;
        match text[..slash].find(':') {
            Some(colon) => Ok((Some(OrgId::new(&text[..colon])?), text[colon + 1..].parse()?)),
            None => Ok((None, text.parse()?)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.kind, self.name)
    }
}

impl FromStr for Address {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (kind, name) =
            text.split_once('/').ok_or_else(|| NameError::new("address", text, "write it as `kind/name`"))?;
        Ok(Self { kind: KindName::new(kind)?, name: ResourceName::new(name)? })
    }
}

impl TryFrom<String> for Address {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

/// What the store holds for one resource, as JSON: its fields, who owns each, and the tags of its secrets.
///
/// A sensitive value is never in `fields`; `tags` holds its keyed tag under the text form of its path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The fields, without sensitive values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: Fields,
    /// The source that declares the resource, or the actor that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The owner of each field: a source, or an actor such as `ui:maria`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owners: BTreeMap<String, String>,
    /// The keyed tag of each sensitive value, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// When a secret stops counting, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

/// What the store holds of one source's last declaration of a resource, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Declaration {
    /// The declared fields, empty ones too, without sensitive values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: Fields,
    /// The keyed tag of each declared sensitive value, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What the manifest asks beyond the fields.
    #[serde(default, skip_serializing_if = "Lifecycle::is_default")]
    pub lifecycle: Lifecycle,
    /// Whether the project named it in `protect`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
    /// Where it was declared when this was written. Moving a declaration about is no change of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
    /// Where its values were declared, as far as that is elsewhere.
    #[serde(default, skip_serializing_if = "KeptPlaces::is_empty")]
    pub places: KeptPlaces,
}

impl Declaration {
    /// Whether two declarations say the same, wherever they stand.
    pub fn same(&self, other: &Self) -> bool {
        let Self { fields, tags, lifecycle, protect, at: _, places: _ } = self;
        *fields == other.fields && *tags == other.tags && *lifecycle == other.lifecycle && *protect == other.protect
    }
}

/// The keys under which records lie in the engine.
pub mod keys {
    use std::cell::RefCell;

    use super::{Address, KindName, OrgId, SourceName};

    /// The prefix of everything of one organisation.
    pub fn org(org: &OrgId) -> String {
        format!("org/{org}/")
    }

    /// The prefix of all live resources of an organisation.
    pub fn live_prefix(org: &OrgId) -> String {
        ["org/", org.as_str(), "/live/"].concat()
    }

    /// The key of a live resource.
    pub fn live(org: &OrgId, address: &Address) -> String {
        ["org/", org.as_str(), "/live/", address.kind.as_str(), "/", address.name.as_str()].concat()
    }

    thread_local! {
        static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
    }

    /// Calls with the key of a live resource, written into a text that is kept: a read makes no text of its own.
    pub(crate) fn with_live<T>(org: &OrgId, address: &Address, call: impl FnOnce(&str) -> T) -> T {
        // Taken out, so that a call that comes back here writes another.
        let mut text = TEXT.take();
        text.clear();
        for part in ["org/", org.as_str(), "/live/", address.kind.as_str(), "/", address.name.as_str()] {
            text.push_str(part);
        }
        let result = call(&text);
        TEXT.set(text);
        result
    }

    /// The prefix of what one source declared last.
    pub fn desired_prefix(org: &OrgId, source: &SourceName) -> String {
        ["org/", org.as_str(), "/desired/", source.as_str(), "/"].concat()
    }

    /// The prefix of what every source of an organisation declared last.
    pub fn desired_all(org: &OrgId) -> String {
        format!("org/{org}/desired/")
    }

    /// The key of what a source declared last for one resource.
    pub fn desired(org: &OrgId, source: &SourceName, address: &Address) -> String {
        let (kind, name) = (address.kind.as_str(), address.name.as_str());
        ["org/", org.as_str(), "/desired/", source.as_str(), "/", kind, "/", name].concat()
    }

    /// The prefix of what is known of an organisation's own kinds.
    pub fn kinds_prefix(org: &OrgId) -> String {
        format!("org/{org}/kind/")
    }

    /// The key of what is known of a kind.
    pub fn kind(org: &OrgId, name: &KindName) -> String {
        format!("org/{org}/kind/{name}")
    }

    /// The prefix of the keys that clients write themselves.
    pub fn kv_prefix(org: &OrgId) -> String {
        format!("org/{org}/kv/")
    }

    /// The key under which an organisation says which master key seals for it, once that was ever changed.
    pub fn sealing(org: &OrgId) -> String {
        format!("org/{org}/key")
    }

    /// The prefix of the holds of an organisation's sources.
    pub fn holds_prefix(org: &OrgId) -> String {
        format!("org/{org}/hold/")
    }

    /// The key that says that a source is held.
    pub fn hold(org: &OrgId, source: &SourceName) -> String {
        format!("org/{org}/hold/{source}")
    }

    /// The organisation and the address of a live resource's key, as text.
    pub(crate) fn live_address(key: &str) -> Option<(&str, &str)> {
        let (org, rest) = key.strip_prefix("org/")?.split_once('/')?;
        Some((org, rest.strip_prefix("live/")?))
    }

    /// The organisation that a key belongs to, as text.
    pub fn org_of(key: &str) -> Option<&str> {
        key.strip_prefix("org/")?.split_once('/').map(|(org, _)| org)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_org_only_before_its_first_slash() {
        let (org, address) = Address::parse_with_org("acme:settings/triage").unwrap();
        assert_eq!((org.unwrap().as_str(), address.to_string().as_str()), ("acme", "settings/triage"));
        let (org, address) = Address::parse_with_org("secret/provider:z-ai:apiKey").unwrap();
        assert_eq!((org, address.name.as_str()), (None, "provider:z-ai:apiKey"));
    }

    #[test]
    fn bad_names_are_refused_with_their_rule_and_without_control_characters() {
        for bad in ["", "-a", "A", "a b", "a/b", "é"] {
            assert!(KindName::new(bad).is_err(), "{bad:?}");
        }
        let error = ResourceName::new("a\u{1b}[31m").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}') && error.contains("control characters"), "{error}");
        assert!(OrgId::new("a_b-c").is_ok() && OrgId::new("a_").is_err() && OrgId::new("").is_err());
        assert!(Address::from_str("settings").is_err());
    }
}
