//! The integration tests of the engine, in one binary; each module says which promises it holds.

mod backup;
mod child;
mod conformance;
mod crash;
mod damage;
mod durability;
mod golden;
mod past;
mod refusals;
mod shared;
mod support;
mod watch;
