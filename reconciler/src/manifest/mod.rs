//! Manifests: from a tree of files to the desired state, with every mistake at its place.
//!
//! `tree.rs` and `folder.rs` give the files, `toml.rs` makes a tree with places of one, `grammar.rs` and `shape.rs` say what
//! is allowed and `check.rs` compares, `agents.rs` and its peers make resources, `findings.rs` collects what is wrong.
//! Loading is a pure function of the files and the environment. Never here: what is live, and the store.

mod adopt;
mod agents;
mod array_edit;
mod check;
mod connectors;
mod context;
mod dotenv;
mod draft;
mod findings;
mod fingerprint;
mod folder;
mod grammar;
mod grammar_yaml;
mod guards;
mod include;
mod limits;
mod line_ends;
mod load;
mod mcp;
mod models;
mod moved;
mod network;
mod node;
mod own_kinds;
mod own_resources;
mod platforms;
mod project;
mod reference;
mod reread;
mod schedule;
mod schema;
mod shape;
mod skills;
mod source;
pub(crate) mod spelled;
mod toml;
mod tree;
mod value_edit;
mod yaml;

pub use adopt::{AdoptError, Adoption, FileEdit};
pub use dotenv::{environment, parse_env};
pub use findings::CODES;
pub use folder::Folder;
pub use load::{InHeader, Loaded, declared_name, load, org, source_name};
pub use reference::Environment;
pub use reread::reread;
pub use schema::{Grammar, schema};
pub use tree::{FileTree, Item, ItemKind, MemoryTree, ReadError};
