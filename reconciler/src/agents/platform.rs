//! The stable id of a platform: what it is made of, and what it becomes when its agent gets another name.
//!
//! Never here: which platforms a manifest declares.

/// The id that the platform keeps as long as agent, type and name stay the same. It is unique inside its agent only, and
/// the address names the agent too.
pub(crate) fn stable_id(agent: &str, kind: &str, name: Option<&str>) -> String {
    let parts = [Some(agent), Some(kind), name];
    parts.into_iter().flatten().map(slugify).collect::<Vec<_>>().join("-")
}

/// The id of the same platform under another agent; none if the id is not made of the agent's name.
pub(crate) fn of_renamed_agent(id: &str, from: &str, to: &str) -> Option<String> {
    let rest = id.strip_prefix(slugify(from).as_str())?.strip_prefix('-')?;
    Some(format!("{}-{rest}", slugify(to)))
}

/// Lower case; every run of anything but letters and digits becomes one hyphen, none at the ends.
fn slugify(text: &str) -> String {
    let mut slug = String::new();
    for char in text.chars().flat_map(char::to_lowercase) {
        if char.is_ascii_lowercase() || char.is_ascii_digit() {
            slug.push(char);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stable_id_is_made_of_agent_type_and_name() {
        let vectors = include_str!("../../../testdata/manifests/vectors/platform-ids.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
        assert_eq!(vectors.len(), 5);
        for vector in vectors {
            let input = |key: &str| vector["input"][key].as_str();
            let id = stable_id(input("agent").unwrap(), input("type").unwrap(), input("name"));
            assert_eq!(id, vector["output"].as_str().unwrap(), "{}", vector["id"]);
        }
    }

    #[test]
    fn a_renamed_agent_takes_the_rest_of_the_id_along() {
        assert_eq!(of_renamed_agent("old-bot-slack-ops", "old-bot", "new").as_deref(), Some("new-slack-ops"));
        assert_eq!(of_renamed_agent("older-slack", "old", "new"), None);
    }
}
