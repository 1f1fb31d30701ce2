//! The users that have profiles, grouped by what they can use: all of a group get the same from any agent, so that a plan
//! resolves one of them for all.
//!
//! Never here: resolving, and what a plan says of it.

use std::collections::{BTreeMap, BTreeSet};

use super::credential::{World, has_usable_profile};
use super::profile;

/// Users who can use profiles for the same providers, before and after the changes at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// One of them.
    pub(crate) user: String,
    /// How many they are.
    pub(crate) users: u64,
}

/// The providers for which a user has a usable profile.
type Usable = BTreeSet<String>;

/// The groups of an organisation; a user whose own profiles change stands alone.
pub(crate) fn groups(before: World<'_>, after: World<'_>, changed: &BTreeSet<String>) -> Vec<Group> {
    let prefix = profile::prefix(before.org);
    let mut alone: BTreeSet<String> = BTreeSet::new();
    for key in changed.iter().filter_map(|key| key.strip_prefix(&prefix)) {
        alone.extend(profile::parts(key).map(|(user, _)| user));
    }
    let (mut old, mut new) = (usable(before, &prefix), usable(after, &prefix));
    let users: BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let mut groups: BTreeMap<(Usable, Usable, Option<String>), Group> = BTreeMap::new();
    for user in users {
        let key = (
            old.remove(&user).unwrap_or_default(),
            new.remove(&user).unwrap_or_default(),
            alone.contains(&user).then(|| user.clone()),
        );
        groups.entry(key).or_insert(Group { user, users: 0 }).users += 1;
    }
    groups.into_values().collect()
}

fn usable(world: World<'_>, prefix: &str) -> BTreeMap<String, Usable> {
    let mut users: BTreeMap<String, Usable> = BTreeMap::new();
    for (key, entry) in world.snapshot.prefix(prefix) {
        let Some((user, provider)) = profile::parts(&key.as_str()[prefix.len()..]) else { continue };
        let provider = has_usable_profile(world, &user, provider, entry).then(|| provider.to_owned());
        users.entry(user).or_default().extend(provider);
    }
    users
}
