//! Network rules of an agent and of its skills: reading, normalising, merging.
//!
//! Never here: where the rules stand in a manifest.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::node::Node;

/// Network rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) allowed: Vec<String>,
    pub(crate) denied: Vec<String>,
    /// Domains in order, each with the name of its judge.
    pub(crate) judged: Vec<(String, Option<String>)>,
    /// Policies by name.
    pub(crate) judges: Vec<(String, String)>,
}

impl Network {
    /// Reads the rules of an agent.
    pub(crate) fn of_agent(node: &Node<'_>) -> Self {
        Self {
            allowed: domains(node.get("allowed")),
            denied: domains(node.get("denied")),
            // As they are written: the seed system compares an agent's judged domains verbatim.
            judged: judged(node.get("judge"), str::to_owned),
            judges: judges(node.get("judges")),
        }
    }

    /// Adds the rules of a skill: its lists come last, and what both name is the agent's.
    pub(crate) fn merge(agent: Self, skills: impl IntoIterator<Item = Self>) -> Self {
        let mut skills = skills.into_iter().peekable();
        if skills.peek().is_none() {
            return agent;
        }
        let mut all = Self { allowed: agent.allowed, denied: agent.denied, ..Self::default() };
        for skill in skills {
            // A skill cannot open everything.
            all.allowed.extend(skill.allowed.into_iter().filter(|domain| domain != "*"));
            all.denied.extend(skill.denied);
            put_all(&mut all.judged, skill.judged);
            put_all(&mut all.judges, skill.judges);
        }
        all.allowed = unique(all.allowed);
        all.denied = unique(all.denied);
        put_all(&mut all.judged, agent.judged);
        put_all(&mut all.judges, agent.judges);
        all
    }

    /// The field `networkConfig`; members without content are left out.
    pub(crate) fn to_value(&self) -> Value {
        let mut members = Map::new();
        if !self.allowed.is_empty() {
            members.insert("allowedDomains".to_owned(), json!(self.allowed));
        }
        if !self.denied.is_empty() {
            members.insert("deniedDomains".to_owned(), json!(self.denied));
        }
        if !self.judged.is_empty() {
            let one = |(domain, judge): &(String, Option<String>)| match judge {
                Some(judge) => json!({ "domain": domain, "judge": judge }),
                None => json!({ "domain": domain }),
            };
            members.insert("judgedDomains".to_owned(), self.judged.iter().map(one).collect());
        }
        if !self.judges.is_empty() {
            let policies = self.judges.iter().map(|(name, policy)| (name.clone(), Value::from(policy.as_str())));
            members.insert("judges".to_owned(), Value::Object(policies.collect()));
        }
        Value::Object(members)
    }
}

/// A domain pattern as it is compared: trimmed, in lower case, `*.x` as `.x`; one that starts with `/` is no domain.
pub(crate) fn normalise(pattern: &str) -> String {
    let pattern = pattern.trim();
    if pattern.starts_with('/') {
        return pattern.to_owned();
    }
    let pattern = pattern.to_lowercase();
    match pattern.strip_prefix("*.") {
        Some(rest) => format!(".{rest}"),
        None => pattern,
    }
}

/// The normalised domains of a list, each once.
pub(crate) fn domains(node: Option<&Node<'_>>) -> Vec<String> {
    unique(node.into_iter().flat_map(Node::texts).map(|(text, _)| normalise(text)).collect())
}

/// The judged domains of a list; the last of a domain wins and keeps the first position.
pub(crate) fn judged(node: Option<&Node<'_>>, domain: fn(&str) -> String) -> Vec<(String, Option<String>)> {
    let one = |item: &Node<'_>| {
        let text = item.text().or_else(|| item.text_of("domain"))?;
        Some((domain(text), item.text_of("judge").map(str::to_owned)))
    };
    let mut all = Vec::new();
    put_all(&mut all, node.map(Node::items).unwrap_or_default().iter().filter_map(one).collect());
    all
}

/// The policies of a table.
pub(crate) fn judges(node: Option<&Node<'_>>) -> Vec<(String, String)> {
    let entries = node.map(Node::entries).unwrap_or_default();
    entries.iter().filter_map(|(name, policy)| Some((name.text.to_string(), policy.text()?.to_owned()))).collect()
}

/// Lists up to this length are searched as they are, which is faster than an index and cannot take long.
const SHORT: usize = 16;

/// The items without repetitions, each at its first position.
pub(crate) fn unique(items: Vec<String>) -> Vec<String> {
    if items.len() <= SHORT {
        let mut all: Vec<String> = Vec::with_capacity(items.len());
        for item in items {
            if !all.contains(&item) {
                all.push(item);
            }
        }
        return all;
    }
    let mut seen = HashSet::with_capacity(items.len());
    let first: Vec<bool> = items.iter().map(|item| seen.insert(item.as_str())).collect();
    drop(seen);
    items.into_iter().zip(first).filter_map(|(item, first)| first.then_some(item)).collect()
}

/// Adds pairs; the last one of a name wins and keeps the first one's place.
fn put_all<T>(all: &mut Vec<(String, T)>, more: Vec<(String, T)>) {
    if all.len() + more.len() <= SHORT {
        for (name, value) in more {
            match all.iter_mut().find(|(known, _)| *known == name) {
                Some((_, place)) => *place = value,
                None => all.push((name, value)),
            }
        }
        return;
    }
    let mut places: HashMap<String, usize> =
        all.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
    for (name, value) in more {
        match places.entry(name) {
            Entry::Occupied(place) => all[*place.get()].1 = value,
            Entry::Vacant(place) => {
                all.push((place.key().clone(), value));
                place.insert(all.len() - 1);
            }
        }
    }
}
