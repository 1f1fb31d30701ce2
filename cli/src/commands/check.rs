//! `reconcile check [DIR]`: reads the manifests and reports every finding; `--schema` prints what editors check them with. Opens
//! no store.

use holdfast_reconciler::diagnostic::Diagnostic;
use holdfast_reconciler::manifest::{Grammar, schema};
use serde::Serialize;

use super::Run;
use crate::args::{CheckArgs, Format, GrammarName};
use crate::error::{Exit, Failure};
use crate::leave::leave;
use crate::project::Project;
use crate::render::github;
use crate::render::text::counted;

/// What `check` found, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    resources: usize,
    diagnostics: &'a [Diagnostic],
}

/// Checks a project.
pub(super) fn run(run: &Run, args: &CheckArgs) -> Result<Exit, Failure> {
    if let Some(name) = args.schema {
        run.output.document(&schema(grammar(name)))?;
        return Ok(Exit::Done);
    }
    let directory = run.directory(args.directory.as_ref())?;
    let Project { desired, diagnostics } = Project::read(&run.setting, &directory)?;
    let resources = desired.as_ref().map_or(0, |desired| desired.resources.len());
    let errors = diagnostics.iter().filter(|found| found.is_error()).count();
    let others = diagnostics.len() - errors;
    let verdict = match &desired {
        Some(_) => {
            format!("valid: {} declared, {}", counted(resources as u64, "resource"), counted(others as u64, "finding"))
        }
        None => format!("invalid: {}, {}", counted(errors as u64, "error"), counted(others as u64, "other finding")),
    };
    run.output.diagnostics(&diagnostics);
    match run.output.format {
        Format::Json => {
            run.output.document(&Report { valid: desired.is_some(), resources, diagnostics: &diagnostics })?
        }
        Format::Github => run.output.raw(&github::annotations(&diagnostics))?,
        Format::Text | Format::Markdown => run.output.raw(&format!("{verdict}\n"))?,
    }
    let valid = desired.is_some();
    leave(desired);
    Ok(if valid { Exit::Done } else { Exit::Failed })
}

fn grammar(name: GrammarName) -> Grammar {
    match name {
        GrammarName::Manifest => Grammar::Manifest,
        GrammarName::Models => Grammar::Models,
        GrammarName::Connectors => Grammar::Connectors,
        GrammarName::Skill => Grammar::Skill,
    }
}
