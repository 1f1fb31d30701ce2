//! The question before an apply.
//!
//! Ctrl-C at the question changes nothing and is told apart from "no". Never here: what happens after the answer.

use std::io::{BufRead as _, IsTerminal as _};

use tokio::signal::unix::{SignalKind, signal};

use crate::error::Failure;
use crate::output::Output;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Do it.
    Yes,
    /// Leave it.
    No,
    /// Show all of it first.
    Details,
}

/// Whether somebody can answer.
pub(crate) fn somebody_is_there() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks until the answer is one of the three; the end of the input is a no.
pub(crate) fn ask(output: &Output, question: &str) -> Result<Answer, Failure> {
    let failed = |error: &std::io::Error| Failure::io("E_PROMPT", "cannot read the answer", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    let line = runtime.block_on(async {
        // Taken before the question is seen, so that no Ctrl-C in answer to it is missed.
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            output.ask(&format!("{question} [y/N, d for details]"));
            let line = tokio::select! {
                _ = interrupt.recv() => return Ok(None),
                line = tokio::task::spawn_blocking(read_line) => line.map_err(std::io::Error::from)??,
            };
            match parse(&line) {
                Some(answer) => return Ok(Some(answer)),
                None => output.insist("please answer `y`, `n` or `d`"),
            }
        }
    });
    // After Ctrl-C a thread still waits for a line; nobody waits for it.
    runtime.shutdown_background();
    match line.map_err(|error| failed(&error))? {
        Some(answer) => Ok(answer),
        None => {
            output.insist("");
            Err(Failure::interrupted())
        }
    }
}

fn read_line() -> std::io::Result<String> {
    let mut line = Vec::new();
    match std::io::stdin().lock().read_until(b'\n', &mut line)? {
        0 => Ok("n".to_owned()),
        // What is no text is no answer, and is asked about again.
        _ => Ok(String::from_utf8_lossy(&line).into_owned()),
    }
}

fn parse(line: &str) -> Option<Answer> {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Some(Answer::Yes),
        "" | "n" | "no" => Some(Answer::No),
        "d" | "details" => Some(Answer::Details),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (line, answer) in [
            ("y\n", Some(Answer::Yes)),
            (" YES \n", Some(Answer::Yes)),
            ("\n", Some(Answer::No)),
            ("no", Some(Answer::No)),
            ("d\n", Some(Answer::Details)),
            ("yeah", None),
            ("1", None),
        ] {
            assert_eq!(parse(line), answer, "{line:?}");
        }
    }
}
