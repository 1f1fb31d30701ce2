//! Scenarios: `testdata/scenarios/<name>/steps` in, everything that was printed out. Dropping a folder there is a new test.
//!
//! Each is run twice, with the store in the process of each command and through `reconcile serve`, and must give the same
//! bytes. A scenario ends with a plan that must change nothing (P1), unless it says why not.
//!
//! The lines of `steps`:
//! ```text
//! # a comment
//! file lobu.toml        the lines up to the next `end` are the file
//! end
//! remove agents/x       removes a file or folder
//! replace FILE: A => B  replaces the only place of A in a file by B
//! set NAME VALUE        sets a variable of the commands that follow; `unset NAME` takes it away
//! input TEXT            what the next command reads from standard input
//! $ --yes               runs the command with these words (quoted as in a shell)
//! unsettled WHY         the last plan may have changes
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::process::Signal;

use crate::facts;
use crate::serve::Server;
use crate::support::{Ended, Project, check};

/// The key that both ways seal under, so that tags and plan ids are the same.
const MASTER_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What the project begins with, as steps of every scenario.
struct Scenario {
    name: String,
    steps: Vec<Step>,
    unsettled: bool,
}

enum Step {
    File(String, String),
    Remove(String),
    Replace { file: String, from: String, to: String },
    Set(String, String),
    Unset(String),
    Input(String),
    Run(Vec<String>),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("testdata/scenarios")
}

fn scenarios() -> Vec<Scenario> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.into_iter().map(|name| read(&name)).collect()
}

fn read(name: &str) -> Scenario {
    let text = std::fs::read_to_string(folder().join(name).join("steps")).unwrap();
    let mut steps = Vec::new();
    let mut unsettled = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim().to_owned();
        steps.push(match word {
            "" | "#" => continue,
            "unsettled" => {
                assert!(!rest.is_empty(), "{name}: say why");
                unsettled = true;
                continue;
            }
            "file" => {
                let content: Vec<&str> = lines.by_ref().take_while(|line| *line != "end").collect();
                Step::File(rest, content.join("\n") + "\n")
            }
            "remove" => Step::Remove(rest),
            "replace" => {
                let (file, change) = rest.split_once(": ").unwrap();
                let (from, to) = change.split_once(" => ").unwrap();
                Step::Replace { file: file.to_owned(), from: from.to_owned(), to: to.to_owned() }
            }
            "set" => {
                let (name, value) = rest.split_once(' ').unwrap();
                Step::Set(name.to_owned(), value.to_owned())
            }
            "unset" => Step::Unset(rest),
            "input" => Step::Input(rest),
            "$" => Step::Run(words(&rest)),
            other => panic!("{name}: `{other}` is no step"),
        });
    }
    Scenario { name: name.to_owned(), steps, unsettled }
}

/// Splits words at blanks; single and double quotes keep them together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for char in text.chars() {
        match (quote, char) {
            (Some(open), char) if char == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, char) => word.get_or_insert_default().push(char),
        }
    }
    assert!(quote.is_none(), "an open quote: {text}");
    words.extend(word);
    words
}

/// Whether text, JSON and Markdown of each plan are held against each other too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Forms {
    Compared,
    AsWritten,
}

/// Whether the words show a plan as text.
fn shows_a_plan(arguments: &[String]) -> bool {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let shows = has("--dry-run") || has("--against") || arguments.first().is_some_and(|first| first == "plan");
    shows && !["--format", "--out", "--yes", "adopt", "import", "compact", "rollback"].into_iter().any(has)
}

/// Runs the steps and gives what was printed.
fn run(scenario: &Scenario, project: &Project, forms: Forms) -> String {
    let mut shown = String::new();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut input = String::new();
    let command = |arguments: &[String], variables: &BTreeMap<String, String>, input: &str| -> Ended {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let ended = project.run_with(&words, &variables, input);
        let secrets = variables.iter().filter(|(name, _)| name.ends_with("_KEY") || name.ends_with("_TOKEN"));
        for (name, value) in secrets {
            let shown = ended.stdout.contains(value) || ended.stderr.contains(value);
            assert!(!shown, "{}: the value of {name} is shown (P8)", scenario.name);
        }
        ended
    };
    for step in &scenario.steps {
        match step {
            Step::File(name, content) => {
                let path = project.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
            Step::Remove(name) => {
                let path = project.path().join(name);
                if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
            }
            Step::Replace { file, from, to } => {
                let path = project.path().join(file);
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(text.matches(from).count(), 1, "{}: `{from}` must stand once in {file}", scenario.name);
                std::fs::write(path, text.replace(from, to)).unwrap();
            }
            Step::Set(name, value) => drop(variables.insert(name.clone(), value.clone())),
            Step::Unset(name) => drop(variables.remove(name)),
            Step::Input(text) => input.clone_from(text),
            Step::Run(arguments) => {
                let ended = command(arguments, &variables, &std::mem::take(&mut input));
                let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
                writeln!(shown, "{}", ended.shown(&words)).unwrap();
                if forms == Forms::Compared && shows_a_plan(arguments) && matches!(ended.code, Some(0 | 2 | 3)) {
                    let arguments =
                        arguments.iter().filter(|word| !matches!(word.as_str(), "--compact" | "--all" | "--full"));
                    let plain: Vec<String> = arguments.cloned().collect();
                    let form = |more: &[&str]| {
                        let more = more.iter().map(|word| (*word).to_owned());
                        command(&plain.iter().cloned().chain(more).collect::<Vec<_>>(), &variables, "").stdout
                    };
                    let (json, markdown) = (form(&["--format", "json"]), form(&["--format", "markdown"]));
                    facts::compare(&scenario.name, &form(&["--all", "--full"]), &json, &markdown);
                }
            }
        }
    }
    if !scenario.unsettled {
        let again = command(&["--dry-run".to_owned(), "--exit-code".to_owned()], &variables, "");
        assert_eq!(again.code, Some(0), "{}: planning again changes something\n{}", scenario.name, again.stdout);
    }
    shown
}

fn project() -> Project {
    let project = Project::bare();
    let keys = project.home().join(".config/holdfast");
    std::fs::create_dir_all(&keys).unwrap();
    let key = keys.join("master.key");
    std::fs::write(&key, MASTER_KEY).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    project
}

#[test]
fn scenarios_give_the_same_bytes_embedded_and_served_p1_p7() {
    let scenarios = scenarios();
    let left = Mutex::new(scenarios.iter());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(scenario) = left.lock().unwrap().next() else { return };
                    let embedded = run(scenario, &project(), Forms::Compared);
                    let held = project();
                    let server = Server::start(&held);
                    let served = run(scenario, &held, Forms::AsWritten);
                    server.stop(Signal::TERM);
                    done.lock().unwrap().push((scenario, embedded, served));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(scenario, _, _)| &scenario.name);
    println!("{} scenarios ran, each embedded and served", done.len());
    assert_eq!(done.len(), scenarios.len());
    for (scenario, embedded, served) in &done {
        check(&format!("scenario@{}", scenario.name), embedded);
        // The same filters make both equal where time and chance differ.
        check(&format!("scenario@{}", scenario.name), served);
    }
}
