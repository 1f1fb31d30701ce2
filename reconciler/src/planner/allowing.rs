//! What is said of an agent that `--allow-break` names and that is not there.
//!
//! An agent that is there and breaks nothing is allowed in vain and nothing is said: a script may allow it each time. Never
//! here: which sessions break, and what is allowed; `guard.rs` knows.

use super::Planner;
use crate::agents::kinds::AGENT;
use crate::diagnostic::Diagnostic;
use crate::pasted::quoted;
use crate::resource::keys;
use crate::suggest;

impl Planner<'_> {
    /// Warns of names that are of no agent, neither live nor declared.
    pub(super) fn note_allowed(&mut self) {
        let input = &self.input;
        if input.options.allow_break.is_empty() {
            return;
        }
        let prefix = format!("{}{AGENT}/", keys::live_prefix(input.org));
        let live = input.snapshot.prefix(&prefix).filter_map(|(key, _)| key.as_str().strip_prefix(&prefix));
        let declared = input.desired.resources.iter().map(|declared| &declared.address);
        let declared = declared.filter(|address| address.kind.as_str() == AGENT).map(|address| address.name.as_str());
        let agents: Vec<&str> = live.chain(declared).collect();
        let missing = input.options.allow_break.iter().filter(|agent| !agents.contains(&agent.as_str()));
        for agent in missing {
            let message = format!("`--allow-break {}` allows nothing: there is no agent `{agent}`", quoted(agent));
            let name = agent.strip_prefix("agent/").unwrap_or(agent);
            let found = Diagnostic::warning("W_ALLOW_NOTHING", message);
            self.findings.list.push(match suggest::nearest(name, agents.iter().copied()) {
                Some(near) => found.help(format!("did you mean `{near}`?")),
                None => found.help("name an agent whose sessions the plan shows as failing"),
            });
        }
    }
}
