//! What sessions get, looked up one by one, held against what a plan said of them.
//!
//! Every agent is looked up with and without each user, whether or not the plan looked at it: so this is also the proof that a
//! plan which resolves only what its changes can touch misses nothing.

use std::collections::BTreeMap;

use holdfast_reconciler::Plane;
use holdfast_reconciler::plan::{AgentChange, Plan, SessionChange};
use holdfast_reconciler::plane::{ControlPlane, SessionRequest};

use super::grown::{AGENTS, USERS};
use super::met::Met;

/// What each agent's sessions get, without a user and with each.
pub(super) type Looked = BTreeMap<(&'static str, Option<&'static str>), Got>;

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
    all.map(|who| (who, got(who))).collect()
}

pub(super) fn check(plan: &Plan, before: &Looked, after: &Looked, at: &str) {
    for agent in AGENTS {
        let rows: Vec<&SessionChange> = plan.sessions.iter().filter(|session| session.agent == agent).collect();
        let told = || format!("{at}: {agent}\nrows {rows:#?}\nbefore {before:#?}\nafter {after:#?}");
        let (old, new) = (&before[&(agent, None)], &after[&(agent, None)]);
        let shared: Vec<_> = rows.iter().filter(|row| row.user.is_none()).collect();
        assert!(shared.len() <= 1, "{}", told());
        match shared.first() {
            None => {
                assert_eq!(old.model(), new.model(), "{}", told());
                assert_eq!(*old == Got::Unknown, *new == Got::Unknown, "{}", told());
            }
            Some(row) => shared_row(row, (old, new), &told),
        }
        let own = |user: &&'static str| {
            let pair = (&before[&(agent, Some(*user))], &after[&(agent, Some(*user))]);
            let differs = pair.0.model() != pair.1.model();
            (differs && (pair.0.model(), pair.1.model()) != (old.model(), new.model())).then_some(pair)
        };
        let mut foreseen: BTreeMap<(Option<String>, Option<String>), u64> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.user.is_some()) {
            let ends = (row.before.as_ref().map(ToString::to_string), row.after.as_ref().map(ToString::to_string));
            assert_eq!(row.breaks, ends.0.is_some() && ends.1.is_none() && *new != Got::Unknown, "{}", told());
            *foreseen.entry(ends).or_default() += row.users.unwrap_or(1);
        }
        let mut real: BTreeMap<(Option<String>, Option<String>), u64> = BTreeMap::new();
        for (old, new) in USERS.iter().filter_map(own) {
            *real.entry((old.model().map(str::to_owned), new.model().map(str::to_owned))).or_default() += 1;
        }
        assert_eq!(foreseen, real, "{}", told());
    }
}

fn shared_row(row: &SessionChange, (old, new): (&Got, &Got), told: &impl Fn() -> String) {
    let ends = (row.before.as_ref().map(ToString::to_string), row.after.as_ref().map(ToString::to_string));
    assert_eq!((ends.0.as_deref(), ends.1.as_deref()), (old.model(), new.model()), "{}", told());
    let change = match (old, new) {
        (Got::Unknown, _) => AgentChange::New,
        (_, Got::Unknown) => AgentChange::Removed,
        (_, _) => AgentChange::Kept,
    };
    assert_eq!(row.agent_change, change, "{}", told());
    assert_eq!(row.breaks, old.model().is_some() && matches!(new, Got::Error(_)), "{}", told());
    match (&row.error, new) {
        (Some(error), Got::Error(real)) => assert_eq!(error, real, "{}", told()),
        // Users have credentials of their own, so that the lack of a shared one is no failure.
        (None, Got::Error(_)) => assert!(row.users.is_some() && !row.breaks, "{}", told()),
        (None, Got::Model(_) | Got::Unknown) => {}
        (Some(_), Got::Model(_) | Got::Unknown) => panic!("{}", told()),
    }
}
