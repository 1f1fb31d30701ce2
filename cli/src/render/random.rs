//! Plans of every shape, made at random from a fixed seed, for the tests that hold for every plan.
//!
//! Never here: what is asserted of them.

use holdfast_reconciler::plan::Plan;
use serde_json::{Map, Value, from_value, json};

use super::fixtures;

const KINDS: [&str; 8] = ["provider", "agent", "settings", "secret", "platform", "connection", "feature-flag", "zebra"];
const WORDS: [&str; 12] = [
    "plain",
    "a \"quoted\" word",
    "a | b",
    "`code`",
    "@maria",
    "<b>bold</b>",
    "~ agent forged",
    "back\\slash",
    "gr\u{fc}n",
    "",
    "   wide   gaps   ",
    "-> arrow (absent)",
];
const CODES: [&str; 5] = ["E_CONFLICT", "E_PROTECTED", "E_IMMUTABLE", "E_BREAKS", "E_DELETES"];
const EFFECTS: [&str; 4] = ["next-session", "immediate", "restart", "none"];

/// A generator of numbers whose sequence is fixed by its seed (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn hex(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect()
    }
}

/// How large a plan is: the most resources of each sort.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) changes: usize,
    pub(super) blocked: usize,
    pub(super) sessions: usize,
    pub(super) rest: usize,
}

/// Any plan.
pub(super) fn plan(random: &mut Random, size: Size) -> Plan {
    let mut number = 0;
    let mut address = |random: &mut Random| {
        number += 1;
        let kind = random.of(&KINDS);
        let name = match kind {
            "secret" => format!("provider:p-{number}:apiKey"),
            "platform" => format!("agent-{number}/main_{number}"),
            _ => format!("{}-{number}", random.of(&["a", "long-name-of-something", "z.y"])),
        };
        (kind, name)
    };
    let changes: Vec<Value> = (0..random.below(size.changes + 1))
        .map(|_| {
            let (kind, name) = address(random);
            change(random, kind, &name)
        })
        .collect();
    let mut addresses = |random: &mut Random, most: usize| -> Vec<String> {
        let mut found: Vec<String> = (0..random.below(most + 1))
            .map(|_| {
                let (kind, name) = address(random);
                format!("{kind}/{name}")
            })
            .collect();
        found.sort();
        found
    };
    let in_the_way = addresses(random, size.blocked);
    let (unmanaged, unchanged) = (addresses(random, size.rest), addresses(random, size.rest));
    let rollback = random.chance(15).then(|| random.below(40));
    let blocked: Vec<Value> = in_the_way.iter().flat_map(|address| blocks(random, address)).collect();
    let rows = blocked.iter().filter(|block| !matches!(block["code"].as_str(), Some("E_BREAKS" | "E_DELETES")));
    let rows: std::collections::BTreeSet<&str> = rows.filter_map(|block| block["address"].as_str()).collect();
    let count = |action: &str| changes.iter().filter(|change| change["action"] == action).count();
    let summary = json!({
        "create": count("create"), "update": count("update"), "delete": count("delete"), "moved": count("move"),
        "blocked": rows.len(), "unmanaged": unmanaged.len(), "unchanged": unchanged.len(),
    });
    let sessions: Vec<Value> = (0..random.below(size.sessions + 1)).map(|at| session(random, at)).collect();
    let missing = blocked.is_empty() && random.chance(20);
    let diagnostics = if missing { fixtures::lacking_value().diagnostics } else { Vec::new() };
    let git = random.chance(50).then(|| json!({"commit": random.hex(40), "dirty": random.chance(50)}));
    let adopts: Vec<&String> = unchanged.iter().filter(|_| random.chance(20)).collect();
    let kinds: Vec<Value> = (0..random.below(3))
        .map(|at| json!({"name": format!("own-{at}"), "action": random.of(&["create", "update", "delete"])}))
        .collect();
    let mut plan = json!({
        "format_version": "1.0", "plan_id": random.hex(64), "applyable": blocked.is_empty() && !missing, "org": "default",
        "base": {"revision": random.below(100), "commit": random.hex(64)},
        "source": {"name": "platform-team", "git": git, "digest": "00"}, "summary": summary, "changes": changes,
        "unmanaged": unmanaged, "unchanged": unchanged, "adopts": adopts, "blocked": blocked, "sessions": sessions,
        "diagnostics": diagnostics, "kinds": kinds,
    });
    if let Some(back) = rollback {
        plan["rollback"] = json!(back);
    }
    from_value(plan).unwrap()
}

fn at(random: &mut Random) -> Value {
    json!({"file": random.of(&["lobu.toml", "agents/x/SOUL.md"]), "line": random.below(900) + 1, "column": 1})
}

fn change(random: &mut Random, kind: &str, name: &str) -> Value {
    let action = random.of(&["create", "update", "update", "delete", "move"]);
    let reason = match action {
        "create" => "new_in_manifest",
        "delete" => "removed_from_manifest",
        "move" => "moved",
        _ => random.of(&["manifest_changed", "default_changed", "drift_repair", "rollback", "take"]),
    };
    let fields: Vec<Value> = match action {
        "delete" => Vec::new(),
        _ => (0..random.below(4)).map(|at| field(random, action, at)).collect(),
    };
    let affects: Vec<String> = (0..random.below(9)).map(|agent| format!("agent/affected-{agent}")).collect();
    let mut change = json!({
        "address": format!("{kind}/{name}"), "org": "default", "kind": kind, "name": name, "action": action,
        "reason": reason, "fields": fields, "effect": random.of(&EFFECTS), "affects": affects,
    });
    if action == "move" {
        change["from"] = json!(format!("{kind}/old-{name}"));
    }
    if random.chance(80) {
        change["at"] = at(random);
    }
    change
}

fn field(random: &mut Random, action: &str, number: usize) -> Value {
    let mut path = vec![json!(format!("field{number}"))];
    if action != "create" {
        for _ in 0..random.below(3) {
            path.push(if random.chance(30) {
                json!(random.below(9))
            } else {
                json!(random.of(&["z-ai", "inner", "x_1"]))
            });
        }
    }
    let op = if action == "create" { "add" } else { random.of(&["add", "replace", "remove"]) };
    let mut field = json!({"path": path, "op": op});
    if random.chance(70) {
        field["at"] = at(random);
    }
    if action == "update" && random.chance(20) {
        field["owner"] = json!(random.of(&["ui:maria", "cli:otto"]));
    }
    if random.chance(20) {
        field["sensitive"] = json!(true);
        let mut tag = |is_there: bool| if is_there { json!(random.hex(16)) } else { Value::Null };
        (field["before_tag"], field["after_tag"]) = (tag(op != "add"), tag(op != "remove"));
        return field;
    }
    field["sensitive"] = json!(false);
    let lines = random.chance(30);
    let before = if op == "add" { Value::Null } else { value(random, lines) };
    let mut after = if op == "remove" { Value::Null } else { value(random, lines) };
    while after == before {
        after = json!(format!("other {}", random.below(1_000_000)));
    }
    (field["before"], field["after"]) = (before, after);
    field
}

fn value(random: &mut Random, lines: bool) -> Value {
    if lines {
        let text: Vec<&str> = (0..2 + random.below(6)).map(|_| random.of(&WORDS)).collect();
        return json!(text.join("\n") + random.of(&["", "\n"]));
    }
    match random.below(7) {
        0 => json!(random.below(1_000_000)),
        1 => json!(random.chance(50)),
        2 => json!(0.25),
        3 => json!(random.of(&WORDS).repeat(random.below(20) + 1)),
        4 => json!([random.of(&WORDS), {"providerId": random.of(&WORDS)}]),
        5 => json!(Map::from_iter([(random.of(&["a", "b"]).to_owned(), json!(random.of(&WORDS)))])),
        _ => json!(random.of(&WORDS)),
    }
}

/// One reason why a resource is in the way, or two.
fn blocks(random: &mut Random, address: &str) -> Vec<Value> {
    (0..=random.below(2))
        .map(|number| {
            let code = random.of(&CODES);
            let remedies = [
                format!("reconcile adopt {address} model"),
                format!("reconcile --take '{address} model=r{}'", random.below(9)),
                "--allow-break triage".to_owned(),
                "delete `model` from the manifest".to_owned(),
            ];
            let path = (code == "E_CONFLICT").then(|| json!([format!("field{number}"), "inner"]));
            let place = random.chance(60).then(|| at(random));
            let mut blocked = json!({
                "code": code, "address": address, "path": path, "owner": path.as_ref().map(|_| "ui:maria"),
                "revision": random.below(50),
                "message": format!("`{address}` is in the way of {} (<it>, @all)", random.below(99)),
                "remedies": remedies.into_iter().filter(|_| random.chance(60)).collect::<Vec<_>>(),
            });
            if let Some(place) = place {
                blocked["at"] = place;
            }
            blocked
        })
        .collect()
}

fn session(random: &mut Random, number: usize) -> Value {
    let model = |random: &mut Random| json!({"provider": random.of(&["z-ai", "openai"]), "model": format!("m-{}", random.below(9))});
    let agent_change = random.of(&["kept", "kept", "new", "removed"]);
    let fails = agent_change != "removed" && random.chance(50);
    let before = if agent_change == "new" || random.chance(20) { Value::Null } else { model(random) };
    let breaks = fails && !before.is_null();
    let mut session = json!({
        "org": "default", "agent": format!("agent-{number}"), "before": before,
        "after": if fails || agent_change == "removed" { Value::Null } else { model(random) },
        "error": fails.then_some("no usable credential for provider \"z-ai\""),
        "breaks": breaks, "agent_change": agent_change,
    });
    if random.chance(25) {
        (session["user"], session["users"]) = (json!("maria"), json!(1 + random.below(3)));
    } else if random.chance(10) {
        session["users"] = json!(1 + random.below(3));
    }
    session
}
