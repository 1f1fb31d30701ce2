//! The question before an apply, asked on a real terminal: a pseudo-terminal as standard input.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::serve::Server;
use crate::support::{CANARY, Ended, Project, TRIAGE, absent};

/// A command that reads from a terminal.
struct Dialog {
    terminal: File,
    child: Child,
    talk: BufReader<std::process::ChildStderr>,
    said: String,
}

/// The end of the person and the end of the program.
fn pseudo_terminal() -> (File, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let other_end = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    (File::from(terminal), File::from(other_end))
}

impl Dialog {
    fn start(project: &Project, arguments: &[&str]) -> Self {
        let (terminal, other_end) = pseudo_terminal();
        let mut command = project.command(arguments);
        let mut child = command.env("Z_KEY", CANARY).stdin(Stdio::from(other_end)).spawn().unwrap();
        let talk = BufReader::new(child.stderr.take().unwrap());
        Self { terminal, child, talk, said: String::new() }
    }

    /// Reads until the question stands there.
    fn question(&mut self) {
        let mut byte = [0];
        let begin = self.said.len();
        while !self.said[begin..].ends_with("[y/N, d for details] ") {
            assert_ne!(self.talk.read(&mut byte).unwrap(), 0, "it ended before it asked: {}", self.said);
            self.said.push(char::from(byte[0]));
        }
    }

    fn answer(&mut self, line: impl AsRef<[u8]>) {
        self.terminal.write_all(line.as_ref()).unwrap();
    }

    fn end(mut self, project: &Project) -> Ended {
        let mut line = String::new();
        while self.talk.read_line(&mut line).unwrap() > 0 {
            self.said.push_str(&line);
            line.clear();
        }
        let mut output = self.child.wait_with_output().unwrap();
        output.stderr = self.said.into_bytes();
        project.ended(output)
    }
}

#[test]
fn yes_applies_and_confirms_the_deletes_that_were_shown() {
    let project = Project::with(TRIAGE);
    let mut dialog = Dialog::start(&project, &[]);
    dialog.question();
    assert!(absent(&project.store()), "a question makes nothing");
    dialog.answer("y\n");
    let ended = dialog.end(&project);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.ends_with("\nApplied as r1 (3 create)\n"), "{}", ended.stdout);
    project.write(
        "lobu.toml",
        "[project]\nname = \"team\"\n\n[agents.triage]\nname = \"Triage\"\ndir = \"agents/triage\"\n",
    );
    let mut dialog = Dialog::start(&project, &["--allow-break", "triage"]);
    dialog.question();
    dialog.answer("yes\n");
    let ended = dialog.end(&project);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn no_changes_nothing_and_exits_with_1() {
    let project = Project::with(TRIAGE);
    let mut dialog = Dialog::start(&project, &[]);
    dialog.question();
    dialog.answer("n\n");
    let ended = dialog.end(&project);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.ends_with("nothing was changed\n"), "{}", ended.stderr);
    assert!(absent(&project.store()));
}

#[test]
fn details_show_everything_and_ask_again() {
    let long = "x".repeat(300);
    let project = Project::with(&TRIAGE.replace("Triage", &long));
    let mut dialog = Dialog::start(&project, &[]);
    dialog.question();
    dialog.answer("what\n");
    dialog.question();
    assert!(dialog.said.contains("please answer"), "{}", dialog.said);
    dialog.answer("d\n");
    dialog.question();
    assert!(dialog.said.contains(&long), "{}", dialog.said);
    dialog.answer("n\n");
    let ended = dialog.end(&project);
    assert_eq!(ended.code, Some(1));
    assert!(!ended.stdout.contains(&long), "values are cut unless asked for");
}

#[test]
fn an_answer_that_is_no_text_is_asked_about_again() {
    let project = Project::with(TRIAGE);
    let mut dialog = Dialog::start(&project, &[]);
    dialog.question();
    dialog.answer(b"y\xff\n");
    dialog.question();
    assert!(dialog.said.contains("please answer"), "{}", dialog.said);
    dialog.answer("n\n");
    let ended = dialog.end(&project);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(absent(&project.store()));
}

#[test]
fn the_details_of_a_delete_are_what_goes_with_it() {
    let project = Project::applied();
    let mut dialog = Dialog::start(&project, &["unset", "agent/triage", "--allow-break", "triage"]);
    dialog.question();
    assert!(dialog.said.ends_with("Delete agent/triage with the one that goes with it? [y/N, d for details] "));
    dialog.answer("d\n");
    dialog.question();
    assert!(dialog.said.contains("  - agent/triage\n  - settings/triage\n"), "{}", dialog.said);
    dialog.answer("n\n");
    assert_eq!(dialog.end(&project).code, Some(1));
    assert_eq!(project.run(&["history"]).stdout.lines().count(), 1, "a look deletes nothing");
    let mut dialog = Dialog::start(&project, &["unset", "agent/triage", "--allow-break", "triage"]);
    dialog.question();
    dialog.answer("y\n");
    let ended = dialog.end(&project);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(project.run(&["get", "settings/triage"]).code, Some(1));
}

#[test]
fn ctrl_c_at_the_question_changes_nothing_and_exits_with_130() {
    let project = Project::with(TRIAGE);
    let mut dialog = Dialog::start(&project, &[]);
    dialog.question();
    kill_process(Pid::from_child(&dialog.child), Signal::INT).unwrap();
    let ended = dialog.end(&project);
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(absent(&project.store()));
}

#[test]
fn a_yes_to_a_plan_that_no_longer_holds_is_refused_as_stale_p1() {
    let project = Project::applied();
    let server = Server::start(&project);
    project.edit("glm-4.6", "glm-4.5");
    let mut dialog = Dialog::start(&project, &[]);
    dialog.question();
    // Somebody else gives the same field another value while the question stands there.
    project.edit("glm-4.5", "glm-5");
    assert_eq!(project.run(&["--yes"]).code, Some(0));
    dialog.answer("y\n");
    let ended = dialog.end(&project);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("error[E_STALE]"), "{}", ended.stderr);
    assert_eq!(project.run(&["history"]).stdout.lines().count(), 2);
    server.stop(Signal::TERM);
}

#[test]
fn a_secret_is_not_typed_where_it_would_be_shown() {
    let project = Project::with(TRIAGE);
    let ended = Dialog::start(&project, &["secret", "set", "x"]).end(&project);
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(absent(&project.store()));
}

#[test]
fn colours_go_to_a_terminal_unless_it_does_not_want_them() {
    let project = Project::applied();
    let coloured = |variables: &[(&str, &str)]| {
        let (mut terminal, other_end) = pseudo_terminal();
        let mut command = project.command(&["status"]);
        let status = command.envs(variables.iter().copied()).stdout(Stdio::from(other_end)).status().unwrap();
        drop(command);
        assert!(status.success());
        let mut shown = Vec::new();
        // When nobody holds the other end any more, reading ends with an error of its own.
        let _ = terminal.read_to_end(&mut shown);
        String::from_utf8(shown).unwrap().contains("\u{1b}[")
    };
    assert!(coloured(&[]));
    assert!(coloured(&[("NO_COLOR", "")]), "an empty NO_COLOR counts as unset");
    assert!(!coloured(&[("NO_COLOR", "1")]));
}
