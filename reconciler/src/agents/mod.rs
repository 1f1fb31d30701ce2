//! The built-in domain: agents, their settings and credentials.
//!
//! `kinds.rs` lists its kinds, `catalogue.rs` its model providers, `resolver.rs` decides what a session gets. Its manifest
//! grammar lies in `manifest/`. Never here: planning, storage, HTTP or a terminal.

pub mod catalogue;
pub mod context;
mod credential;
pub mod evidence;
pub mod fields;
pub mod kinds;
pub(crate) mod moves;
pub(crate) mod platform;
pub mod profile;
pub(crate) mod references;
pub mod resolver;
pub mod session;
pub(crate) mod shapes;
pub(crate) mod users;
