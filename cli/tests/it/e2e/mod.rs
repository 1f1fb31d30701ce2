//! End to end: the product's main job with real binaries on real sled folders, through a server and embedded.

mod bench;
mod crash;
mod crowd;
mod files;
mod followers;
mod full;
mod gateway;
mod history;
mod hunt;
mod keeping;
mod looping;
mod network;
mod profiles;
mod real;
mod refusals;
mod rotate;
mod serving;
mod soak;
mod storm;
mod story;
mod together;
mod transfer;
mod tricks;
mod watch;
mod wire;
