//! What sessions get, looked up one by one, held against what a plan said of them.
//!
//! Every agent is looked up with and without each user, whether or not the plan looked at it: so this is also the proof that a
//! plan which resolves only what its changes can touch misses nothing.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_reconciler::Plane;
use holdfast_reconciler::plan::{AgentChange, Plan, SessionChange};
use holdfast_reconciler::plane::{ControlPlane, SessionRequest};

use super::grown::{AGENTS, USERS};
use super::met::Met;

/// What was found by looking at every agent.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    /// What its sessions get, without a user and with each.
    got: BTreeMap<(&'static str, Option<&'static str>), Got>,
    /// The agents whose own record is live: one that sessions know no more is not removed, but broken.
    live: BTreeSet<&'static str>,
}

/// A model, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Got {
    Model(String),
    Error(String),
    Unknown,
}

impl Got {
    fn model(&self) -> Option<&str> {
        match self {
            Self::Model(model) => Some(model),
            Self::Error(_) | Self::Unknown => None,
        }
    }
}

pub(super) fn look(plane: &Plane, met: &mut Met) -> Looked {
    let users = || std::iter::once(None).chain(USERS.map(Some));
    let all = AGENTS.into_iter().flat_map(|agent| users().map(move |user| (agent, user)));
    let mut got = |(agent, user): (&'static str, Option<&'static str>)| {
        let user = user.map(str::to_owned);
        let asked = SessionRequest { agent: agent.to_owned(), user, ..SessionRequest::default() };
        let found = plane.look(&asked);
        met.count_session(found.as_ref());
        match found {
            Ok(context) => Got::Model(format!("{}/{}", context.model.provider, context.model.id)),
            Err(problem) if problem.code == "E_UNKNOWN_AGENT" => Got::Unknown,
            Err(problem) => Got::Error(problem.message),
        }
    };
    let got = all.map(|who| (who, got(who))).collect();
    let is_live = |agent: &&'static str| plane.resource(None, &format!("agent/{agent}").parse().unwrap(), None).is_ok();
    Looked { got, live: AGENTS.into_iter().filter(is_live).collect() }
}

pub(super) fn check(plan: &Plan, before: &Looked, after: &Looked, at: &str) {
    for agent in AGENTS {
        let rows: Vec<&SessionChange> = plan.sessions.iter().filter(|session| session.agent == agent).collect();
        let told = || format!("{at}: {agent}\nrows {rows:#?}\nbefore {before:#?}\nafter {after:#?}");
        let (old, new) = (&before.got[&(agent, None)], &after.got[&(agent, None)]);
        let broken = *new == Got::Unknown && before.live.contains(agent) && after.live.contains(agent);
        let shared: Vec<_> = rows.iter().filter(|row| row.user.is_none()).collect();
        assert!(shared.len() <= 1, "{}", told());
        match shared.first() {
            None => {
                assert_eq!(old.model(), new.model(), "{}", told());
                assert_eq!(*old == Got::Unknown, *new == Got::Unknown, "{}", told());
            }
            Some(row) => shared_row(row, (old, new), broken, &told),
        }
        let own = |user: &&'static str| {
            let pair = (&before.got[&(agent, Some(*user))], &after.got[&(agent, Some(*user))]);
            let differs = pair.0.model() != pair.1.model();
            (differs && (pair.0.model(), pair.1.model()) != (old.model(), new.model())).then_some(pair)
        };
        let mut foreseen: BTreeMap<(Option<String>, Option<String>), u64> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.user.is_some()) {
            let ends = (row.before.as_ref().map(ToString::to_string), row.after.as_ref().map(ToString::to_string));
            assert_eq!(
                row.breaks,
                ends.0.is_some() && ends.1.is_none() && (*new != Got::Unknown || broken),
                "{}",
                told()
            );
            *foreseen.entry(ends).or_default() += row.users.unwrap_or(1);
        }
        let mut real: BTreeMap<(Option<String>, Option<String>), u64> = BTreeMap::new();
        for (old, new) in USERS.iter().filter_map(own) {
            *real.entry((old.model().map(str::to_owned), new.model().map(str::to_owned))).or_default() += 1;
        }
        assert_eq!(foreseen, real, "{}", told());
    }
}

fn shared_row(row: &SessionChange, (old, new): (&Got, &Got), broken: bool, told: &impl Fn() -> String) {
    let ends = (row.before.as_ref().map(ToString::to_string), row.after.as_ref().map(ToString::to_string));
    assert_eq!((ends.0.as_deref(), ends.1.as_deref()), (old.model(), new.model()), "{}", told());
    let change = match (old, new) {
        (Got::Unknown, _) => AgentChange::New,
        (_, Got::Unknown) if !broken => AgentChange::Removed,
        (_, _) => AgentChange::Kept,
    };
    assert_eq!(row.agent_change, change, "{}", told());
    assert_eq!(row.breaks, old.model().is_some() && (broken || matches!(new, Got::Error(_))), "{}", told());
    match (&row.error, new) {
        (Some(error), Got::Error(real)) => assert_eq!(error, real, "{}", told()),
        (Some(error), Got::Unknown) if broken => assert!(error.starts_with("unknown agent"), "{}", told()),
        // Users have credentials of their own, so that the lack of a shared one is no failure.
        (None, Got::Error(_)) => assert!(row.users.is_some() && !row.breaks, "{}", told()),
        (None, Got::Model(_) | Got::Unknown) => {}
        (Some(_), Got::Model(_) | Got::Unknown) => panic!("{}", told()),
    }
}
