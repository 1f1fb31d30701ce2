//! `reconcile import FILE`: takes exported resources into the store, as one commit.

use holdfast_reconciler::plane::{ImportRequest, Imported};

use super::Run;
use super::plan::read_state;
use crate::args::ImportArgs;
use crate::connect;
use crate::error::{Exit, Failure};
use crate::project;
use crate::render::transfer;

/// Imports, or says what an import would do.
pub(super) fn run(run: &Run, args: ImportArgs) -> Result<Exit, Failure> {
    let ImportArgs { file, overwrite, dry_run, message, write } = args;
    let setting = &run.setting;
    let state = read_state(&setting.path(&file))?;
    let directory = setting.project(None);
    // The rows say their organisation; the project's counts only where they do not.
    let named = setting.global.org.is_some() || state.resources.iter().all(|row| row.org.is_none());
    let org = if named { project::org(setting, &directory, &run.output)? } else { None };
    let store = setting.store(&directory);
    let plane = match (dry_run, connect::existing(setting, &store, &run.output)?) {
        (_, Some(plane)) => plane,
        (true, None) => connect::nothing(setting)?,
        (false, None) => connect::or_new(setting, &store, &run.output)?,
    };
    let imported: Imported = plane.import(&ImportRequest {
        org,
        state,
        overwrite,
        dry_run,
        allow_break: write.allow_break.into_iter().collect(),
        author: setting.author(write.author.as_deref()),
        message: message.unwrap_or_default(),
        request_id: Some(uuid::Uuid::new_v4().to_string()),
    })?;
    run.output.data(&imported, || transfer::draw(&imported))?;
    Ok(Exit::Done)
}
