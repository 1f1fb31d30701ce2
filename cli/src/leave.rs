//! Values that the process takes along when it ends.
//!
//! Never here: anything whose end means something, such as a store that has to be closed.

/// Leaves a value to the end of the process, which is near. A plan consists of hundreds of thousands of small pieces of memory,
/// and giving each back would take a tenth of the time of the whole command.
pub(crate) fn leave<T>(value: T) {
    std::mem::forget(value);
}
