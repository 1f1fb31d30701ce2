//! Revisions, snapshots and watches over a durable store.
