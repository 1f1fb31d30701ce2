//! Manifest, desired state, diff, plan, apply, live state, session: the reconciler.
//!
//! The data's way can be read off the module names. Pure up to `apply`: no clock, no environment, and no reading or writing
//! beyond `manifest`. Never here: a terminal, HTTP, or agents outside `agents/`.

pub mod access_token;
pub mod actuation;
pub mod actuator;
pub mod addresses;
pub mod against;
pub mod agents;
mod apply;
pub mod attempts;
pub mod backoff;
mod commits;
mod control;
pub mod controller;
pub mod desired;
pub mod diagnostic;
pub mod diff;
pub mod edit;
pub mod effect;
mod embedded;
mod encoded;
pub mod error;
pub mod follow;
mod followers;
mod freshness;
mod ground;
pub mod guard;
mod held;
pub mod hold;
pub mod kept_places;
pub mod keyfile;
pub mod kind;
pub mod kind_record;
mod leaves;
mod loops;
pub mod manifest;
mod moves;
mod naming;
mod open_sessions;
pub mod own_kind;
pub mod pasted;
pub mod places;
pub mod placing;
pub mod plan;
pub mod plane;
pub mod planner;
pub mod raw_value;
mod record_changes;
pub mod resource;
mod rollback;
pub mod seal;
pub mod secret;
pub mod session;
pub mod source;
pub mod suggest;
pub mod take;
pub mod unseen;
pub mod value;
pub mod vault;
mod veil;
pub mod watch;
pub mod worker_token;

pub use embedded::{Elapsed, Plane, PlaneOptions, Upstream};
