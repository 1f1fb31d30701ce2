//! The HTTP face of a control plane, and its client.
//!
//! [`mount`] serves any [`ControlPlane`](holdfast_reconciler::plane::ControlPlane) on a Unix socket in its store's folder,
//! inside any tokio program. [`discover`] finds such a server, and [`Client`] is the same trait over that socket.
//! `docs/http.md` describes the routes.
//!
//! Never here: deciding anything that the plane decides, a terminal, or the environment.

mod access;
mod ask;
mod body;
mod call;
mod client;
mod declaring;
mod discovery;
mod endpoint;
mod event_wire;
mod events;
mod follow_wire;
mod follower;
mod gate;
pub mod limits;
mod listen;
mod metrics;
mod openapi;
mod problem;
mod protocol;
mod refusal;
mod router;
mod routes;
mod serve;
mod socket;
mod sse;
mod streaming;
mod strict;
mod tls;
mod transport;
mod users;
mod validity;
mod watching;
mod wire;

pub use client::Client;
pub use discovery::{Discovery, discover};
pub use event_wire::watch_document;
pub use follower::{Follower, FollowerOptions, FollowerState, is_followers};
pub use listen::{Listen, ListenError};
pub use problem::{PROBLEM_TYPE, ProblemBody, status};
pub use protocol::{
    AUTHOR_HEADER, CREATED_HEADER, PROTOCOL, PROTOCOL_HEADER, REQUEST_ID_HEADER, REVISION_HEADER, SCOPE_HEADER,
    TOKEN_HEADER, VERSION_HEADER,
};
pub use serve::{ServeOptions, ServerHandle, mount};
pub use socket::{MountError, SOCKET_NAME};
pub use tls::{TlsError, TlsIdentity, TlsTrust};
pub use users::user_name;
pub use validity::{Validity, WrongTime};
pub use wire::Hello;
