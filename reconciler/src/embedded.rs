//! The control plane in this process: an engine, its master key and the environment of the host.
//!
//! Answers what [`ControlPlane`] asks and opens sessions at in-process speed. Never here: how plans are made, credentials
//! chosen or records sealed; and no clock, environment or terminal of its own: the host passes them in.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use holdfast_engine::{AtError, Clock, Engine, Revision, Snapshot, Timestamp};

use crate::actuation::{self, Told};
use crate::agents::context::SessionContext;
use crate::agents::kinds;
use crate::agents::profile;
use crate::agents::resolver::{Place, Resolution, SystemEnvironment, World, resolve};
use crate::agents::session::{AgentResolver, asked};
use crate::control::Standings;
use crate::desired::SecretText;
use crate::error::{Problem, ProblemKind};
use crate::followers::{Followers, Now};
use crate::keyfile::{KeySource, Keys};
use crate::kind::Kinds;
use crate::kind_record;
use crate::loops::Loops;
use crate::open_sessions::OpenSessions;
use crate::plane::{ControlPlane, Holder, Moment, Retention, SessionRequest};
use crate::planner;
use crate::resource::{Address, OrgId, ResourceName, keys};
use crate::secret::KeyRing;
use crate::session::Session;
use crate::vault::{EngineVault, PastVault, Vault};
use crate::watch::Watchers;

mod planning;

/// How much time went by since some moment, by a clock that nobody sets, such as that of [`std::time::Instant`].
pub type Elapsed = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What the host passes in.
pub struct PlaneOptions {
    /// Where the master key is.
    pub keys: KeySource,
    /// The environment of the host, if sessions run in it.
    pub system: SystemEnvironment,
    /// The clock; the engine has its own.
    pub clock: Clock,
    /// What ages are measured by, of followers that tell nothing any more: the clock may be set meanwhile.
    pub elapsed: Elapsed,
    /// The process that holds the store, if it is one that stays.
    pub holder: Option<Holder>,
}

/// Where the state of a replica comes from.
pub trait Upstream: Send + Sync {
    /// Waits, but not for long, until the replica has what its source had when this was called. Where the source cannot be reached
    /// the replica goes on with what it has.
    fn catch_up(&self);
}

/// The control plane in this process. Clones share it.
#[derive(Clone)]
pub struct Plane(Arc<Inner>);

struct Inner {
    engine: Engine,
    keys: Keys,
    system: SystemEnvironment,
    clock: Clock,
    elapsed: Elapsed,
    holder: Option<Holder>,
    kinds: Kinds,
    open: OpenSessions,
    followers: Followers,
    /// What a replica asks before it gives out a value.
    upstream: OnceLock<Arc<dyn Upstream>>,
    /// One apply at a time: two at once would only make each other plan anew.
    applying: Mutex<()>,
    /// How much of the past the host keeps by itself.
    retention: Mutex<Option<Retention>>,
    loops: Loops,
    standings: Standings,
    watchers: Watchers,
    /// What makes effects outside, if something does.
    actuation: RwLock<Option<Arc<actuation::Shared>>>,
}

impl fmt::Debug for Plane {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Plane").field("engine", &self.0.engine).finish_non_exhaustive()
    }
}

impl Plane {
    /// Takes an engine and what the host passes in.
    pub fn new(engine: Engine, options: PlaneOptions) -> Self {
        let PlaneOptions { keys, system, clock, elapsed, holder } = options;
        let keys = Keys::new(keys);
        let (open, applying, retention) = (OpenSessions::default(), Mutex::new(()), Mutex::new(None));
        let (kinds, loops) = (kinds::kinds(), Loops::default());
        let (standings, actuation) = (Standings::default(), RwLock::new(None));
        let followers = Followers::new(engine.clone(), Now { time: clock(), elapsed: elapsed() });
        if holder.is_some() {
            followers.recall();
        }
        Self(Arc::new(Inner {
            engine,
            keys,
            system,
            clock,
            elapsed,
            holder,
            kinds,
            open,
            followers,
            upstream: OnceLock::new(),
            applying,
            retention,
            loops,
            standings,
            watchers: Watchers::default(),
            actuation,
        }))
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Opens a session of an agent on the newest revision.
    ///
    /// # Errors
    /// The resolution's, with the evidence of each step.
    pub fn session(&self, org: &OrgId, agent: &str, user: Option<&str>) -> Result<Session, Problem> {
        let (named, agent, user) = (Some(org.clone()), agent.to_owned(), user.map(str::to_owned));
        self.open_in(org, SessionRequest { org: named, agent, user, ..SessionRequest::default() })
    }

    /// Opens a session as the request says, on the newest revision.
    ///
    /// # Errors
    /// The resolution's, with the evidence of each step.
    pub fn open(&self, request: &SessionRequest) -> Result<Session, Problem> {
        let org = self.org(request.org.as_ref(), &self.0.engine.snapshot());
        self.open_in(&org, SessionRequest { org: Some(org.clone()), ..request.clone() })
    }

    fn open_in(&self, org: &OrgId, request: SessionRequest) -> Result<Session, Problem> {
        self.session_with(AgentResolver::new(self.clone()), org, request)
    }

    /// Says where the state of its replica comes from; who said so first counts.
    pub fn follows(&self, upstream: Arc<dyn Upstream>) {
        let _ = self.0.upstream.set(upstream);
    }

    /// Reads the master key again where it comes from, as after it was rotated elsewhere.
    ///
    /// # Errors
    /// A key that is there and cannot be used.
    pub fn read_keys_again(&self) -> Result<(), Problem> {
        self.0.keys.read_again().map(drop).map_err(Problem::from)
    }

    /// Makes the head that a value is fetched from as new as that of the source, if there is one.
    pub(crate) fn catch_up(&self) {
        if let Some(upstream) = self.0.upstream.get() {
            upstream.catch_up();
        }
    }

    pub(crate) fn followers(&self) -> &Followers {
        &self.0.followers
    }

    /// The value at a place that the resolver found.
    pub(crate) fn value(&self, snapshot: &Snapshot, org: &OrgId, place: &Place) -> Option<SecretText> {
        let (address, key, path) = match place {
            Place::Profile(address, scope) => (address.clone(), profile::key(org, address), scope.as_str()),
            Place::Secret(name) => {
                let address = Address::new(kinds::secret_kind(), ResourceName::new(name).ok()?);
                let key = keys::live(org, &address);
                (address, key, kinds::SECRET_VALUE)
            }
            Place::Variable(name) => return self.variable(name),
            Place::Ephemeral(_) => return None,
        };
        let mut values = self.vault().ok()?.open(org, &address, snapshot.get(&key)?).ok()?;
        values.remove(path)
    }

    fn variable(&self, name: &str) -> Option<SecretText> {
        match &self.0.system {
            SystemEnvironment::Known(variables) => variables.get(name).cloned().map(SecretText::new),
            SystemEnvironment::NotKnown => None,
        }
    }

    /// Says how much of the past the host keeps, for who asks for the state of the store.
    pub fn keeps(&self, retention: Retention) {
        *self.0.retention.lock().unwrap_or_else(PoisonError::into_inner) = Some(retention);
    }

    pub(crate) fn loops(&self) -> &Loops {
        &self.0.loops
    }

    pub(crate) fn standings(&self) -> &Standings {
        &self.0.standings
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.0.watchers
    }

    /// Whether the process stays after what it was asked first.
    pub(crate) fn stays(&self) -> bool {
        self.0.holder.is_some()
    }

    /// Makes every loop over this plane end after the turn that it is in; see [`crate::controller::run`].
    pub fn stop_loops(&self) {
        self.0.loops.stop();
    }

    /// Takes what makes effects, unless something does already.
    pub(crate) fn takes_actuation(&self, shared: &Arc<actuation::Shared>) -> Result<(), Problem> {
        let mut current = self.0.actuation.write().unwrap_or_else(PoisonError::into_inner);
        if current.is_some() {
            let message = "this plane has actuators already";
            return Err(Problem::new(ProblemKind::Conflict, "E_ACTUATOR", message).help("give all of them in one call"));
        }
        *current = Some(Arc::clone(shared));
        Ok(())
    }

    pub(crate) fn ends_actuation(&self, shared: &Arc<actuation::Shared>) {
        let mut current = self.0.actuation.write().unwrap_or_else(PoisonError::into_inner);
        current.take_if(|known| Arc::ptr_eq(known, shared));
    }

    /// How the resources of an organisation stand outside.
    pub(crate) fn told(&self, snapshot: &Snapshot, org: &OrgId) -> Told {
        match self.actuation() {
            Some(shared) => shared.told(snapshot, org),
            None => actuation::idle(self, snapshot, org),
        }
    }

    pub(crate) fn actuation(&self) -> Option<Arc<actuation::Shared>> {
        self.0.actuation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn retention(&self) -> Option<Retention> {
        *self.0.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The built-in kinds with those that the organisation has in a snapshot.
    pub(crate) fn kinds(&self, snapshot: &Snapshot, org: &OrgId) -> Result<Kinds, Problem> {
        kind_record::known(&self.0.kinds, snapshot, org)
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    /// The time of the wall, and the one that ages are measured by.
    pub(crate) fn both_clocks(&self) -> Now {
        Now { time: self.now(), elapsed: (self.0.elapsed)() }
    }

    /// The master key, if it is there.
    pub(crate) fn ring(&self) -> Result<Option<Arc<KeyRing>>, Problem> {
        Ok(self.0.keys.existing()?)
    }

    pub(crate) fn vault(&self) -> Result<EngineVault, Problem> {
        Ok(EngineVault::new(self.0.engine.clone(), self.0.keys.existing()?))
    }

    /// The organisation of a question that names none: the store's only one, else `default`.
    pub(crate) fn org(&self, named: Option<&OrgId>, snapshot: &Snapshot) -> OrgId {
        if let Some(org) = named {
            return org.clone();
        }
        match planner::organisations(snapshot).as_slice() {
            [only] => only.clone(),
            _ => OrgId::default(),
        }
    }

    /// What a resolution reads, with the environment and time of this process.
    pub(crate) fn world<'w>(&'w self, snapshot: &'w Snapshot, org: &'w OrgId, vault: &'w dyn Vault) -> World<'w> {
        World { snapshot, org, vault, system: &self.0.system, now: self.now() }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// The state at a point in the past.
    pub(crate) fn snapshot_of(&self, at: Option<Moment>) -> Result<Snapshot, Problem> {
        let revision = match at {
            None => None,
            Some(Moment::Revision(revision)) => Some(revision),
            Some(time @ Moment::Time(_)) => Some(self.head_at(time)?.revision),
        };
        self.snapshot_at(revision)
    }

    pub(crate) fn snapshot_at(&self, at: Option<Revision>) -> Result<Snapshot, Problem> {
        match at {
            Some(revision) => self.0.engine.at(revision).map_err(at_problem),
            None => Ok(self.0.engine.snapshot()),
        }
    }

    pub(crate) fn resolve(
        &self,
        snapshot: &Snapshot,
        org: &OrgId,
        request: &SessionRequest,
    ) -> Result<Resolution, Problem> {
        let past = snapshot.revision() != self.0.engine.head().revision;
        let vault = self.vault();
        let vault: &dyn Vault = match &vault {
            _ if past => &PastVault,
            Ok(vault) => vault,
            Err(problem) => return Err(problem.clone()),
        };
        let now = match request.at {
            Some(Moment::Time(time)) => time,
            Some(Moment::Revision(_)) | None if past => snapshot.head().time,
            Some(Moment::Revision(_)) | None => self.now(),
        };
        let world = World { snapshot, org, vault, system: &self.0.system, now };
        Ok(resolve(world, asked(request)))
    }

    pub(crate) fn applying(&self) -> MutexGuard<'_, ()> {
        self.0.applying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open_sessions(&self) -> &OpenSessions {
        &self.0.open
    }

    pub(crate) fn system(&self) -> &SystemEnvironment {
        &self.0.system
    }

    pub(crate) fn holder(&self) -> Option<Holder> {
        self.0.holder.clone()
    }
}

/// One line for each session that opens.
pub(crate) fn log_session(context: &SessionContext) {
    let chosen = context.credentials.iter().find(|credential| credential.provider == context.model.provider);
    tracing::info!(
        org = %context.org,
        agent = context.agent,
        provider = context.model.provider,
        model = context.model.id,
        revision = %context.revision,
        credential = chosen.map_or("none", |credential| credential.source.as_text()),
        "session opened"
    );
}

/// A revision that cannot be read, as a face shows it.
pub(crate) fn at_problem(error: AtError) -> Problem {
    let (kind, code, help) = match &error {
        AtError::Compacted { .. } => (ProblemKind::Gone, "E_COMPACTED", "ask for a revision that is still kept"),
        AtError::Future { .. } => {
            (ProblemKind::NotFound, "E_FUTURE", "the newest revision is shown by `reconcile status`")
        }
        _ => (ProblemKind::Internal, "E_STORE", "run `reconcile verify`"),
    };
    Problem::from_error(kind, code, &error).help(help)
}

/// A time in RFC 3339, in UTC and to the millisecond.
pub fn rfc3339(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.as_millis()) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => "unknown".to_owned(),
    }
}
