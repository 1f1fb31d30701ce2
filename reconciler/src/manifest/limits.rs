//! Every maximum of reading manifests, in one place.
//!
//! Never here: anything but numbers and the sentence that says why each has its size.

/// All files of a project together; real projects of 100,000 agents need about 40 MB.
pub(crate) const PROJECT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How many files of a project are read; empty ones cost time too.
pub(crate) const FILES_MAX: usize = 100_000;
/// How many names a folder may have; they are held in memory and sorted.
pub(crate) const NAMES_MAX: usize = 200_000;
/// One text that goes into a single field, such as `SOUL.md`.
pub(crate) const MARKDOWN_BYTES_MAX: u64 = 1024 * 1024;
/// A reaction script, as in the field.
pub(crate) const SCRIPT_BYTES_MAX: u64 = 262_144;
/// A local connector definition.
pub(crate) const DEFINITION_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A file that holds one secret value, or the file `.env`.
pub(crate) const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// How deep YAML may be nested.
pub(crate) const YAML_DEPTH_MAX: usize = 64;
/// How many values the aliases of one YAML text may copy.
pub(crate) const YAML_COPIES_MAX: usize = 100_000;
/// How deep a folder of models may be nested.
pub(crate) const FOLDER_DEPTH_MAX: usize = 16;
/// Findings that are kept; the rest is counted only.
pub(crate) const FINDINGS_MAX: usize = 1000;
/// Characters of a source line that a diagnostic carries.
pub(crate) const SOURCE_LINE_CHARS_MAX: usize = 500;
/// Characters of a name that a message repeats.
pub(crate) const SHOWN_CHARS_MAX: usize = 120;

// Offsets into files are kept in 32 bits.
const _: () = assert!(PROJECT_BYTES_MAX < u32::MAX as u64);
// A folder may hold all files of a project.
const _: () = assert!(FILES_MAX <= NAMES_MAX);
