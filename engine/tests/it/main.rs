//! The integration tests of the engine, in one binary; each module says which promises it holds.

mod conformance;
mod support;
