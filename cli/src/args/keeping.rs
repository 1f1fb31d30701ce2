//! Flags of what keeps a store: exports and imports, backups, verification, repair, compaction.
//!
//! Never here: what is done with them.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use holdfast_reconciler::plane::Moment;

use super::WriteArgs;

/// Flags of `import`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file that `reconcile export` wrote
    pub(crate) file: PathBuf,
    /// Puts the file's state in the place of live resources that differ; else they block
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Says what it would do; changes nothing and makes no store
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, for the history
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// Flags of `backup`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to write; it is there only once it is whole and was read back
    pub(crate) file: PathBuf,
    /// Replaces a file that is there
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// Flags of `restore`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    pub(crate) file: PathBuf,
    /// Puts the backup in the place of a store that is there, whose files are kept aside
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Flags of `compact`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) rule: CompactRule,
    /// Says what it would give up; changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Gives up without asking
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    pub(crate) yes: bool,
}

/// What a compaction keeps; exactly one of them.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct CompactRule {
    /// Gives up the history up to this revision (`r41`) or time; its state and all commits after it stay
    #[arg(long, value_name = "rN|TIME")]
    pub(crate) before: Option<Moment>,
    /// Gives up all but the newest N commits
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<u64>,
    /// Gives up what is older than this, as in `30d` (s, m, h, d, w)
    #[arg(long, value_name = "SPAN")]
    pub(crate) older_than: Option<Span>,
}

/// A span of time, as in `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// In milliseconds.
    pub(crate) millis: i64,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no span of time, write a number with s, m, h, d or w, as in `30d`");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit: i64 = match &text[digits..] {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            "w" => 7 * 24 * 60 * 60,
            _ => return Err(wrong()),
        };
        let count: i64 = text[..digits].parse().map_err(|_| wrong())?;
        count.checked_mul(unit * 1000).map(|millis| Self { millis }).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_with_its_unit() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("2h", 7200), ("30d", 2_592_000), ("1w", 604_800)] {
            assert_eq!(text.parse::<Span>().unwrap().millis, seconds * 1000, "{text}");
        }
        for bad in ["", "d", "30", "30 d", "-1d", "1.5h", "1y", "99999999999999999d", "3é"] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
    }
}
