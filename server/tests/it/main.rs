//! The server's promises, over real sockets on the real plane.

mod client;
mod gateway;
mod input;
mod limits;
mod mounting;
mod routes;
mod support;
