//! Bugs that can be planted, to show that the tests catch them. `engine/planted-bugs` plants one after the other.
//!
//! Never here: anything that a build without the feature `planted` would notice.

/// Whether the bug `name` is planted in this build: the feature `planted`, and its name in `HOLDFAST_PLANT` while compiling.
#[cfg(feature = "planted")]
pub(crate) fn planted(name: &str) -> bool {
    option_env!("HOLDFAST_PLANT") == Some(name)
}

/// Never, in this build.
#[cfg(not(feature = "planted"))]
pub(crate) const fn planted(_name: &str) -> bool {
    false
}
