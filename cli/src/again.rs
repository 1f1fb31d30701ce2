//! The command that was given, written down again to be pasted, with flags that it lacked.
//!
//! Never here: which flags those are.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use holdfast_reconciler::pasted::quoted;
use holdfast_reconciler::plan::Plan;

use crate::args::{Global, Words};

/// The flags that say how a plan is shown or that it is only shown: no way out needs them.
const OF_SHOWING: [&str; 14] = [
    "--dry-run",
    "--yes",
    "-y",
    "--exit-code",
    "--compact",
    "--all",
    "--full",
    "--out",
    "--format",
    "--color",
    "--quiet",
    "-q",
    "--verbose",
    "-v",
];
/// The verbs that make a plan, or take one.
const PLANNING: [&str; 4] = ["plan", "apply", "rollback", "approve"];

/// A plan whose ways out are whole commands: what was given, without what only shows, and with the flag that helps. A flag alone
/// would be about another project, organisation or store than what was given. What shows a plan that was made elsewhere cannot
/// know more than the plan says. `base` is where relative paths begin.
pub(crate) fn with_ways_out<'p>(arguments: &[OsString], global: &Global, base: &Path, plan: &'p Plan) -> Cow<'p, Plan> {
    if plan.blocked.is_empty() {
        return Cow::Borrowed(plan);
    }
    let Some(given) = Given::read(arguments) else { return Cow::Borrowed(plan) };
    let mut plan = plan.clone();
    let of_rollback = plan.rollback.map(|to| format!("rollback {to} "));
    for remedy in plan.blocked.iter_mut().flat_map(|blocked| &mut blocked.remedies) {
        let words = remedy.strip_prefix("reconcile ").unwrap_or(remedy);
        let flags = of_rollback.as_deref().and_then(|of| words.strip_prefix(of)).unwrap_or(words);
        if flags.starts_with("--") {
            *remedy = given.with(flags).unwrap_or_else(|| std::mem::take(remedy));
        } else if words.starts_with("adopt ") {
            remedy.push_str(&given.place(global, base));
        }
    }
    Cow::Owned(plan)
}

/// A command that plans, without what only shows.
struct Given {
    parts: Vec<Part>,
    /// The flags that its verb takes.
    takes: BTreeSet<String>,
    /// The project's directory, if it stands there without a flag.
    directory: Option<PathBuf>,
}

/// A flag with its value, or a name.
struct Part {
    words: Vec<OsString>,
    /// The name of the flag.
    flag: Option<String>,
}

impl Given {
    /// None if the command makes no plan.
    fn read(arguments: &[OsString]) -> Option<Self> {
        let known = Words::new();
        let (mut parts, mut directory, mut verb) = (Vec::new(), None, None);
        let mut rest = arguments.iter().skip(1);
        let mut names = false;
        while let Some(word) = rest.next() {
            let text = word.to_string_lossy();
            if names || !text.starts_with('-') || text == "-" {
                match verb.is_none().then(|| known.verb(&text)).flatten() {
                    Some(found) if !PLANNING.contains(&found) => return None,
                    Some(found) if !names => {
                        verb = Some(found);
                        if verb == Some("plan") {
                            continue;
                        }
                    }
                    _ if matches!(verb, None | Some("plan")) => directory = Some(PathBuf::from(word)),
                    _ => {}
                }
                parts.push(Part { words: vec![word.clone()], flag: None });
                continue;
            }
            names |= text == "--";
            let name = text.split_once('=').map_or(&*text, |(name, _)| name).to_owned();
            let value = if text.contains('=') || !known.takes_value(&name) { None } else { rest.next() };
            if !OF_SHOWING.contains(&&*name) {
                let words = [word].into_iter().chain(value).cloned().collect();
                parts.push(Part { words, flag: Some(name) });
            }
        }
        let takes = known.flags(verb.filter(|verb| *verb != "plan"));
        Some(Self { parts, takes, directory })
    }

    /// The command with more flags; none if its verb does not take them.
    fn with(&self, flags: &str) -> Option<String> {
        let (flag, value) = flags.split_once(' ').unwrap_or((flags, ""));
        if !self.takes.contains(flag.trim_start_matches('-')) {
            return None;
        }
        // What is taken, without the revision that it was looked at in.
        let taken = |value: &str| value.rsplit_once('=').map(|(field, _)| field.trim_matches('\'').to_owned());
        // What was allowed or taken before and did not help was wrong.
        let wrong = |part: &Part| match (part.flag.as_deref() == Some(flag), flag) {
            (true, "--allow-delete") => true,
            (true, "--take") => {
                part.words.last().and_then(|word| taken(&quoted(&word.to_string_lossy()))) == taken(value)
            }
            _ => false,
        };
        let kept = self.parts.iter().filter(|part| !wrong(part)).flat_map(|part| &part.words);
        Some(again(&[&OsString::new()].into_iter().chain(kept).cloned().collect::<Vec<_>>(), flags))
    }

    /// Where the project, its store and its organisation are, for another verb.
    fn place(&self, global: &Global, base: &Path) -> String {
        let inside = |path: &Path| global.directory.as_ref().map_or(path.to_owned(), |base| base.join(path));
        let directory = self.directory.as_deref().map(inside).or_else(|| global.directory.clone());
        // With `-C` relative paths begin elsewhere.
        let store = global.store.as_ref().map(|store| match self.directory {
            Some(_) => base.join(store),
            None => store.clone(),
        });
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let parts = [
            ("-C", directory.map(path)),
            ("--store", store.map(path)),
            ("--server", global.server.clone()),
            ("--token-file", global.token_file.clone().map(path)),
            ("--org", global.org.as_ref().map(ToString::to_string)),
        ];
        let named = parts.into_iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", quoted(&value?))));
        named.collect()
    }
}

/// The command with more flags; what was given stays as it was.
pub(crate) fn again(arguments: &[OsString], flags: &str) -> String {
    let words: Vec<String> = arguments.iter().skip(1).map(|word| quoted(&word.to_string_lossy())).collect();
    // Behind `--` everything is a name.
    let names = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let (flagged, named) = words.split_at(names);
    let parts = ["reconcile"].into_iter().chain(flagged.iter().map(String::as_str)).chain([flags]);
    parts.chain(named.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn p7_a_way_out_is_about_what_the_command_was_about() {
        for (given, flags, expected) in [
            ("x --dry-run", "--allow-delete 3", Some("reconcile --allow-delete 3")),
            ("x prj --dry-run --exit-code", "--allow-delete 3", Some("reconcile prj --allow-delete 3")),
            ("x plan -C plan plan", "--allow-delete 3", Some("reconcile -C plan plan --allow-delete 3")),
            ("x -C prj --format markdown plan", "--allow-break a", Some("reconcile -C prj --allow-break a")),
            ("x --org acme --format=json --yes", "--allow-break a", Some("reconcile --org acme --allow-break a")),
            ("x --allow-delete 2 --yes", "--allow-delete 3", Some("reconcile --allow-delete 3")),
            ("x --allow-break b", "--allow-break a", Some("reconcile --allow-break b --allow-break a")),
            (
                "x rollback r2 --source py -y",
                "--allow-delete 4",
                Some("reconcile rollback r2 --source py --allow-delete 4"),
            ),
            ("x apply plan.json --yes", "--allow-delete 1", Some("reconcile apply plan.json --allow-delete 1")),
            ("x --out p.json -m show --dry-run", "--allow-delete 1", Some("reconcile -m show --allow-delete 1")),
            ("x -Cm -qy --dry-run", "--allow-delete 1", Some("reconcile -Cm -qy --allow-delete 1")),
            ("x -qm plan plan", "--allow-delete 1", Some("reconcile -qm plan --allow-delete 1")),
            ("x --dry-run -- -p", "--allow-delete 1", Some("reconcile --allow-delete 1 -- -p")),
            ("x show plan.json", "--allow-delete 1", None),
            ("x apply plan.json", "--allow-break a", None),
        ] {
            let read = Given::read(&words(given));
            assert_eq!(read.and_then(|given| given.with(flags)).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn what_was_taken_at_another_revision_is_taken_anew() {
        let given: Vec<OsString> =
            ["x", "--take", "flag/a v=r2", "--take=flag/b v=r2", "--dry-run"].into_iter().map(OsString::from).collect();
        assert_eq!(
            Given::read(&given).unwrap().with("--take 'flag/a v=r3'").unwrap(),
            "reconcile '--take=flag/b v=r2' --take 'flag/a v=r3'"
        );
    }

    #[test]
    fn another_verb_is_told_where_the_project_is() {
        use crate::args::Cli;
        use clap::Parser as _;
        for (given, place) in [
            ("x --dry-run", ""),
            ("x prj --dry-run", " -C prj"),
            ("x -C base prj --org acme", " -C base/prj --org acme"),
            ("x -C base --store s", " -C base --store s"),
            ("x --dry-run --store /s prj", " -C prj --store /s"),
            ("x --dry-run --store s prj", " -C prj --store /here/s"),
            ("x --server https://h:1 --token-file t", " --server https://h:1 --token-file t"),
        ] {
            let words = words(given);
            let global = Cli::try_parse_from(&words).unwrap().global;
            assert_eq!(Given::read(&words).unwrap().place(&global, Path::new("/here")), place, "{given}");
        }
    }

    #[test]
    fn a_command_is_pasted_as_it_was_given() {
        for (given, flags, expected) in [
            (vec!["./reconcile"], "--yes", "reconcile --yes"),
            (vec!["x", "rollback", "r1", "--allow-break", "a"], "--yes", "reconcile rollback r1 --allow-break a --yes"),
            (vec!["x", "apply", "my plan.json"], "--yes", "reconcile apply 'my plan.json' --yes"),
            (vec!["x", "-m", "it's", ""], "--yes", "reconcile -m 'it'\\''s' '' --yes"),
            (vec!["x", "apply", "--", "-p"], "--yes", "reconcile apply --yes -- -p"),
        ] {
            let given: Vec<OsString> = given.into_iter().map(OsString::from).collect();
            assert_eq!(again(&given, flags), expected);
        }
    }
}
