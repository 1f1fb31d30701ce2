//! The integration tests of the engine, in one binary; each module says which promises it holds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod backup;
mod before;
mod child;
mod conformance;
mod crash;
mod cut;
mod damage;
mod durability;
#[cfg(debug_assertions)]
mod failpoints;
mod faults;
mod golden;
mod group;
mod limits;
mod linear;
mod model;
mod past;
mod power;
mod refusals;
mod replica;
mod shared;
mod space;
mod support;
mod trace;
mod watch;
mod watched;
