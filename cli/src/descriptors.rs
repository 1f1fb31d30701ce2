//! How many files and connections a server may have open at once: the only user of `rustix` in the command.
//!
//! Never here: how many it serves (the server's limits).

use rustix::process::{Resource, getrlimit, setrlimit};

/// Beyond the connections: the store, its folder, manifests that are read.
const WANTED: u64 = 16_384;

/// Takes as many descriptors as the system lets this process have, as servers do: the usual limit is for programs that wait with
/// `select`. Fewer are no error: a connection too many then waits until another one ends.
pub(crate) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(WANTED, |most| most.min(WANTED));
    if limit.current.is_some_and(|current| current < most) {
        limit.current = Some(most);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "cannot raise the limit of open files");
        }
    }
}
