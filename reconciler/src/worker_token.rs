//! Worker tokens: what a worker shows to be given the context of its session, and nothing else.
//!
//! A token is sealed under the master key, so nobody else can make or change one; organisation, agent, user and session are
//! inside and come from nowhere else. It ends with its time or with the session, whichever is first. Never here: sessions
//! themselves (`open_sessions.rs`), and the tokens of a server's clients.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holdfast_engine::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Problem, ProblemKind};
use crate::resource::OrgId;
use crate::secret::KeyRing;

/// What a token begins with, so that one that leaked is recognised.
const PREFIX: &str = "hfw_";
/// The longest text that is looked at.
const TOKEN_BYTES_MAX: usize = 4096;
/// How long a token lives if nobody says, in milliseconds.
pub const TOKEN_LIFE_MS: i64 = 2 * 60 * 60 * 1000;
/// How long a token lives at most, in milliseconds.
pub const TOKEN_LIFE_MS_MAX: i64 = 24 * 60 * 60 * 1000;

/// What is inside a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    pub(crate) org: OrgId,
    pub(crate) agent: String,
    pub(crate) user: Option<String>,
    pub(crate) session: String,
    pub(crate) expires_ms: i64,
}

impl Claims {
    /// The token.
    pub(crate) fn seal(&self, ring: &KeyRing) -> String {
        let plain = serde_json::to_vec(self).expect("claims are always JSON");
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(ring.seal_token(&plain)))
    }

    /// What a token says, if it was made here and has not expired. A refusal never says which of the two was wrong first.
    pub(crate) fn open(token: &str, ring: Option<&KeyRing>, now: Timestamp) -> Result<Self, Problem> {
        let read = || {
            let token = token.strip_prefix(PREFIX).filter(|token| token.len() <= TOKEN_BYTES_MAX)?;
            let plain = ring?.open_token(&URL_SAFE_NO_PAD.decode(token).ok()?)?;
            serde_json::from_slice::<Self>(&plain).ok()
        };
        match read() {
            Some(claims) if claims.expires_ms > now.as_millis() => Ok(claims),
            Some(_) => Err(refused("the worker token has expired")),
            None => Err(refused("this is no worker token of this store")),
        }
    }
}

/// The life that somebody asks for.
///
/// # Errors
/// It is not between a second and [`TOKEN_LIFE_MS_MAX`].
pub(crate) fn life(asked_ms: Option<i64>) -> Result<i64, Problem> {
    match asked_ms.unwrap_or(TOKEN_LIFE_MS) {
        life if (1000..=TOKEN_LIFE_MS_MAX).contains(&life) => Ok(life),
        _ => {
            let message = format!("a worker token lives between 1 and {} seconds", TOKEN_LIFE_MS_MAX / 1000);
            Err(Problem::new(ProblemKind::Invalid, "E_TOKEN_LIFE", message).help("ask for a new one when it ends"))
        }
    }
}

/// A token that is not taken.
pub(crate) fn refused(why: &str) -> Problem {
    Problem::new(ProblemKind::Denied, "E_TOKEN", why).help("whoever opened the session gives a new one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        let (org, agent) = (OrgId::new("acme").unwrap(), "triage".to_owned());
        Claims { org, agent, user: Some("maria".to_owned()), session: "s-1".to_owned(), expires_ms: 1_000 }
    }

    #[test]
    fn p12_a_token_opens_as_it_was_made_and_no_changed_one_does() {
        let (ring, _) = KeyRing::generate().unwrap();
        let (other, _) = KeyRing::generate().unwrap();
        let token = claims().seal(&ring);
        let open = |token: &str, ring: Option<&KeyRing>, now| Claims::open(token, ring, Timestamp::from_millis(now));
        assert_eq!(open(&token, Some(&ring), 999).unwrap(), claims());
        assert_eq!(open(&token, Some(&ring), 1_000).unwrap_err().message, "the worker token has expired");
        assert!(open(&token, Some(&other), 0).is_err() && open(&token, None, 0).is_err());
        assert!(!token.contains("acme") && !token.contains("maria"));
        let sealed = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(open(&changed, Some(&ring), 0).unwrap_err().code, "E_TOKEN", "bit {bit}");
        }
        for text in ["", "hfw_", "Bearer x", &token[..token.len() - 1], &format!("{PREFIX}{}", "A".repeat(9_000))] {
            assert_eq!(open(text, Some(&ring), 0).unwrap_err().kind, ProblemKind::Denied, "{text}");
        }
        // What is sealed for a secret is no token, and the other way round.
        let address = "secret/a".parse().unwrap();
        let values = crate::secret::SecretValues::new();
        let foreign = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(ring.seal(&OrgId::default(), &address, &values)));
        assert!(open(&foreign, Some(&ring), 0).is_err());
        assert!(ring.open(&OrgId::default(), &address, &sealed).is_err());
    }

    #[test]
    fn a_life_is_bounded() {
        assert_eq!(life(None).unwrap(), TOKEN_LIFE_MS);
        assert!(life(Some(0)).is_err() && life(Some(TOKEN_LIFE_MS_MAX + 1)).is_err() && life(Some(-1)).is_err());
    }
}
