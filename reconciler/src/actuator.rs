//! Actuators: code of an embedder that makes resources of one kind real outside the store, such as files, accounts or machines.
//!
//! An actuator only does what it is told for one resource. When, in which order, how often and whether it is tried again is the
//! controller's (`actuation.rs`). Never here: a real actuator; they belong to the programs that have something to make.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_engine::{Digest, Revision};

use crate::resource::{Address, KindName, OrgId};
use crate::secret::SecretValues;
use crate::value::{Fields, Value, equal_field};

/// Makes the resources of one kind real.
///
/// # Flow
/// For one resource at most one call runs at a time; different resources have their calls at the same time, on threads of the
/// controller, so a call may block. It should end within minutes and look at [`Errand::cancel`] meanwhile: a stop of the
/// controller waits for it.
///
/// # Guarantees
/// Before the first `make` of a resource it is durable in the store that something of it may exist. Until `remove` has succeeded
/// that is not forgotten, whatever is killed when. What is committed is made at least once; of several commits at least the
/// newest is, and never an older one after a newer one.
///
/// # Assumptions
/// `make` and `remove` are idempotent: after a crash they are called again for what they did already. `remove` of what is not there
/// succeeds.
pub trait Actuator: Send + Sync {
    /// The kind whose resources it makes.
    fn kind(&self) -> &KindName;

    /// The resources that must be real before this one, and may go only after it: what it refers to. Those of kinds without an
    /// actuator count as real if they are live. The answer depends on nothing but the resource.
    fn needs(&self, wanted: &Wanted) -> Vec<Address> {
        let _ = wanted;
        Vec::new()
    }

    /// What is really there. [`Observed::Unknown`] if that cannot be told: then what was made counts as being there.
    ///
    /// # Errors
    /// If it cannot be told now.
    fn observe(&self, errand: &Errand) -> Result<Observed, ActuatorError>;

    /// Makes what is there be as the resource says, whether something is there or not.
    ///
    /// # Errors
    /// Why it is not so; whether trying again may help.
    fn make(&self, errand: &Errand, wanted: &Wanted) -> Result<(), ActuatorError>;

    /// Removes what is there.
    ///
    /// # Errors
    /// Why it may still be there; whether trying again may help.
    fn remove(&self, errand: &Errand) -> Result<(), ActuatorError>;
}

/// One call of an actuator: what it is about.
#[derive(Clone, Debug)]
pub struct Errand {
    /// The organisation.
    pub org: OrgId,
    /// The resource.
    pub address: Address,
    /// The newest revision of the store when it was decided to call.
    pub revision: Revision,
    /// Counts the calls since something last succeeded for the resource, from 1.
    pub attempt: u32,
    /// Whether to give up.
    pub cancel: Cancel,
}

/// Whether to give up: set once the controller is to stop. A call that gives up returns a transient error.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Whether to give up.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A resource as it is to be.
#[derive(Debug)]
pub struct Wanted {
    /// The organisation.
    pub org: OrgId,
    /// The resource.
    pub address: Address,
    /// The revision that last touched it.
    pub revision: Revision,
    /// Its fields, without secret values.
    pub fields: Fields,
    /// The keyed tag of each secret value, by the text form of its path.
    pub tags: BTreeMap<String, String>,
    /// Its secret values, by the text form of their path. They are not kept after the call.
    pub secrets: SecretValues,
}

impl Wanted {
    /// The digest of what is to be there: fields and tags. An actuator that keeps it beside what it makes can give it back from
    /// [`Actuator::observe`].
    pub fn digest(&self) -> Digest {
        let encoded = [
            serde_json::to_vec(&self.fields).expect("fields are always JSON"),
            serde_json::to_vec(&self.tags).expect("tags are always JSON"),
        ];
        Digest::of_parts("holdfast/wanted/1", &[&encoded[0], &encoded[1]])
    }

    /// How what was observed differs from what is to be there, in one line; nothing if it does not, or if that is not known.
    pub(crate) fn differs(&self, observed: &Observed) -> Option<String> {
        match observed {
            Observed::Unknown => None,
            Observed::Absent => Some("it is not there".to_owned()),
            Observed::Digest(digest) => {
                (*digest != self.digest()).then(|| "what is there is something else".to_owned())
            }
            Observed::Fields(found) => {
                let differs = |(name, value): &(&String, &Value)| !equal_field(self.fields.get(*name), Some(*value));
                let other: Vec<&str> = found.iter().filter(differs).map(|(name, _)| name.as_str()).collect();
                // Names only: a value may be something that nobody meant to show.
                (!other.is_empty()).then(|| format!("`{}` is not as declared there", other.join("`, `")))
            }
        }
    }
}

/// What an actuator found.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed {
    /// Nothing is there.
    Absent,
    /// Something is there that has this digest; see [`Wanted::digest`].
    Digest(Digest),
    /// Something is there that has these fields, null where it has none; of fields that are not named nothing is known.
    Fields(Fields),
    /// That cannot be told.
    Unknown,
}

/// Why an actuator did not do what it was told. The text is shown to people: it must hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActuatorError {
    /// It may work another time: it is tried again after a while, less and less often.
    Transient {
        /// Why, in one line.
        message: String,
    },
    /// It cannot work until somebody changes something: it is tried again when the resource changes, and at each resync.
    Stalled {
        /// Why, in one word for programs, as in `denied`.
        reason: String,
        /// Why, in one line for people.
        message: String,
    },
}

impl ActuatorError {
    /// An error that may not come again.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient { message: message.into() }
    }

    /// An error that comes again until somebody changes something.
    pub fn stalled(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Stalled { reason: reason.into(), message: message.into() }
    }
}

impl fmt::Display for ActuatorError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient { message } | Self::Stalled { message, .. } => out.write_str(message),
        }
    }
}

impl std::error::Error for ActuatorError {}
