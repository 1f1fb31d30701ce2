//! The server's promises, over real sockets on the real plane.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod client;
mod follower;
mod gateway;
mod hammer;
mod input;
mod limits;
mod logs;
mod mounting;
mod openapi;
mod routes;
mod support;
mod watches;
mod workers;
