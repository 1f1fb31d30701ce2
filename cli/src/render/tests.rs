//! What the renderers draw, as snapshots, and the promises that hold for every plan: printed rows are the summary's counts,
//! values forge no row, text shows nothing that JSON lacks.

use holdfast_reconciler::agents::kinds::kinds;
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::plan::{Action, Plan, SessionChange};
use holdfast_reconciler::unseen::is_unseen;

use super::ink::{Colour, Text};
use super::random::{Random, Size};
use super::row::Listed;
use super::text::{PlanView, Values};
use super::value::Length;
use super::{diagnostic, facts, fixtures, github, json, listing, markdown, problem, random, session, text};

fn check(name: &str, shown: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, shown));
}

fn plain(text: &Text) -> String {
    text.render(Colour::Off)
}

fn draw(plan: &Plan, view: PlanView) -> String {
    plain(&text::plan(plan, &kinds(), view))
}

const ALL: PlanView = PlanView { listed: Listed::All, values: Values::Shown, length: Length::Full };
const COMPACT: PlanView = PlanView { listed: Listed::Relevant, values: Values::Hidden, length: Length::Cut };

#[test]
fn plan_text() {
    check("plan-text@design", &draw(&fixtures::design(), PlanView::default()));
    check("plan-text@rich", &draw(&fixtures::rich(), PlanView::default()));
    check("plan-text@rich-all-full", &draw(&fixtures::rich(), ALL));
    check("plan-text@rich-compact", &draw(&fixtures::rich(), COMPACT));
    check("plan-text@lacking-value", &draw(&fixtures::lacking_value(), PlanView::default()));
    check("plan-text@unchanged", &draw(&fixtures::unchanged(), PlanView::default()));
}

#[test]
fn plan_json() {
    check("plan-json@rich", &json::document(&fixtures::rich()));
    check("plan-json@lacking-value", &json::document(&fixtures::lacking_value()));
}

#[test]
fn plan_markdown() {
    check("plan-markdown@design", &markdown::plan(&fixtures::design(), &kinds()));
    check("plan-markdown@rich", &markdown::plan(&fixtures::rich(), &kinds()));
    check("plan-markdown@unchanged", &markdown::plan(&fixtures::unchanged(), &kinds()));
}

#[test]
fn a_comment_stays_in_its_bounds_and_keeps_blocks_and_deletes() {
    let mut plan = fixtures::rich();
    plan.changes.extend(fixtures::design().changes);
    let many = plan.changes[0].clone();
    plan.changes.extend((0..2000).map(|_| many.clone()));
    let comment = markdown::plan(&plan, &kinds());
    assert!(comment.chars().count() <= 60_000);
    for kept in ["E_CONFLICT", "E_BREAKS", "agent/old-bot", "settings/old-bot", "left out for length"] {
        assert!(comment.contains(kept), "{kept}");
    }
}

#[test]
fn every_form_of_any_plan_holds_the_same_facts() {
    const PLANS: u64 = 3_000;
    let (mut changes, mut blocked, mut sessions) = (0, 0, 0);
    for seed in 0..PLANS {
        let plan = random::plan(&mut Random::new(seed), Size { changes: 8, blocked: 3, sessions: 5, rest: 4 });
        let (text, json) = (draw(&plan, ALL), json::document(&plan));
        facts::compare(&format!("plan {seed}"), &text, &json, &markdown::plan(&plan, &kinds()));
        (changes, blocked) = (changes + plan.changes.len(), blocked + plan.blocked.len());
        sessions += plan.sessions.len();
    }
    let met = changes > 10_000 && blocked > 4_000 && sessions > 6_000;
    assert!(met, "only {changes} changes, {blocked} blocks, {sessions} rows of sessions");
}

/// A pull request's comment has a limit: values, the table and what goes on as it should go first. What blocks, fails or is deleted
/// is all there as long as that fits, and then as much of each as there is room for, with the number of the rest.
#[test]
fn a_comment_on_any_large_plan_is_bounded_and_folds_nothing_that_hurts() {
    let (mut whole, mut cut) = (0, 0);
    for seed in 0..24 {
        let most = [200, 1_000, 3_000][seed as usize % 3];
        let size = Size { changes: most, blocked: most / 4, sessions: most / 2, rest: most };
        let plan = random::plan(&mut Random::new(1_000_000 + seed), size);
        let comment = markdown::plan(&plan, &kinds());
        assert!(comment.chars().count() <= 60_000, "plan {seed}");
        assert!(comment.ends_with("</sub>\n"), "plan {seed}");
        let deletes = plan.changes.iter().filter(|change| change.action == Action::Delete);
        let deletes: Vec<String> = deletes.map(|change| format!("- `{}`\n", change.address)).collect();
        let failing: Vec<String> = plan.sessions.iter().filter(|session| session.error.is_some()).map(who).collect();
        let lists =
            [("Blocked", plan.blocked.len()), ("Sessions that fail", failing.len()), ("Deletes", deletes.len())];
        let shown = lists.map(|(heading, count)| {
            let (found, more) = listed(&comment, heading);
            assert_eq!(found + more, count, "plan {seed}: {heading}");
            assert!(found > 0 || count == 0, "plan {seed}: {heading} are all left out");
            more
        });
        if shown == [0; 3] {
            whole += 1;
            let there = |line: &String| comment.contains(line.as_str());
            assert!(deletes.iter().chain(&failing).all(there), "plan {seed}");
            continue;
        }
        cut += 1;
        // It is as full as it may be.
        assert!(comment.chars().count() > 58_000, "plan {seed}: {}", comment.chars().count());
    }
    assert!(whole > 5 && cut > 5, "{whole} comments with all of it, {cut} that are cut");
}

fn who(session: &SessionChange) -> String {
    format!("- `{}`: ", session.who())
}

/// How many items stand under a heading, and how many more are said to be left out.
fn listed(comment: &str, heading: &str) -> (usize, usize) {
    let Some((_, list)) = comment.split_once(&format!("\n**{heading}**\n")) else { return (0, 0) };
    let items = list.lines().take_while(|line| line.starts_with("- ") || line.starts_with("  - "));
    let count = items.clone().filter(|line| line.starts_with("- ")).count();
    let rest = list.lines().nth(items.count() + 1).and_then(|line| line.strip_suffix(" more"));
    (count, rest.and_then(|rest| rest.parse().ok()).unwrap_or(0))
}

#[test]
fn plan_annotations() {
    check("plan-github@rich", &github::plan(&fixtures::rich()));
    check("diagnostics-github@all", &github::annotations(&fixtures::diagnostics()));
}

/// A value with a character that is drawn as nothing would look unchanged, and a tag could talk to a model behind a reader's back.
#[test]
fn every_form_shows_what_is_drawn_as_nothing() {
    let unseen = |text: String| {
        assert!(text.contains("triage"));
        text.replace("triage", "tri\u{200b}a\u{ad}g\u{e0041}e\u{feff}")
    };
    let plan: Plan = serde_json::from_str(&unseen(json::document(&fixtures::rich()))).unwrap();
    let triage = serde_json::from_str::<Vec<_>>(&unseen(
        serde_json::to_string(&fixtures::diagnostics()).unwrap().replace("agent", "triage"),
    ));
    let found = Problem { diagnostics: triage.unwrap(), ..fixtures::session_problem() };
    for shown in [
        draw(&plan, ALL),
        json::document(&plan),
        json::line(&plan),
        markdown::plan(&plan, &kinds()),
        github::plan(&plan),
        problem::draw(&found, Colour::Off),
        json::failure(&found),
        markdown::failure(&found),
        github::failure(&found),
    ] {
        assert!(
            shown.contains("tri\\u200ba\\u00adg\\udb40\\udc41e\\ufeff") || shown.contains("tri\\\\u200ba"),
            "{shown}"
        );
        let hidden = shown.chars().find(|character| *character != '\n' && is_unseen(*character));
        assert_eq!(hidden, None, "{shown}");
    }
}

/// DESIGN section 7, byte for byte below the first line.
#[test]
fn the_layout_is_that_of_the_design() {
    let expected = "  agents:
  - agent old-bot                                                  removed from lobu.toml

  settings:
  ~ settings hotreload-test (providerModelPreferences)             lobu.toml:7
      providerModelPreferences.z-ai: \"glm-4.6\" -> \"glm-4.5\"
  - settings old-bot                                               removed from lobu.toml

Sessions:
  * hotreload-test: z-ai/glm-4.6 -> z-ai/glm-4.5                   next session
  * old-bot: z-ai/glm-4.6 -> none                                  removed
  * other-bot: BREAKS: no usable credential for provider \"z-ai\"    was z-ai/glm-4.6

Summary: 0 create, 1 update, 2 delete, 0 blocked, 0 unmanaged, 12 unchanged
";
    let shown = draw(&fixtures::design(), PlanView::default());
    let (first, rest) = shown.split_once("\n\n").unwrap();
    assert_eq!(first, "Plan 7c1e93ab   base r41   source platform-team @ 9be07aa   org default");
    assert_eq!(rest, expected);
}

#[test]
fn printed_rows_are_the_counts_of_the_summary() {
    for plan in [fixtures::design(), fixtures::rich(), fixtures::lacking_value(), fixtures::unchanged()] {
        let shown = draw(&plan, ALL);
        let rows = |mark: &str| {
            let begins = |line: &&str| line.trim_start().starts_with(&format!("{mark} "));
            shown.lines().filter(begins).count() as u64
        };
        let summary = plan.summary;
        let counted = [
            ("+", summary.create),
            ("~", summary.update),
            ("-", summary.delete),
            (">", summary.moved),
            ("!", summary.blocked),
            ("?", summary.unmanaged),
            ("=", summary.unchanged),
        ];
        for (mark, count) in counted {
            assert_eq!(rows(mark), count, "rows with {mark} in\n{shown}");
        }
    }
}

#[test]
fn a_value_cannot_pass_for_a_row() {
    let mut plan = fixtures::rich();
    let forged = "a\n- agent forged\n  + agent forged\n= agent forged";
    let field = plan.changes.iter_mut().find(|change| change.name.as_str() == "triage").map(|c| &mut c.fields[0]);
    field.unwrap().after = Some(forged.into());
    for view in [PlanView::default(), ALL] {
        let shown = draw(&plan, view);
        let forges = |line: &&str| line.contains("agent forged") && !line.trim_start().starts_with('|');
        assert_eq!(shown.lines().find(forges), None, "{shown}");
    }
}

#[test]
fn colour_changes_no_word() {
    let drawn = text::plan(&fixtures::rich(), &kinds(), PlanView::default());
    let coloured = drawn.render(Colour::On);
    let mut stripped = String::new();
    for (index, part) in coloured.split("\u{1b}[").enumerate() {
        stripped.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(stripped, plain(&drawn));
}

#[test]
fn session_text_and_json() {
    check("session-text@org-secret", &plain(&session::draw(&fixtures::session(), Length::Cut)));
    check("session-json@org-secret", &json::document(&fixtures::session()));
}

#[test]
fn listings() {
    check("history-text@two", &plain(&listing::history(&fixtures::history())));
    check("history-json@two", &json::document(&fixtures::history()));
    check("show-text@commit", &plain(&listing::commit(&fixtures::one_commit())));
    check("get-text@owners", &plain(&listing::resource(&fixtures::resource(), Length::Cut)));
    check("secret-list-text@two", &plain(&listing::secrets(&fixtures::secrets())));
    check("status-text@served", &plain(&listing::status(&fixtures::status())));
    check("status-json@served", &json::document(&fixtures::status()));
    check("verify-text@sound", &plain(&listing::verification(&fixtures::verification(&[]))));
    let damage = ["r7: the checksum of the commit record does not hold"];
    check("verify-text@damaged", &plain(&listing::verification(&fixtures::verification(&damage))));
}

#[test]
fn failures() {
    let problem = fixtures::session_problem();
    check("error-text@session", &problem::draw(&problem, Colour::Off));
    check("error-json@session", &json::failure(&problem));
    let found = Problem { diagnostics: fixtures::diagnostics(), ..problem };
    check("error-markdown@session", &markdown::failure(&found));
    check("error-github@session", &github::failure(&found));
}

#[test]
fn diagnostics() {
    check("diagnostics-text@all", &diagnostic::draw(&fixtures::diagnostics(), Colour::Off));
}
