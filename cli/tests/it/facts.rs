//! Text, JSON and Markdown of one plan hold the same facts: each is read back here, as a person or a script would, and the
//! three are compared. The scenarios do so for every plan that they show.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a plan says, whatever its form.
#[derive(Debug, Default, PartialEq)]
struct Facts {
    /// Mark, address and fields of each row.
    rows: BTreeSet<(char, String, String)>,
    /// Who and what of each line about sessions.
    sessions: Vec<String>,
    /// Code, message and ways out.
    blocked: Vec<(String, String, Vec<String>)>,
    adopts: Vec<String>,
    kinds: Vec<String>,
    /// When each change takes effect and whom it affects, by address.
    effects: BTreeMap<String, String>,
}

/// The values below a row, as they are written.
type Values = BTreeMap<(String, String), String>;

/// Holds the three forms of one plan against each other. `text` is drawn with `--all --full`.
pub(crate) fn compare(name: &str, text: &str, json: &str, markdown: &str) {
    let plan: Value = serde_json::from_str(json).unwrap();
    let (facts, values) = of_text(text);
    let expected = of_json(&plan);
    assert_eq!(facts, expected, "{name}: the text says something else than the JSON\n{text}\n{json}");
    check_header(name, text, &plan);
    check_values(name, &values, &plan, text);
    let marked = of_markdown(markdown);
    // Markdown counts what is unchanged and does not list it.
    let shown = expected.rows.into_iter().filter(|(mark, ..)| *mark != '=').collect();
    let wanted = Facts { rows: shown, ..expected };
    let sorted = |mut lines: Vec<String>| {
        lines.sort_unstable();
        lines
    };
    let plain = |facts: Facts| Facts {
        // The failing ones come first in Markdown.
        sessions: sorted(facts.sessions.iter().map(|line| bare(line)).collect()),
        effects: facts.effects.into_iter().map(|(address, effect)| (address, five(&effect))).collect(),
        blocked: facts
            .blocked
            .into_iter()
            .map(|(code, message, ways)| (code, bare(&message), ways.iter().map(|way| bare(way)).collect()))
            .collect(),
        ..facts
    };
    assert_eq!(
        plain(marked),
        plain(wanted),
        "{name}: the Markdown says something else than the JSON\n{markdown}\n{json}"
    );
    let summary = &plan["summary"];
    let rest = format!("<sub>{} unmanaged, {} unchanged; ", summary["unmanaged"], summary["unchanged"]);
    assert!(markdown.contains(&rest), "{name}: no `{rest}` in\n{markdown}");
    for (word, what) in [("create", "create"), ("update", "update"), ("delete", "delete"), ("moved", "moved")] {
        let count = summary[what].as_u64().unwrap();
        let told = markdown.lines().nth(1).unwrap().contains(&format!("{count} {word}"));
        assert!(told || count == 0, "{name}: {word}\n{markdown}");
    }
}

fn check_header(name: &str, text: &str, plan: &Value) {
    let id = &plan["plan_id"].as_str().unwrap()[..8];
    let head = text.lines().next().unwrap();
    let mut expected =
        format!("Plan {id}   base r{}   source {}", plan["base"]["revision"], plan["source"]["name"].as_str().unwrap());
    if let Some(commit) = plan["source"]["git"]["commit"].as_str() {
        expected.push_str(&format!(" @ {}", &commit[..7]));
    }
    assert!(head.starts_with(&expected), "{name}: {head}");
    let org = format!("org {}", plan["org"].as_str().unwrap());
    assert!(head.split("   ").any(|part| part == org), "{name}: {head}");
    let summary = &plan["summary"];
    let count = |what: &str| summary[what].as_u64().unwrap();
    let moved = if count("moved") == 0 { String::new() } else { format!(", {} moved", count("moved")) };
    let line = format!(
        "Summary: {} create, {} update, {} delete{moved}, {} blocked, {} unmanaged, {} unchanged",
        count("create"),
        count("update"),
        count("delete"),
        count("blocked"),
        count("unmanaged"),
        count("unchanged"),
    );
    assert!(text.lines().any(|found| found == line), "{name}: no `{line}` in\n{text}");
    let ready = plan["applyable"].as_bool().unwrap() || !plan["blocked"].as_array().unwrap().is_empty();
    assert_eq!(ready, !text.contains("\nNot applyable yet"), "{name}\n{text}");
}

/// What a way out adds to the command that was given, which only the forms for people write down whole.
fn help_of(way: &str) -> String {
    let flag = ["--allow-delete ", "--allow-break ", "--take "].into_iter().filter_map(|flag| way.rfind(flag)).max();
    let place = [" -C ", " --store ", " --org "].into_iter().filter_map(|flag| way.find(flag)).min();
    match flag {
        Some(at) => way[at..].to_owned(),
        None => way[..place.unwrap_or(way.len())].to_owned(),
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn of_json(plan: &Value) -> Facts {
    let mut facts = Facts { adopts: texts(&plan["adopts"]), ..Facts::default() };
    for change in plan["changes"].as_array().unwrap() {
        let (mark, listed) = match change["action"].as_str().unwrap() {
            "create" => ('+', false),
            "update" => ('~', true),
            "delete" => ('-', false),
            "move" => ('>', true),
            other => panic!("{other}"),
        };
        let mut fields: Vec<&str> = Vec::new();
        for field in change["fields"].as_array().unwrap().iter().filter(|_| listed) {
            let top = field["path"][0].as_str().unwrap();
            if !fields.contains(&top) {
                fields.push(top);
            }
        }
        let address = change["address"].as_str().unwrap().to_owned();
        let mut effect = change["effect"].as_str().unwrap().to_owned();
        let affects = texts(&change["affects"]);
        if !affects.is_empty() {
            effect.push_str(&format!(", affects {}", affects.join(", ")));
        }
        facts.effects.insert(address.clone(), effect);
        facts.rows.insert((mark, address, fields.join(", ")));
    }
    let mut blocked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for block in plan["blocked"].as_array().unwrap() {
        let (code, address) = (block["code"].as_str().unwrap(), block["address"].as_str().unwrap());
        let ways = texts(&block["remedies"]).iter().map(|way| help_of(way)).collect();
        let at = block["at"]["file"].as_str().map(|file| format!("{file}:{}", block["at"]["line"]));
        facts.blocked.push((code.to_owned(), placed(block["message"].as_str().unwrap(), at.as_deref()), ways));
        if !matches!(code, "E_BREAKS" | "E_DELETES") {
            let fields = blocked.entry(address.to_owned()).or_default();
            let top = block["path"][0].as_str().map(str::to_owned);
            fields.extend(top.filter(|top| !fields.contains(top)));
        }
    }
    facts.rows.extend(blocked.into_iter().map(|(address, fields)| ('!', address, fields.join(", "))));
    let plain = |mark: char, list: &Value| texts(list).into_iter().map(move |address| (mark, address, String::new()));
    facts.rows.extend(plain('?', &plan["unmanaged"]));
    facts.rows.extend(plain('=', &plan["unchanged"]));
    for session in plan["sessions"].as_array().unwrap() {
        facts.sessions.push(session_line(session));
    }
    for kind in plan["kinds"].as_array().into_iter().flatten() {
        facts.kinds.push(kind["name"].as_str().unwrap().to_owned());
    }
    facts
}

/// A message with the place that it is about.
fn placed(message: &str, at: Option<&str>) -> String {
    at.map_or(message.to_owned(), |at| format!("{message} @ {at}"))
}

fn session_line(session: &Value) -> String {
    let agent = session["agent"].as_str().unwrap();
    let others = session["users"].as_u64().filter(|users| *users > 1).map(|users| format!(" and {} more", users - 1));
    let who = match session["user"].as_str() {
        Some(user) => format!("{agent} for {user}{}", others.unwrap_or_default()),
        None => agent.to_owned(),
    };
    let model = |end: &Value| match end {
        Value::Null => "none".to_owned(),
        model => format!("{}/{}", model["provider"].as_str().unwrap(), model["model"].as_str().unwrap()),
    };
    let (before, after) = (model(&session["before"]), model(&session["after"]));
    let new = session["agent_change"] == "new";
    let right = match session["agent_change"].as_str().unwrap() {
        "new" => "new",
        "removed" => "removed",
        _ => "next session",
    };
    match (session["error"].as_str(), session["users"].as_u64().filter(|_| session["user"].is_null())) {
        (Some(error), _) if session["breaks"] == true => format!("{who}: BREAKS: {error} | was {before}"),
        (Some(error), _) if new => format!("{who}: FAILS: {error} | new"),
        (Some(error), _) => format!("{who}: FAILS: {error} | was {before}"),
        (None, Some(1)) => format!("{who}: no shared credential; 1 user has their own | {right}"),
        (None, Some(users)) => format!("{who}: no shared credential; {users} users have their own | {right}"),
        (None, None) => format!("{who}: {before} -> {after} | {right}"),
    }
}

/// Splits a line at the gap before what stands at its right.
fn gap(line: &str) -> (&str, &str) {
    match line.rfind("   ") {
        Some(at) => (line[..at].trim_end(), &line[at + 3..]),
        None => (line, ""),
    }
}

fn of_text(text: &str) -> (Facts, Values) {
    let (mut facts, mut values) = (Facts::default(), Values::new());
    let mut section = "";
    let mut row = String::new();
    let mut last: Option<(String, String)> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("blocked[") {
            let (code, message) = rest.split_once("]: ").unwrap();
            facts.blocked.push((code.to_owned(), message.to_owned(), Vec::new()));
            section = "blocked";
            continue;
        }
        match line {
            "Kinds:" | "Adopts:" | "Sessions:" => {
                section = line;
                continue;
            }
            _ if line.starts_with("Summary:") => section = line,
            _ => {}
        }
        if let (Some(item), "Kinds:" | "Adopts:" | "Sessions:") = (line.strip_prefix("  * "), section) {
            let (left, right) = gap(item);
            match section {
                "Kinds:" => facts.kinds.push(left.to_owned()),
                "Adopts:" => facts.adopts.push(left.to_owned()),
                _ => facts.sessions.push(format!("{left} | {right}")),
            }
        } else if let (Some(way), "blocked") = (line.strip_prefix("    help: "), section) {
            facts.blocked.last_mut().unwrap().2.push(help_of(way));
        } else if let (Some(note), "blocked") = (line.strip_prefix("    at "), section) {
            let message = &mut facts.blocked.last_mut().unwrap().1;
            *message = placed(message, note.split(", ").next());
        } else if let Some(value) = line.strip_prefix("      ").filter(|_| section.is_empty()) {
            if let Some(effect) = value.strip_prefix("* ") {
                facts.effects.insert(row.clone(), effect.to_owned());
            } else if let Some(part) = value.strip_prefix("  | ") {
                let lines = values.get_mut(last.as_ref().unwrap()).unwrap();
                lines.push('\n');
                lines.push_str(part);
            } else {
                let (path, shown) = value.split_once(':').unwrap();
                let key = (row.clone(), path.to_owned());
                values.insert(key.clone(), shown.trim_start().to_owned());
                last = Some(key);
            }
        } else if section.is_empty() && line.len() > 4 && line.starts_with("  ") && line.as_bytes()[3] == b' ' {
            let mark = line.chars().nth(2).unwrap();
            let (left, _) = gap(&line[4..]);
            let (kind, rest) = left.split_once(' ').unwrap();
            let (name, fields) = match rest.strip_suffix(')').and_then(|rest| rest.split_once(" (")) {
                Some((name, fields)) => (name, fields),
                None => (rest, ""),
            };
            row = format!("{kind}/{name}");
            facts.rows.insert((mark, row.clone(), fields.to_owned()));
        }
    }
    (facts, values)
}

fn check_values(name: &str, values: &Values, plan: &Value, text: &str) {
    let mut expected = 0;
    for change in plan["changes"].as_array().unwrap() {
        for field in change["fields"].as_array().unwrap() {
            expected += 1;
            let mut path = String::new();
            for step in field["path"].as_array().unwrap() {
                match step {
                    Value::String(name) if path.is_empty() => path.push_str(name),
                    Value::String(name) => path.push_str(&format!(".{name}")),
                    index => path.push_str(&format!("[{index}]")),
                }
            }
            let key = (change["address"].as_str().unwrap().to_owned(), path);
            let shown = values.get(&key).unwrap_or_else(|| panic!("{name}: {key:?} has no value\n{text}"));
            let create = change["action"] == "create";
            let mut told = if shown.contains('\n') || shown.starts_with("taken over") {
                changed_lines(name, shown, field);
                String::new()
            } else if field["sensitive"] == true {
                let tag =
                    |tag: &Value| tag.as_str().map_or("(secret)".to_owned(), |tag| format!("(secret {})", &tag[..6]));
                let (before, after) = (tag(&field["before_tag"]), tag(&field["after_tag"]));
                match (create, field["op"].as_str().unwrap()) {
                    (true, _) => after,
                    (_, "add") => format!("(absent) -> {after}"),
                    (_, "remove") => format!("{before} -> (absent)"),
                    _ => format!("{before} -> {after}"),
                }
            } else {
                let value = |value: &Value| if value.is_null() { "(absent)".to_owned() } else { value.to_string() };
                let after = value(&field["after"]);
                if create { after } else { format!("{} -> {after}", value(&field["before"])) }
            };
            if let Some(owner) = field["owner"].as_str() {
                told.push_str(&format!("   taken over from {owner}"));
                assert!(shown.contains(told.trim_start()), "{name}: {key:?} is {shown}, not {told}");
            } else if !told.is_empty() {
                assert_eq!(*shown, told, "{name}: {key:?}");
            }
        }
    }
    assert_eq!(values.len(), expected, "{name}: {values:?}\n{text}");
}

/// The lines that only one of the two texts has must stand in the diff, with their sign.
fn changed_lines(name: &str, shown: &str, field: &Value) {
    let lines =
        |value: &Value| -> Vec<String> { value.as_str().unwrap_or_default().lines().map(str::to_owned).collect() };
    let (before, after) = (lines(&field["before"]), lines(&field["after"]));
    let drawn: BTreeSet<&str> = shown.lines().collect();
    for (sign, mine, theirs) in [('-', &before, &after), ('+', &after, &before)] {
        for line in mine.iter().filter(|line| !theirs.contains(line)) {
            let wanted = format!("{sign}{line}");
            assert!(drawn.contains(wanted.as_str()), "{name}: no `{wanted}` in\n{shown}");
        }
    }
}

/// A line about consequences as Markdown has it: five names, and how many more there are.
fn five(effect: &str) -> String {
    let Some((when, names)) = effect.split_once(", affects ") else { return effect.to_owned() };
    let names: Vec<&str> = names.split(", ").collect();
    match names.len() {
        0..=5 => effect.to_owned(),
        count => format!("{when}, affects {} and {} more", names[..5].join(", "), count - 5),
    }
}

/// Text without what Markdown adds to it or takes for markup.
fn bare(text: &str) -> String {
    let text = text.replace("&#64;", "@").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    text.chars().filter(|char| !matches!(char, '`' | '\\')).collect::<String>().trim().to_owned()
}

fn of_markdown(markdown: &str) -> Facts {
    let mut facts = Facts::default();
    let mut section = "";
    let mut fenced = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        if let Some((title, _)) = line.strip_prefix("**").and_then(|rest| rest.split_once("**")) {
            section = title;
        } else if line.is_empty() {
            section = "";
        }
        if let Some(way) = line.strip_prefix("  - ").filter(|_| section == "Blocked") {
            facts.blocked.last_mut().unwrap().2.push(help_of(way));
        } else if let Some(item) = line.strip_prefix("- ") {
            match section {
                "Blocked" => {
                    let (code, message) = item.split_once(' ').unwrap();
                    let at = message.strip_prefix("(`").and_then(|rest| rest.split_once("`) "));
                    let message = at.map_or(message.to_owned(), |(at, message)| placed(message, Some(at)));
                    facts.blocked.push((bare(code), message, Vec::new()));
                }
                "Adopts" => facts.adopts.push(bare(item)),
                "Kinds" => facts.kinds.push(bare(item.split_once(": ").unwrap().0)),
                "Sessions" | "Sessions that fail" => {
                    let (left, right) = item.strip_suffix(')').unwrap().rsplit_once(" (").unwrap();
                    facts.sessions.push(format!("{left} | {right}"));
                }
                _ => {}
            }
        } else if let Some(cells) = line.strip_prefix("| `") {
            let cells: Vec<String> = cells.split(" | ").map(bare).collect();
            let mark = match cells[1].as_str() {
                "create" => '+',
                "update" => '~',
                "delete" => '-',
                "move" => '>',
                "blocked" => '!',
                "unmanaged" => '?',
                other => panic!("{other}: {line}"),
            };
            if !matches!(mark, '!' | '?') {
                facts.effects.insert(cells[0].clone(), cells[3].clone());
            }
            facts.rows.insert((mark, cells[0].clone(), cells[2].clone()));
        }
    }
    facts
}
