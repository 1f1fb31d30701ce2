//! Manifest, desired state, diff, plan, apply, live state, session: the reconciler.
//!
//! The data's way can be read off the module names. Pure up to `apply`: no clock, no environment, and no reading or writing
//! beyond `manifest`. Never here: a terminal, HTTP, or agents outside `agents/`.

pub mod agents;
pub mod desired;
pub mod diagnostic;
pub mod kind;
pub mod manifest;
pub mod resource;
pub mod value;
