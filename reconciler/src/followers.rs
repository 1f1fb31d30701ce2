//! The followers that told where they are: bounded, and forgotten when they are silent for long. Where they are is in memory; who they
//! are is a reminder of the store too, so that after a restart those that were known are waited for until they tell again.
//!
//! Never here: feeding them (`follow.rs`), and what waits for them.

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_engine::{Engine, Key, ReminderError, ResumeToken, Timestamp};
use serde::{Deserialize, Serialize};

use crate::access_token::{self, TokenRecord};
use crate::embedded::rfc3339;
use crate::error::{Problem, ProblemKind};
use crate::plane::{FOLLOWER_REMINDERS, FollowerInfo, FollowerRemoval, FollowerReport, FollowerStanding, Reach};
use crate::resource::{OrgId, is_id};

/// How many followers are remembered.
const FOLLOWERS_MAX: usize = 1_000;
/// How many of them one owner may have.
const OWNER_FOLLOWERS_MAX: usize = 100;
/// After how long without a word a follower counts as silent: three of its reports.
const SILENT_AFTER: Duration = Duration::from_secs(15);
/// After how long without a word it is forgotten. Only time counts in which this process could be told.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10 * 60);
/// How many starts of a follower are remembered after another replaced them.
const REPLACED_MAX: usize = 16;
/// In such a key, the owner of those that came over the socket. No access token has this id.
const SOCKET: &str = "socket";

/// An owner, and an id that is unique for it.
type Name = (String, String);

/// A moment: by the clock on the wall, which is shown, and by one that nobody sets, which ages are measured by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) time: Timestamp,
    pub(crate) elapsed: Duration,
}

/// All followers that are known.
#[derive(Debug)]
pub(crate) struct Followers {
    engine: Engine,
    /// When this process began.
    began: Now,
    /// None until the reminders were read.
    known: Mutex<Option<BTreeMap<Name, Known>>>,
}

#[derive(Debug)]
struct Known {
    who: Who,
    place: Option<ResumeToken>,
    since: Timestamp,
    /// When it was heard of last; for one that is known from before, when this process began.
    seen: Now,
    /// The start of it that tells now.
    run: Option<String>,
    /// Those that it replaced, the oldest first.
    replaced: VecDeque<String>,
    /// Whether it was heard of in the life of this process.
    heard: bool,
    /// Whether the store will remember it as it is.
    kept: bool,
}

/// What the store remembers of a follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Who {
    name: String,
    reach: Reach,
}

impl Known {
    fn age(&self, now: Now) -> Duration {
        now.elapsed.saturating_sub(self.seen.elapsed)
    }

    fn standing(&self, now: Now) -> FollowerStanding {
        match (self.heard, self.age(now) >= SILENT_AFTER) {
            (false, _) => FollowerStanding::Awaited,
            (true, true) => FollowerStanding::Silent,
            (true, false) => FollowerStanding::Following,
        }
    }
}

impl Followers {
    /// Those of a store, in a process that begins now.
    pub(crate) fn new(engine: Engine, began: Now) -> Self {
        Self { engine, began, known: Mutex::new(None) }
    }

    /// Reads who is remembered, while the store can be read: once it failed, it may give no more than what is in memory.
    pub(crate) fn recall(&self) {
        // What cannot be read now is tried again when somebody asks, and told to them.
        let _ = self.with(self.began, |_| Ok(()));
    }

    /// Takes what a follower tells. One that is new is remembered by the store before this returns.
    pub(crate) fn told(&self, report: &FollowerReport, now: Now) -> Result<(), Problem> {
        let FollowerReport { owner, reach, id, name, place, run } = report;
        check_id(id)?;
        run.as_deref().map_or(Ok(()), check_id)?;
        FollowerReport::check_name(name)?;
        let place = place.as_deref().map(ResumeToken::from_str).transpose().map_err(|error| {
            Problem::from_error(ProblemKind::Invalid, "E_TOKEN", &error).help("send the token that the state came with")
        })?;
        let key = (owner.clone(), id.clone());
        self.with(now, |known| {
            let (all, owned) = (known.len(), known.keys().filter(|(known, _)| known == owner).count());
            if !known.contains_key(&key) && (all >= FOLLOWERS_MAX || owned >= OWNER_FOLLOWERS_MAX) {
                let message = format!("there are {owned} followers of this owner and {all} in all, which is the most");
                let help = "take those that are gone off with `reconcile follower remove NAME`; one that tells nothing for ten \
                            minutes is forgotten";
                return Err(Problem::new(ProblemKind::Unavailable, "E_TOO_MANY", message).help(help));
            }
            let who = Who { name: name.clone(), reach: reach.clone() };
            let before = known.get(&key);
            let since = before.filter(|known| known.heard && known.place == place).map_or(now.time, |known| known.since);
            let (last, mut replaced) =
                before.map_or_else(Default::default, |known| (known.run.clone(), known.replaced.clone()));
            if let (Some(run), Some(last)) = (run, last)
                && *run != last
            {
                if replaced.contains(run) {
                    return Err(twin(id));
                }
                if replaced.len() == REPLACED_MAX {
                    replaced.pop_front();
                }
                replaced.push_back(last);
            }
            let kept = before.is_some_and(|known| known.kept && known.who == who) || self.keep(&key, &who);
            known.insert(key, Known { who, place, since, seen: now, run: run.clone(), replaced, heard: true, kept });
            Ok(())
        })
    }

    /// Forgets a follower, here and in the store.
    pub(crate) fn left(&self, removal: &FollowerRemoval, now: Now) -> Result<(), Problem> {
        let FollowerRemoval { owner, within, id } = removal;
        check_id(id)?;
        self.with(now, |known| {
            let is_meant = |(of, named): &Name, found: &Known| {
                named == id && (of == owner || within.as_ref().is_some_and(|within| within.covers(&found.who.reach)))
            };
            let meant: Vec<Name> =
                known.iter().filter(|(name, found)| is_meant(name, found)).map(|(name, _)| name.clone()).collect();
            for name in meant {
                self.forget(&name).map_err(|error| unremembered(&error))?;
                known.remove(&name);
            }
            Ok(())
        })
    }

    /// The followers of an organisation, by name.
    pub(crate) fn list(&self, org: &OrgId, now: Now) -> Result<Vec<FollowerInfo>, Problem> {
        let snapshot = self.engine.snapshot();
        let (identity, head) = (self.engine.identity(), snapshot.revision());
        let voucher = |owner: &str| {
            let entry = snapshot.get(&format!("{}{owner}", access_token::KEYS))?;
            // A record that cannot be read lets nobody in.
            let token = TokenRecord::of(entry).ok()?;
            (!token.is_expired(now.time)).then_some(token)
        };
        let info = |owner: &str, id: &str, known: &Known| {
            // A revision of another epoch, or one that is not there yet, says nothing about this store.
            let here = known.place.filter(|place| place.identity == identity && place.revision <= head);
            FollowerInfo {
                id: id.to_owned(),
                name: known.who.name.clone(),
                token: voucher(owner).map(|token| token.name.clone()),
                revision: here.map(|place| place.revision),
                since: rfc3339(known.since),
                seen: known.heard.then(|| rfc3339(known.seen.time)),
                state: known.standing(now),
            }
        };
        let mut list: Vec<_> = self.with(now, |known| {
            // One whose token counts no more is given nothing and tells nothing, under this owner.
            known.retain(|name, found| {
                let counts = name.0.is_empty() || voucher(&name.0).is_some();
                if !counts {
                    self.gone(name, found);
                }
                counts
            });
            let of_org = known.iter().filter(|(_, known)| known.who.reach.allows(org));
            Ok(of_org.map(|((owner, id), known)| info(owner, id, known)).collect())
        })?;
        list.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(list)
    }

    /// Does something with those that are known, without those that were silent for too long.
    fn with<T>(
        &self,
        now: Now,
        done: impl FnOnce(&mut BTreeMap<Name, Known>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut known = self.lock();
        let known = match known.as_mut() {
            Some(known) => known,
            None => known.insert(self.remembered().map_err(|error| unremembered(&error))?),
        };
        known.retain(|name, found| {
            let stays = found.age(now) < FORGOTTEN_AFTER;
            if !stays {
                self.gone(name, found);
            }
            stays
        });
        done(known)
    }

    /// Has the store forget one that is known no longer. Where it does not, the next process waits for it once more.
    fn gone(&self, name: &Name, found: &Known) {
        if let Err(error) = self.forget(name) {
            tracing::warn!(%error, follower = found.who.name, "the store still remembers a follower that is forgotten");
        }
    }

    /// Those that the store remembers, none of which was heard of yet.
    fn remembered(&self) -> Result<BTreeMap<Name, Known>, ReminderError> {
        let read = |key: &Key, bytes: &[u8]| {
            let (owner, id) = key.as_str().strip_prefix(FOLLOWER_REMINDERS)?.split_once('/')?;
            let owner = if owner == SOCKET { String::new() } else { owner.to_owned() };
            let who: Who = serde_json::from_slice(bytes).ok()?;
            let (since, seen, replaced) = (self.began.time, self.began, VecDeque::new());
            let known = Known { who, place: None, since, seen, run: None, replaced, heard: false, kept: true };
            Some(((owner, id.to_owned()), known))
        };
        let reminders = match self.engine.reminders(FOLLOWER_REMINDERS) {
            // There is no store behind it: a follower's own engine, which cannot be followed, or one that ended.
            Err(ReminderError::Closed) => Vec::new(),
            reminders => reminders?,
        };
        Ok(reminders.iter().filter_map(|reminder| read(&reminder.key, &reminder.bytes)).collect())
    }

    /// Makes the store remember a follower; says whether it does. That it does not is no reason to not know it now.
    fn keep(&self, name: &Name, who: &Who) -> bool {
        let Some(key) = key(name) else { return false };
        let bytes = serde_json::to_vec(who).expect("a follower's name and reach are always JSON");
        let kept = self.engine.remind(&key, &bytes);
        if let Err(error) = &kept {
            tracing::warn!(%error, follower = who.name, "a follower is not remembered beyond this process yet");
        }
        kept.is_ok()
    }

    fn forget(&self, name: &Name) -> Result<(), ReminderError> {
        key(name).map_or(Ok(()), |key| self.engine.forget(&key))
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<Name, Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key((owner, id): &Name) -> Option<Key> {
    let owner = if owner.is_empty() { SOCKET } else { owner };
    Key::new(format!("{FOLLOWER_REMINDERS}{owner}/{id}")).ok()
}

/// One that was replaced under its id tells again, so that both run.
fn twin(id: &str) -> Problem {
    let message = format!("another process tells under the id `{id}` too");
    Problem::new(ProblemKind::Failed, "E_FOLLOWER_TWIN", message)
        .help("take another id: the folder of a follower was copied, and each needs one of its own")
}

fn unremembered(error: &ReminderError) -> Problem {
    Problem::from_error(ProblemKind::Unavailable, "E_STORE", error)
        .help("`reconcile verify` says what is wrong; followers are remembered in the store")
}

fn check_id(id: &str) -> Result<(), Problem> {
    if is_id(id) {
        return Ok(());
    }
    let message = format!("`{}` is no id of a follower", id.escape_default());
    let help = "use lower-case letters, digits and `-`, at most 63, not starting with `-`";
    Err(Problem::new(ProblemKind::Invalid, "E_NAME", message).help(help))
}

#[cfg(test)]
mod tests {
    use holdfast_engine::{MemoryStore, Options, Revision, Txn};

    use super::*;

    const HEAD: u64 = 9;

    /// An engine with some commits, over a store that outlives it.
    fn engine(store: &MemoryStore) -> Engine {
        let engine = Engine::open(Box::new(store.clone()), Options::new(|| Timestamp::ZERO)).unwrap();
        while engine.head().revision < Revision::new(HEAD) {
            engine.commit(Txn::new().author("a").put(Key::new("org/acme/kv/a").unwrap(), *b"x")).unwrap();
        }
        engine
    }

    /// Both clocks, as long as nobody sets one.
    fn now(ms: i64) -> Now {
        set(ms, ms)
    }

    /// Makes access tokens, by their ids, that count for a minute.
    fn make_tokens(followers: &Followers, ids: impl IntoIterator<Item = String>) {
        let record = |id: &str| TokenRecord {
            name: format!("of-{id}"),
            role: crate::plane::Role::Read,
            reach: Reach::All,
            digest: holdfast_engine::Digest::of(id.as_bytes()),
            owner: "cli:maria".to_owned(),
            created_ms: 0,
            expires_ms: 60_000,
        };
        for id in ids {
            let key = Key::new(format!("{}{id}", access_token::KEYS)).unwrap();
            let bytes = serde_json::to_vec(&record(&id)).unwrap();
            followers.engine.commit(Txn::new().author("a").put(key, bytes)).unwrap();
        }
    }

    fn ms(duration: Duration) -> i64 {
        duration.as_millis().try_into().unwrap()
    }

    /// A moment after the clock was set.
    fn set(time_ms: i64, elapsed_ms: i64) -> Now {
        let elapsed = Duration::from_millis(elapsed_ms.try_into().unwrap());
        Now { time: Timestamp::from_millis(time_ms), elapsed }
    }

    /// A process that begins.
    fn begin(store: &MemoryStore, now_ms: i64) -> Followers {
        Followers::new(engine(store), now(now_ms))
    }

    fn report(owner: &str, id: &str, place: Option<&str>) -> FollowerReport {
        let (owner, id, place) = (owner.to_owned(), id.to_owned(), place.map(str::to_owned));
        FollowerReport { owner, reach: Reach::All, name: id.clone(), id, place, run: None }
    }

    fn at(followers: &Followers, revision: u64) -> String {
        ResumeToken { identity: followers.engine.identity(), revision: Revision::new(revision) }.to_string()
    }

    fn list(followers: &Followers, org: &str, now_ms: i64) -> Vec<FollowerInfo> {
        followers.list(&OrgId::new(org).unwrap(), now(now_ms)).unwrap()
    }

    fn leave(followers: &Followers, owner: &str, within: Option<Reach>, id: &str) {
        let removal = FollowerRemoval { owner: owner.to_owned(), within, id: id.to_owned() };
        followers.left(&removal, now(0)).unwrap();
    }

    #[test]
    fn a_follower_is_told_with_its_age_then_silent_then_forgotten() {
        let followers = begin(&MemoryStore::new(), 0);
        let tell = |place: &str, ms| followers.told(&report("", "a", Some(place)), now(ms)).unwrap();
        tell(&at(&followers, 7), 1_000);
        tell(&at(&followers, 7), 6_000);
        let shown = &list(&followers, "acme", 7_000)[0];
        assert_eq!((shown.revision, shown.state), (Some(Revision::new(7)), FollowerStanding::Following));
        assert_eq!(
            (shown.since.as_str(), shown.seen.as_deref()),
            ("1970-01-01T00:00:01.000Z", Some("1970-01-01T00:00:06.000Z"))
        );
        assert_eq!(shown.lags(Revision::new(7)), None);
        assert_eq!(
            shown.lags(Revision::new(8)).unwrap(),
            "follower `a` runs r7, as it told at 1970-01-01T00:00:06.000Z"
        );
        assert!(!shown.is_missing());
        let silent = &list(&followers, "acme", 6_000 + ms(SILENT_AFTER))[0];
        assert_eq!(silent.state, FollowerStanding::Silent);
        assert!(silent.lags(Revision::new(8)).unwrap().contains("heard of last") && silent.is_missing());
        assert!(list(&followers, "acme", 6_000 + ms(FORGOTTEN_AFTER)).is_empty());
        let elsewhere = "00000000-0000-0000-0000-000000000001:1:7".to_owned();
        for other in [elsewhere, at(&followers, HEAD + 1)] {
            tell(&other, 10_000);
            assert_eq!(list(&followers, "acme", 10_000)[0].revision, None, "{other} is no revision of this store");
        }
        leave(&followers, "", None, "a");
        assert!(list(&followers, "acme", 10_000).is_empty());
    }

    #[test]
    fn p4_a_clock_that_is_set_makes_no_follower_gone_and_none_that_is_gone_alive() {
        let (store, org) = (MemoryStore::new(), OrgId::new("acme").unwrap());
        let followers = begin(&store, 0);
        let day = 24 * 60 * 60 * 1000;
        followers.told(&report("", "a", Some(&at(&followers, 7))), set(day, 1_000)).unwrap();
        let stands = |time, elapsed| followers.list(&org, set(time, elapsed)).unwrap().first().map(|info| info.state);
        assert_eq!(stands(2 * day, 2_000), Some(FollowerStanding::Following), "the clock was set forward");
        let (silent, forgotten) = (1_000 + ms(SILENT_AFTER), 1_000 + ms(FORGOTTEN_AFTER));
        assert_eq!(stands(0, silent), Some(FollowerStanding::Silent), "it was set back");
        assert_eq!(stands(2 * day, forgotten - 1), Some(FollowerStanding::Silent));
        assert_eq!(list(&begin(&store, 2 * day), "acme", 2 * day).len(), 1, "the store remembers it");
        assert_eq!(stands(0, forgotten), None);
    }

    #[test]
    fn p4_who_was_known_before_a_restart_is_awaited_until_it_tells_or_leaves_or_is_forgotten() {
        let store = MemoryStore::new();
        let first = begin(&store, 0);
        for id in ["back", "dead", "left", "taken-off"] {
            first.told(&report("", id, Some(&at(&first, HEAD))), now(1)).unwrap();
        }
        leave(&first, "", None, "left");
        drop(first);

        let began = 1_000_000_000;
        let second = begin(&store, began);
        let names = |found: &[FollowerInfo]| found.iter().map(|info| info.id.clone()).collect::<Vec<_>>();
        let shown = list(&second, "acme", began);
        assert_eq!(names(&shown), ["back", "dead", "taken-off"], "however long it was away itself");
        for info in &shown {
            assert_eq!((info.state, info.revision, &info.seen), (FollowerStanding::Awaited, None, &None));
            assert!(info.is_missing() && info.lags(Revision::new(1)).unwrap().contains("not heard of since"));
        }
        leave(&second, "", Some(Reach::All), "taken-off");
        second.told(&report("", "back", Some(&at(&second, HEAD))), now(began + 5)).unwrap();
        let shown = list(&second, "acme", began + 6);
        let back = (shown[0].lags(Revision::new(HEAD)), shown[0].state, shown[0].seen.is_some());
        assert_eq!(
            (back, names(&shown)),
            ((None, FollowerStanding::Following, true), vec!["back".into(), "dead".into()])
        );
        assert_eq!(shown[1].state, FollowerStanding::Awaited);
        let later = began + ms(FORGOTTEN_AFTER);
        assert_eq!(names(&list(&second, "acme", later)), ["back"]);
        drop(second);
        assert_eq!(names(&list(&begin(&store, later), "acme", later)), ["back"], "the store forgot it too");
    }

    #[test]
    fn p12_a_follower_is_shown_to_its_organisations_and_taken_off_by_its_owner_or_who_is_over_all_of_it() {
        let store = MemoryStore::new();
        let followers = begin(&store, 0);
        make_tokens(&followers, ["one", "two", "three"].map(str::to_owned));
        let now = now(1);
        let reach = |org: &str| Reach::one(OrgId::new(org).unwrap());
        let of = |owner: &str, org: &str, revision: u64| FollowerReport {
            reach: reach(org),
            ..report(owner, "same", Some(&at(&followers, revision)))
        };
        let tell = || {
            followers.told(&of("one", "acme", 3), now).unwrap();
            followers.told(&of("two", "other", 4), now).unwrap();
        };
        tell();
        let revisions =
            |org| list(&followers, org, 1).iter().map(|info| info.revision.unwrap().get()).collect::<Vec<_>>();
        assert_eq!((revisions("acme"), revisions("other"), revisions("third")), (vec![3], vec![4], vec![]));
        leave(&followers, "one", None, "same");
        assert_eq!((revisions("acme"), revisions("other")), (vec![], vec![4]));
        tell();
        leave(&followers, "three", None, "same");
        leave(&followers, "three", Some(reach("third")), "same");
        assert_eq!((revisions("acme"), revisions("other")), (vec![3], vec![4]), "nobody touches another's");
        leave(&followers, "three", Some(reach("other")), "same");
        assert_eq!((revisions("acme"), revisions("other")), (vec![3], vec![]));
        // Who it is for is remembered.
        let again = begin(&store, 2);
        assert_eq!((list(&again, "acme", 2).len(), list(&again, "other", 2).len()), (1, 0));
    }

    #[test]
    fn one_that_comes_back_with_another_token_is_not_waited_for_under_the_one_that_counts_no_more() {
        let store = MemoryStore::new();
        let followers = begin(&store, 0);
        make_tokens(&followers, ["before", "after"].map(str::to_owned));
        let tell = |owner: &str| followers.told(&report(owner, "a", Some(&at(&followers, 3))), now(1)).unwrap();
        let tokens = |now_ms| {
            let list = list(&followers, "acme", now_ms).into_iter();
            list.map(|info| info.token.unwrap_or("socket".to_owned())).collect::<Vec<_>>()
        };
        ["before", "after", ""].into_iter().for_each(tell);
        assert_eq!(tokens(2), ["socket", "of-after", "of-before"], "both may live");
        let key = Key::new(format!("{}before", access_token::KEYS)).unwrap();
        followers.engine.commit(Txn::new().author("a").delete(key)).unwrap();
        assert_eq!(tokens(2), ["socket", "of-after"], "it was revoked");
        assert_eq!(tokens(60_000), ["socket"], "it expired");
        drop(followers);
        assert_eq!(list(&begin(&store, 3), "acme", 3).len(), 1, "the store forgot them too");
    }

    #[test]
    fn p4_two_that_run_at_once_under_one_id_do_not_pass_for_one_and_a_restart_is_none() {
        let followers = begin(&MemoryStore::new(), 0);
        let tell = |run: &str| {
            let told = FollowerReport { run: Some(run.to_owned()), ..report("", "a", Some(&at(&followers, 3))) };
            followers.told(&told, now(0)).map_err(|problem| problem.code)
        };
        let twin: Result<(), String> = Err("E_FOLLOWER_TWIN".to_owned());
        // Killed and started again, twice.
        assert_eq!(["one", "one", "two", "two", "three", "three"].map(tell), [const { Ok(()) }; 6]);
        assert_eq!(tell("two"), twin.clone(), "it lives after all");
        assert_eq!(tell("one"), twin.clone(), "three of them as well");
        assert_eq!((tell("three"), tell("two")), (Ok(()), twin));
        assert_eq!(list(&followers, "acme", 1).len(), 1);
    }

    #[test]
    fn the_table_is_bounded_for_each_owner_and_in_all() {
        let followers = begin(&MemoryStore::new(), 0);
        let mut refused = 0;
        let owners = 0..FOLLOWERS_MAX / OWNER_FOLLOWERS_MAX + 1;
        make_tokens(&followers, owners.clone().map(|owner| owner.to_string()));
        for owner in owners {
            for number in 0..=OWNER_FOLLOWERS_MAX {
                let told = followers.told(&report(&owner.to_string(), &format!("f{number}"), None), now(0));
                refused += usize::from(told.is_err_and(|problem| problem.code == "E_TOO_MANY"));
            }
        }
        assert_eq!(list(&followers, "acme", 0).len(), FOLLOWERS_MAX);
        assert_eq!(refused, FOLLOWERS_MAX / OWNER_FOLLOWERS_MAX + OWNER_FOLLOWERS_MAX + 1);
        for (id, name, place) in
            [("A", "a", None), ("", "a", None), ("a", "", None), ("a", "a\n", None), ("a", "a", Some("x"))]
        {
            let report = FollowerReport { name: name.to_owned(), ..report("", id, place) };
            assert!(followers.told(&report, now(0)).is_err(), "{report:?}");
        }
    }
}
