//! The followers that told where they are: bounded, in memory, forgotten when they are silent for long. Nothing of it is committed,
//! so after a restart nobody is known until they tell again, which takes them seconds.
//!
//! Never here: feeding them (`follow.rs`), and what waits for them.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_engine::{Head, Identity, ResumeToken, Revision, Timestamp};

use crate::embedded::rfc3339;
use crate::error::{Problem, ProblemKind};
use crate::plane::{FollowerInfo, FollowerReport, FollowerStanding, Reach};
use crate::resource::{OrgId, is_id};

/// How many followers are remembered.
const FOLLOWERS_MAX: usize = 1_000;
/// How many of them one owner may have.
const OWNER_FOLLOWERS_MAX: usize = 100;
/// How long a name may be, in characters.
const NAME_CHARS_MAX: usize = 64;
/// After how long without a word a follower counts as silent, in milliseconds: three of its reports.
const SILENT_AFTER_MS: i64 = 15 * 1000;
/// After how long without a word it is forgotten, in milliseconds.
const FORGOTTEN_AFTER_MS: i64 = 10 * 60 * 1000;

/// All followers that are known.
#[derive(Debug, Default)]
pub(crate) struct Followers(Mutex<BTreeMap<(String, String), Known>>);

#[derive(Debug)]
struct Known {
    name: String,
    reach: Reach,
    place: Option<ResumeToken>,
    since: Timestamp,
    seen: Timestamp,
}

impl Known {
    fn age_ms(&self, now: Timestamp) -> i64 {
        now.as_millis().saturating_sub(self.seen.as_millis())
    }
}

impl Followers {
    /// Takes what a follower tells.
    pub(crate) fn told(&self, report: &FollowerReport, now: Timestamp) -> Result<(), Problem> {
        let FollowerReport { owner, reach, id, name, place } = report;
        check_id(id)?;
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            let message = "the name of the follower is malformed";
            let help = format!("use 1 to {NAME_CHARS_MAX} characters, none of them a control character");
            return Err(Problem::new(ProblemKind::Invalid, "E_NAME", message).help(help));
        }
        let place = place.as_deref().map(ResumeToken::from_str).transpose().map_err(|error| {
            Problem::from_error(ProblemKind::Invalid, "E_TOKEN", &error).help("send the token that the state came with")
        })?;
        let key = (owner.clone(), id.clone());
        let mut known = self.lock();
        known.retain(|_, known| known.age_ms(now) < FORGOTTEN_AFTER_MS);
        let (all, owned) = (known.len(), known.keys().filter(|(known, _)| known == owner).count());
        if !known.contains_key(&key) && (all >= FOLLOWERS_MAX || owned >= OWNER_FOLLOWERS_MAX) {
            let message = format!("there are {owned} followers of this owner and {all} in all, which is the most");
            let help = "stop those that are not needed; one that tells nothing for ten minutes is forgotten";
            return Err(Problem::new(ProblemKind::Unavailable, "E_TOO_MANY", message).help(help));
        }
        let since = known.get(&key).filter(|known| known.place == place).map_or(now, |known| known.since);
        known.insert(key, Known { name: name.clone(), reach: reach.clone(), place, since, seen: now });
        Ok(())
    }

    /// Forgets a follower that goes.
    pub(crate) fn left(&self, owner: &str, id: &str) -> Result<(), Problem> {
        check_id(id)?;
        self.lock().remove(&(owner.to_owned(), id.to_owned()));
        Ok(())
    }

    /// The followers of an organisation, by name.
    pub(crate) fn list(&self, org: &OrgId, identity: Identity, head: Head, now: Timestamp) -> Vec<FollowerInfo> {
        let mut known = self.lock();
        known.retain(|_, known| known.age_ms(now) < FORGOTTEN_AFTER_MS);
        let of_org = known.iter().filter(|(_, known)| known.reach.allows(org));
        let mut list: Vec<_> = of_org.map(|((_, id), known)| info(id, known, identity, head.revision, now)).collect();
        list.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        list
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_id(id: &str) -> Result<(), Problem> {
    if is_id(id) {
        return Ok(());
    }
    let message = format!("`{}` is no id of a follower", id.escape_default());
    let help = "use lower-case letters, digits and `-`, at most 63, not starting with `-`";
    Err(Problem::new(ProblemKind::Invalid, "E_NAME", message).help(help))
}

fn info(id: &str, known: &Known, identity: Identity, head: Revision, now: Timestamp) -> FollowerInfo {
    // A revision of another epoch, or one that is not there yet, says nothing about this store.
    let here = known.place.filter(|place| place.identity == identity && place.revision <= head);
    let silent = known.age_ms(now) >= SILENT_AFTER_MS;
    FollowerInfo {
        id: id.to_owned(),
        name: known.name.clone(),
        revision: here.map(|place| place.revision),
        since: rfc3339(known.since),
        seen: rfc3339(known.seen),
        state: if silent { FollowerStanding::Silent } else { FollowerStanding::Following },
    }
}

#[cfg(test)]
mod tests {
    use holdfast_engine::Digest;

    use super::*;

    fn identity(epoch: u64) -> Identity {
        let token: ResumeToken = format!("00000000-0000-0000-0000-000000000001:{epoch}:0").parse().unwrap();
        token.identity
    }

    fn report(owner: &str, id: &str, place: Option<&str>) -> FollowerReport {
        let (owner, id, place) = (owner.to_owned(), id.to_owned(), place.map(str::to_owned));
        FollowerReport { owner, reach: Reach::All, name: id.clone(), id, place }
    }

    fn at(epoch: u64, revision: u64) -> String {
        ResumeToken { identity: identity(epoch), revision: Revision::new(revision) }.to_string()
    }

    fn list(followers: &Followers, org: &str, now_ms: i64) -> Vec<FollowerInfo> {
        let head = Head { revision: Revision::new(9), id: Digest::ZERO, time: Timestamp::ZERO };
        followers.list(&OrgId::new(org).unwrap(), identity(2), head, Timestamp::from_millis(now_ms))
    }

    #[test]
    fn a_follower_is_told_with_its_age_then_silent_then_forgotten() {
        let followers = Followers::default();
        let tell = |place: &str, ms| followers.told(&report("", "a", Some(place)), Timestamp::from_millis(ms)).unwrap();
        tell(&at(2, 7), 1_000);
        tell(&at(2, 7), 6_000);
        let shown = &list(&followers, "acme", 7_000)[0];
        assert_eq!((shown.revision, shown.state), (Some(Revision::new(7)), FollowerStanding::Following));
        assert_eq!(
            (shown.since.as_str(), shown.seen.as_str()),
            ("1970-01-01T00:00:01.000Z", "1970-01-01T00:00:06.000Z")
        );
        assert_eq!(shown.lags(Revision::new(7)), None);
        assert_eq!(shown.lags(Revision::new(8)).unwrap(), "follower `a` runs r7");
        let silent = &list(&followers, "acme", 6_000 + SILENT_AFTER_MS)[0];
        assert_eq!(silent.state, FollowerStanding::Silent);
        assert!(silent.lags(Revision::new(8)).unwrap().contains("heard of last"));
        assert!(list(&followers, "acme", 6_000 + FORGOTTEN_AFTER_MS).is_empty());
        for other in [at(1, 7), at(2, 10)] {
            tell(&other, 10_000);
            assert_eq!(list(&followers, "acme", 10_000)[0].revision, None, "{other} is no revision of this store");
        }
        followers.left("", "a").unwrap();
        assert!(list(&followers, "acme", 10_000).is_empty());
    }

    #[test]
    fn p12_a_follower_is_shown_to_its_organisations_and_no_owner_touches_anothers() {
        let followers = Followers::default();
        let now = Timestamp::from_millis(1);
        let of = |owner: &str, org: &str, place: &str| FollowerReport {
            reach: Reach::one(OrgId::new(org).unwrap()),
            ..report(owner, "same", Some(place))
        };
        followers.told(&of("one", "acme", &at(2, 3)), now).unwrap();
        followers.told(&of("two", "other", &at(2, 4)), now).unwrap();
        let revisions =
            |org| list(&followers, org, 1).iter().map(|info| info.revision.unwrap().get()).collect::<Vec<_>>();
        assert_eq!((revisions("acme"), revisions("other"), revisions("third")), (vec![3], vec![4], vec![]));
        followers.left("one", "same").unwrap();
        assert_eq!((revisions("acme"), revisions("other")), (vec![], vec![4]));
    }

    #[test]
    fn the_table_is_bounded_for_each_owner_and_in_all() {
        let followers = Followers::default();
        let mut refused = 0;
        for owner in 0..FOLLOWERS_MAX / OWNER_FOLLOWERS_MAX + 1 {
            for number in 0..=OWNER_FOLLOWERS_MAX {
                let told = followers.told(&report(&owner.to_string(), &format!("f{number}"), None), Timestamp::ZERO);
                refused += usize::from(told.is_err_and(|problem| problem.code == "E_TOO_MANY"));
            }
        }
        assert_eq!(list(&followers, "acme", 0).len(), FOLLOWERS_MAX);
        assert_eq!(refused, FOLLOWERS_MAX / OWNER_FOLLOWERS_MAX + OWNER_FOLLOWERS_MAX + 1);
        for (id, name, place) in
            [("A", "a", None), ("", "a", None), ("a", "", None), ("a", "a\n", None), ("a", "a", Some("x"))]
        {
            let report = FollowerReport { name: name.to_owned(), ..report("", id, place) };
            assert!(followers.told(&report, Timestamp::ZERO).is_err(), "{report:?}");
        }
    }
}
