//! Access tokens: how one is made, what of it the store keeps, and whether a text is one. The store has a digest only, so that
//! nobody who reads it, or a backup of it, can use a token.
//!
//! Never here: what a role allows (the server's `access.rs`), committing them (`control/tokens.rs`), and the tokens of workers
//! (`worker_token.rs`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holdfast_engine::{Digest, Entry, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

use crate::desired::SecretText;
use crate::error::{Problem, ProblemKind};
use crate::plane::{Access, Reach, Role};

/// What a token begins with, so that one that leaked is recognised.
pub const PREFIX: &str = "hft_";
/// How many tokens there may be.
pub const TOKENS_MAX: usize = 10_000;
/// For how many organisations a token may be, if it is not for all.
pub const TOKEN_ORGS_MAX: usize = 1_000;
/// How long a token lives if nobody says: 90 days, in milliseconds.
pub const TOKEN_LIFE_MS: i64 = 90 * DAY_MS;
/// How long a token lives at most: ten years, in milliseconds.
pub const TOKEN_LIFE_MS_MAX: i64 = 3650 * DAY_MS;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const ID_BYTES: usize = 8;
const ID_DIGITS: usize = 2 * ID_BYTES;
/// 256 bits: nobody guesses one, so a plain digest of it is enough.
const SECRET_BYTES: usize = 32;
/// The length of a token: nothing of another length is looked at.
const TOKEN_BYTES: usize = PREFIX.len() + ID_DIGITS + 1 + (SECRET_BYTES * 4).div_ceil(3);
/// The prefix of all tokens. They belong to no organisation, because one may be for several.
pub(crate) const KEYS: &str = "token/";

/// What the store holds of a token, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) reach: Reach,
    /// The digest of id and secret.
    pub(crate) digest: Digest,
    pub(crate) owner: String,
    pub(crate) created_ms: i64,
    pub(crate) expires_ms: i64,
}

impl TokenRecord {
    /// Reads the record of an entry, decoded once per version.
    pub(crate) fn of(entry: &Entry) -> Result<Arc<Self>, serde_json::Error> {
        entry.decoded(|bytes| serde_json::from_slice(bytes))
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_ms <= now.as_millis()
    }
}

/// A token that was drawn: its text, its id and what the store keeps to know it again.
pub(crate) struct Drawn {
    pub(crate) text: SecretText,
    pub(crate) id: String,
    pub(crate) digest: Digest,
}

/// Draws a new token.
///
/// # Errors
/// The system has no randomness to give.
pub(crate) fn draw() -> Result<Drawn, getrandom::Error> {
    let mut bytes = Zeroizing::new([0_u8; ID_BYTES + SECRET_BYTES]);
    getrandom::fill(bytes.as_mut())?;
    let (id, secret) = bytes.split_at(ID_BYTES);
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret));
    let digest = digest(&id, &secret);
    let mut text = String::with_capacity(TOKEN_BYTES);
    [PREFIX, &id, "_", &secret].into_iter().for_each(|part| text.push_str(part));
    Ok(Drawn { text: SecretText::new(text), id, digest })
}

/// The two parts of a text that has the form of a token.
fn parts(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix(PREFIX).filter(|_| text.len() == TOKEN_BYTES && text.is_ascii())?;
    let (id, secret) = rest.split_at(ID_DIGITS);
    let is_id = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    Some((id, secret.strip_prefix('_')?)).filter(|_| is_id)
}

fn digest(id: &str, secret: &str) -> Digest {
    Digest::of_parts("holdfast access token", &[id.as_bytes(), secret.as_bytes()])
}

/// What a token allows, if it counts. `record` gives what the store has under an id. A refusal does not tell a token that was
/// revoked from one that never was.
pub(crate) fn access(
    token: &SecretText,
    now: Timestamp,
    record: impl FnOnce(&str) -> Option<Arc<TokenRecord>>,
) -> Result<Access, Problem> {
    let (id, secret) = parts(token.expose()).ok_or_else(refused)?;
    let record = record(id);
    // An id that is not there takes as long as a wrong secret.
    let known = record.as_ref().map_or(Digest::ZERO, |record| record.digest);
    let same = same(&known, &digest(id, secret));
    let record = record.filter(|_| same).ok_or_else(refused)?;
    if record.is_expired(now) {
        let message = format!("the access token `{}` has expired", record.name);
        let problem = Problem::new(ProblemKind::Denied, "E_ACCESS_EXPIRED", message);
        return Err(problem.help("an administrator makes a new one with `reconcile token create`"));
    }
    let TokenRecord { name, role, reach, .. } = TokenRecord::clone(&record);
    Ok(Access { id: id.to_owned(), name, role, reach })
}

/// Compares all bytes, whatever the first ones are.
fn same(left: &Digest, right: &Digest) -> bool {
    let pairs = left.as_bytes().iter().zip(right.as_bytes());
    std::hint::black_box(pairs.fold(0, |differing, (left, right)| differing | (left ^ right))) == 0
}

fn refused() -> Problem {
    Problem::new(ProblemKind::Denied, "E_ACCESS_TOKEN", "this is no access token of this store, or it was revoked")
        .help("an administrator makes one with `reconcile token create`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(digest: Digest) -> TokenRecord {
        let (name, owner, reach) = ("ci".to_owned(), "cli:maria".to_owned(), Reach::All);
        TokenRecord { name, role: Role::Apply, reach, digest, owner, created_ms: 0, expires_ms: 1_000 }
    }

    #[test]
    fn p12_a_token_counts_as_it_was_drawn_until_it_expires_and_no_changed_one_does() {
        let Drawn { text, id, digest } = draw().unwrap();
        let asked = |text: &str, now: i64| {
            let token = SecretText::new(text.to_owned());
            access(&token, Timestamp::from_millis(now), |asked| (asked == id).then(|| Arc::new(record(digest))))
        };
        let text = text.expose();
        assert_eq!(text.len(), TOKEN_BYTES);
        let granted = asked(text, 999).unwrap();
        assert_eq!((granted.id.as_str(), granted.name.as_str(), granted.role), (id.as_str(), "ci", Role::Apply));
        assert_eq!(asked(text, 1_000).unwrap_err().code, "E_ACCESS_EXPIRED");
        for at in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(asked(std::str::from_utf8(&changed).unwrap(), 0).unwrap_err().code, "E_ACCESS_TOKEN", "{at}");
        }
        for malformed in ["", PREFIX, "hft", &text[1..], &text[..text.len() - 1], &format!("{text}a"), &"é".repeat(200)]
        {
            assert_eq!(asked(malformed, 0).unwrap_err().kind, ProblemKind::Denied, "{malformed}");
        }
        let none = access(&SecretText::new(text.to_owned()), Timestamp::ZERO, |_| None).unwrap_err();
        assert_eq!(none.code, "E_ACCESS_TOKEN");
        assert!(!none.to_string().contains(&id));
    }

    #[test]
    fn p8_what_the_store_keeps_tells_nothing_of_the_token() {
        let Drawn { text, id, digest } = draw().unwrap();
        let kept = serde_json::to_string(&record(digest)).unwrap();
        let secret = text.expose().strip_prefix(&format!("{PREFIX}{id}_")).unwrap();
        assert!(!kept.contains(secret) && secret.len() == 43);
        assert_ne!(draw().unwrap().text, text);
    }

    #[test]
    fn a_reach_covers_what_lies_in_it() {
        let org = |name: &str| crate::resource::OrgId::new(name).unwrap();
        let (a, both) = (Reach::one(org("a")), Reach::Orgs([org("a"), org("b")].into()));
        assert!(Reach::All.covers(&Reach::All) && Reach::All.covers(&a) && both.covers(&a));
        assert!(!a.covers(&Reach::All) && !a.covers(&both));
        assert_eq!((a.only(), both.only(), Reach::All.only()), (Some(&org("a")), None, None));
        assert!(both.allows(&org("b")) && !a.allows(&org("b")) && Reach::All.allows(&org("c")));
    }
}
