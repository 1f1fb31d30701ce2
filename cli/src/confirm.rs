//! The question before an apply.
//!
//! Ctrl-C at the question changes nothing and is told apart from "no". Never here: what happens after the answer.

use std::io::{BufRead as _, IsTerminal as _};

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
    let answer = loop {
        output.ask(&format!("{question} [y/N, d for details]"));
        let line = runtime.block_on(async {
            tokio::select! {
                pressed = tokio::signal::ctrl_c() => pressed.map(|()| None),
                line = tokio::task::spawn_blocking(read_line) => line.map_err(Into::into).and_then(|line| line).map(Some),
            }
        });
        match line.map_err(|error| failed(&error))?.as_deref().map(parse) {
            None => {
                output.insist("");
                runtime.shutdown_background();
                return Err(Failure::interrupted());
            }
            Some(Some(answer)) => break answer,
            Some(None) => output.insist("please answer `y`, `n` or `d`"),
        }
    };
    Ok(answer)
}

fn read_line() -> std::io::Result<String> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line)? {
        0 => Ok("n".to_owned()),
        _ => Ok(line),
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
