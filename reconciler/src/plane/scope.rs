//! Which keys of an organisation a question is about, as people name them: a resource, a kind, a raw key, or all.
//!
//! Never here: reading keys.

use crate::resource::{Address, NameError, OrgId};

/// What stands in front of the keys that clients write themselves.
pub const KV: &str = "kv/";
/// What stands in front of live resources.
pub const LIVE: &str = "live/";
/// What stands in front of what sources declare.
pub const DESIRED: &str = "desired/";

/// Which keys of an organisation are meant. Keys are those inside the organisation: `live/settings/triage`, `kv/a/b`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// This one.
    Key(String),
    /// Those that begin so.
    Prefix(String),
}

impl Scope {
    /// Reads what somebody typed: `settings/triage` is a resource, `settings/` or `settings` all of a kind, `kv/a/b` a raw
    /// key and `kv/a/` all below it. An organisation may stand in front, as in `acme:settings/triage`.
    ///
    /// # Errors
    /// Names the part that is malformed.
    pub fn parse(text: &str) -> Result<(Option<OrgId>, Self), NameError> {
        let (org, text) = match text.find(['/', ':']) {
            Some(at) if text[at..].starts_with(':') => (Some(OrgId::new(&text[..at])?), &text[at + 1..]),
            Some(_) | None => (None, text),
        };
        let raw = [KV, LIVE, DESIRED].iter().any(|root| text.starts_with(root) || text == root.trim_end_matches('/'));
        let scope = match (raw, text.ends_with('/') || !text.contains('/')) {
            (_, _) if text.is_empty() => Self::All,
            (true, true) => Self::Prefix(format!("{}/", text.trim_end_matches('/'))),
            (true, false) => Self::Key(text.to_owned()),
            (false, true) => {
                let kind = text.trim_end_matches('/');
                // The kind is checked as that of an address, which it could be the beginning of.
                format!("{}/x", kind.split('/').next().unwrap_or_default()).parse::<Address>()?;
                Self::Prefix(format!("{LIVE}{kind}/"))
            }
            (false, false) => Self::Key(format!("{LIVE}{}", text.parse::<Address>()?)),
        };
        Ok((org, scope))
    }

    /// What every key that is meant begins with.
    pub fn prefix(&self) -> &str {
        match self {
            Self::All => "",
            Self::Key(key) | Self::Prefix(key) => key,
        }
    }

    /// Whether a key inside the organisation is meant.
    pub fn holds(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Key(wanted) => key == wanted,
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_a_resource_a_kind_or_a_raw_key() {
        let key = |text: &str| Scope::Key(text.to_owned());
        let prefix = |text: &str| Scope::Prefix(text.to_owned());
        for (text, scope) in [
            ("", Scope::All),
            ("settings/triage", key("live/settings/triage")),
            ("secret/provider:z-ai:apiKey", key("live/secret/provider:z-ai:apiKey")),
            ("settings", prefix("live/settings/")),
            ("settings/", prefix("live/settings/")),
            ("secret/provider:", key("live/secret/provider:")),
            ("kv", prefix("kv/")),
            ("kv/a/b", key("kv/a/b")),
            ("kv/a/", prefix("kv/a/")),
            ("live/settings/triage", key("live/settings/triage")),
            ("desired/team/", prefix("desired/team/")),
        ] {
            assert_eq!(Scope::parse(text), Ok((None, scope)), "{text:?}");
        }
        let (org, scope) = Scope::parse("acme:settings/a:b").unwrap();
        assert_eq!((org.unwrap().as_str(), scope), ("acme", key("live/settings/a:b")));
        assert_eq!(Scope::parse("acme:").unwrap().1, Scope::All);
        for bad in ["A/b", "-x", "A:settings/x", "set tings"] {
            assert!(Scope::parse(bad).is_err(), "{bad:?}");
        }
    }
}
