//! `reconcile backup FILE`: the whole store in one file, while it is in use. The file has its name only once it is whole, on the
//! disk and was read back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use holdfast_engine::{BackupReport, check_backup};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::ControlPlane;

use super::Run;
use crate::args::BackupArgs;
use crate::connect;
use crate::error::{Exit, Failure};
use crate::output::{Output, Progress};
use crate::render::keeping::{self, BackedUp};

/// Writes a backup.
pub(super) fn run(run: &Run, args: &BackupArgs) -> Result<Exit, Failure> {
    let file = run.setting.path(&args.file);
    if !args.overwrite && file.symlink_metadata().is_ok() {
        return Err(Failure::new("E_BACKUP", format!("`{}` is there already", file.display()))
            .help("choose another name, or add `--overwrite`"));
    }
    let directory = run.setting.project(None);
    let plane = connect::required(&run.setting, &run.setting.store(&directory), &run.output)?;
    let partial = partial(&file)?;
    let made = write(&run.output, plane.as_ref(), &partial, &file);
    if made.is_err() {
        // What was begun is no backup; if it cannot be removed either, the first failure says why.
        let _ = fs::remove_file(&partial);
    }
    let BackupReport { identity, head, keys, bytes, digest } = made?;
    let told = BackedUp {
        file: args.file.display().to_string(),
        store: identity.store.to_string(),
        epoch: identity.epoch,
        revision: head.revision,
        commit: head.id.to_string(),
        keys,
        bytes,
        digest: digest.to_string(),
    };
    run.output.data(&told, || keeping::backed_up(&told))?;
    run.output.say("the master key is not in it: keep that apart");
    Ok(Exit::Done)
}

/// The name under which the file is written: in the same folder, so that it can be renamed.
fn partial(file: &Path) -> Result<PathBuf, Failure> {
    let name = file.file_name().ok_or_else(|| Failure::usage(format!("`{}` names no file", file.display())))?;
    Ok(file.with_file_name(format!(".{}.partial-{}", name.to_string_lossy(), std::process::id())))
}

fn write(output: &Output, plane: &dyn ControlPlane, partial: &Path, file: &Path) -> Result<BackupReport, Failure> {
    let failed = |error: &io::Error| {
        Failure::io("E_BACKUP", format!("the backup `{}` cannot be written", file.display()), error)
            .help("check the room and the rights there; the store is as it was")
    };
    // It holds sealed secrets and everything else: it is for its owner only.
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(partial);
    let mut out =
        BufWriter::new(Counted { file: made.map_err(|error| failed(&error))?, bytes: 0, progress: output.progress() });
    plane.backup(&mut out)?;
    let written = out.into_inner().map_err(|error| failed(error.error()))?.file;
    written.sync_all().map_err(|error| failed(&error))?;
    drop(written);
    let mut read = BufReader::new(File::open(partial).map_err(|error| failed(&error))?);
    let report = check_backup(&mut read).map_err(|error| {
        let problem = Problem::from_error(ProblemKind::Failed, "E_BACKUP", &error);
        Problem { message: format!("what was written does not read back: {}", problem.message), ..problem }
            .help("check the disk, and the server's log if there is one; then try again")
    })?;
    fs::rename(partial, file).map_err(|error| failed(&error))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(&error))?;
    Ok(report)
}

/// A file whose growth is shown.
struct Counted {
    file: File,
    bytes: u64,
    progress: Progress,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        self.progress.tell(|| format!("backing up: {}", keeping::size(self.bytes)));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
