//! Calling a program with a bound on its time and on what it prints, and leaving nothing of it behind.
//!
//! It runs in a process group of its own: what it started ends with it when it takes too long, and nobody waits for something
//! that outlives it and keeps its output open. Never here: which program, and what its output means.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long to rest at most before it is looked again whether a call is done.
const REST_MAX: Duration = Duration::from_millis(20);
/// How much of what is printed is kept, in bytes.
const PRINTED_BYTES_MAX: usize = 1 << 20;
/// How long after the end of a program its output may stay open, held by something that it started.
const OPEN_MAX: Duration = Duration::from_secs(2);

/// How a call ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Whether the program says that it succeeded.
    pub(super) success: bool,
    /// What it printed.
    pub(super) out: String,
    /// What it printed to standard error.
    pub(super) err: String,
}

/// Calls a program and waits for its end, at most for so long.
///
/// # Errors
/// It cannot be started or waited for, or it took longer: then it is ended, with all that it started in its process group.
pub(super) fn call(mut command: Command, time_max: Duration) -> Result<Ended, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("cannot run `{name}`: {error}"))?;
    let (out, err) = (Printed::read(child.stdout.take()), Printed::read(child.stderr.take()));
    let success = wait(&mut child, &name, time_max)?;
    let until = Instant::now() + OPEN_MAX;
    Ok(Ended { success, out: out.text(until), err: err.text(until) })
}

/// What is read from a pipe by a thread of its own.
struct Printed {
    bytes: Arc<Mutex<Vec<u8>>>,
    done: mpsc::Receiver<()>,
}

impl Printed {
    fn read(mut pipe: Option<impl Read + Send + 'static>) -> Self {
        let (ended, done) = mpsc::channel();
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut part) = (Arc::clone(&bytes), [0; 8192]);
        std::thread::spawn(move || {
            // What cannot be read is not there; how the program ended says the rest.
            while let Some(read) = pipe.as_mut().and_then(|pipe| pipe.read(&mut part).ok()).filter(|read| *read > 0) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = PRINTED_BYTES_MAX.saturating_sub(kept.len());
                kept.extend_from_slice(&part[..read.min(room)]);
            }
            // Nobody listens any more if the output stayed open for too long.
            let _ = ended.send(());
        });
        Self { bytes, done }
    }

    fn text(self, until: Instant) -> String {
        // Either way it is as much as there is.
        let _ = self.done.recv_timeout(until.saturating_duration_since(Instant::now()));
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

fn wait(child: &mut Child, name: &str, time_max: Duration) -> Result<bool, String> {
    let begin = Instant::now();
    let mut rest = Duration::from_micros(200);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if begin.elapsed() < time_max => {
                std::thread::sleep(rest);
                rest = (rest * 2).min(REST_MAX);
            }
            Ok(None) => {
                // It is given up; what its end says does not matter.
                if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    let _ = kill_process_group(group, Signal::KILL);
                }
                let _ = child.wait();
                return Err(format!("{name} took longer than {} s", time_max.as_secs()));
            }
            Err(error) => return Err(format!("cannot wait for `{name}`: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_is_printed_and_how_it_ended_is_told() {
        let ended = call(shell("echo out; echo err >&2; exit 3"), Duration::from_secs(60)).unwrap();
        assert_eq!((ended.success, &*ended.out, &*ended.err), (false, "out\n", "err\n"));
        assert!(call(Command::new("no-such-program"), Duration::from_secs(1)).unwrap_err().contains("cannot run"));
        let much = call(shell("head -c 3000000 /dev/zero | tr '\\0' x"), Duration::from_secs(60)).unwrap();
        assert_eq!((much.success, much.out.len()), (true, PRINTED_BYTES_MAX));
    }

    #[test]
    fn what_takes_too_long_ends_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        // The child of the shell keeps its output open, as a helper that speaks to a host that does not answer.
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let why = call(shell(&script), Duration::from_secs(1)).unwrap_err();
        assert_eq!(why, "sh took longer than 1 s");
        let pid = std::fs::read_to_string(&file).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        // Killed, it is a zombie until whoever adopted it looks.
        let alive = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        while alive() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn nobody_waits_for_what_outlives_it_and_keeps_its_output_open() {
        let ended = call(shell("echo done; sleep 600 & echo $!"), Duration::from_secs(60)).unwrap();
        let mut lines = ended.out.lines();
        assert_eq!((ended.success, lines.next()), (true, Some("done")));
        // It is still there.
        let left: i32 = lines.next().unwrap().parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
    }
}
