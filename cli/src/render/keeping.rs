//! What backups, restores, repairs and compactions did, as text and as JSON.
//!
//! Never here: doing any of it.

use holdfast_engine::Revision;
use holdfast_reconciler::plane::{Compacted, Verification};
use serde::Serialize;

use super::ink::{Role, Text};
use super::listing::verification;
use super::text::counted;

/// A backup that was made.
#[derive(Serialize)]
pub(crate) struct BackedUp {
    /// The file, as it was named.
    pub(crate) file: String,
    /// The store's id.
    pub(crate) store: String,
    /// Its epoch.
    pub(crate) epoch: u64,
    /// The revision whose state it holds.
    pub(crate) revision: Revision,
    /// Its commit id in hex.
    pub(crate) commit: String,
    /// Keys of all organisations.
    pub(crate) keys: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// The SHA-256 of what it holds, which its last frame carries.
    pub(crate) digest: String,
}

/// A store that was made of a backup.
#[derive(Serialize)]
pub(crate) struct Made {
    /// The store's id.
    pub(crate) store: String,
    /// Its new epoch.
    pub(crate) epoch: u64,
    /// Its new head.
    pub(crate) revision: Revision,
    /// Keys of all organisations.
    pub(crate) keys: u64,
    /// The folder with the files of the store that was there before.
    pub(crate) kept_aside: Option<String>,
}

/// A repair.
#[derive(Serialize)]
pub(crate) struct Repaired {
    /// What was wrong before.
    pub(crate) before: Verification,
    /// How many bases were given up, to be written anew behind the next commits.
    pub(crate) bases_dropped: u64,
    /// How many reminders of what was made outside the store were taken away, because they could not be read.
    pub(crate) reminders_dropped: u64,
    /// What is wrong now.
    pub(crate) after: Verification,
    /// The folder with the files as they were.
    pub(crate) kept_aside: Option<String>,
}

/// Draws a backup.
pub(crate) fn backed_up(made: &BackedUp) -> Text {
    let BackedUp { file, store, epoch, revision, commit: _, keys, bytes, digest } = made;
    let mut text = Text::new();
    text.add(Role::Strong, format!("Backed up {revision}")).plain(format!(" to {file}")).end();
    text.line(format!("  store {store}, epoch {epoch}: {}, {}", counted(*keys, "key"), size(*bytes)));
    text.plain("  ").add(Role::Quiet, format!("sha256 {digest}, read back")).end();
    text
}

/// Draws a restored store.
pub(crate) fn restored(made: &Made) -> Text {
    let Made { store, epoch, revision, keys, kept_aside } = made;
    let mut text = Text::new();
    text.add(Role::Strong, format!("Restored as {revision}")).end();
    text.line(format!("  store {store}, epoch {epoch}: {}", counted(*keys, "key")));
    aside(&mut text, kept_aside.as_deref());
    text
}

/// Draws a repair.
pub(crate) fn repaired(done: &Repaired) -> Text {
    let Repaired { before, bases_dropped, reminders_dropped, after, kept_aside } = done;
    if before.damage.is_empty() {
        let mut text = Text::new();
        text.line("nothing to repair");
        text.append(verification(before));
        return text;
    }
    let mut text = Text::new();
    text.add(Role::Strong, "before: ").append(verification(before));
    if *bases_dropped > 0 {
        text.line(format!("gave up {}, to be built anew from the commits", counted(*bases_dropped, "base")));
    }
    if *reminders_dropped > 0 {
        let what = counted(*reminders_dropped, "reminder");
        text.line(format!("took away {what} of what was made outside the store, which could not be read"));
    }
    text.add(Role::Strong, "after: ").append(verification(after));
    aside(&mut text, kept_aside.as_deref());
    text
}

/// Draws a compaction, also one that is only foreseen.
pub(crate) fn compacted(done: &Compacted) -> Text {
    let Compacted { oldest, commits, held, bytes_before, bytes_after, dry_run } = *done;
    let mut text = Text::new();
    let what = counted(commits, "commit");
    let headline = match (commits, dry_run) {
        (0, _) => "Nothing to give up".to_owned(),
        (_, true) => format!("Would give up {what}"),
        (_, false) => format!("Gave up {what}"),
    };
    text.add(Role::Strong, headline).plain(format!("   the oldest state that can be read is {oldest}")).end();
    if let Some(held) = held {
        text.line(format!("  {held} is held by somebody who reads it, so nothing after it was given up"));
    }
    if let (Some(before), Some(after)) = (bytes_before, bytes_after) {
        text.line(format!("  {} -> {} on the disk", size(before), size(after)));
    }
    text
}

/// A number of bytes as people write it.
pub(crate) fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return counted(bytes, "byte"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        1_000_000_000.. => (1_000_000_000, "GB"),
    };
    let tenths = bytes * 10 / unit;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// A span of time in its largest whole unit.
pub(crate) fn span(millis: i64) -> String {
    let seconds = millis / 1000;
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length && seconds % length == 0);
    let (length, noun) = unit.unwrap_or((1, "second"));
    counted(u64::try_from(seconds / length).unwrap_or(0), noun)
}

/// A span of time, rounded to the largest unit of which it has two or more; to minutes at least.
pub(crate) fn roughly(millis: i64) -> String {
    let units = [86_400_000, 3_600_000, 60_000];
    let unit = units.into_iter().find(|unit| millis / unit >= 2).unwrap_or(60_000);
    span((millis + unit / 2) / unit * unit)
}

fn aside(text: &mut Text, kept: Option<&str>) {
    if let Some(kept) = kept {
        text.line(format!("  the files that were there are kept in {kept}"));
    }
}
