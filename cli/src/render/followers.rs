//! Followers, and how a follower stands to its server, as text.
//!
//! Never here: asking for it.

use holdfast_reconciler::plane::{FollowerInfo, FollowerStanding, Following};

use super::ink::{Role, Text, table};

/// Draws the followers that are known; nothing if there are none.
pub(crate) fn followers(text: &mut Text, followers: &[FollowerInfo]) {
    if followers.is_empty() {
        return;
    }
    text.end().add(Role::Strong, "Followers:").end();
    text.append(table(&followers.iter().map(row).collect::<Vec<_>>(), 2));
}

/// Draws followers with their ids.
pub(crate) fn listed(followers: &[FollowerInfo]) -> Text {
    let with_id = |follower: &FollowerInfo| {
        let mut cells = row(follower);
        cells.insert(1, (Role::Quiet, follower.id.clone()));
        let over = follower.token.as_ref().map_or("over the socket".to_owned(), |token| format!("by token {token}"));
        cells.push((Role::Quiet, over));
        cells
    };
    table(&followers.iter().map(with_id).collect::<Vec<_>>(), 0)
}

fn row(follower: &FollowerInfo) -> Vec<(Role, String)> {
    let FollowerInfo { id: _, name, token: _, revision, since, seen, state } = follower;
    let role = match state {
        FollowerStanding::Following => Role::Create,
        FollowerStanding::Silent | FollowerStanding::Awaited => Role::Warning,
    };
    let seen = seen.as_ref().map_or("not heard of yet".to_owned(), |seen| format!("heard of at {seen}"));
    vec![
        (Role::Plain, name.clone()),
        (Role::Plain, revision.map_or("unknown".to_owned(), |revision| revision.to_string())),
        (role, state.to_string()),
        (Role::Plain, format!("since {since}")),
        (Role::Quiet, seen),
    ]
}

/// How a follower stands to its server, in one line.
pub(crate) fn following(following: &Following) -> String {
    let Following { server, connected, since, revision, error } = following;
    let runs = revision.map_or("unknown".to_owned(), |revision| revision.to_string());
    let how = if *connected { "connected" } else { "not connected" };
    let why = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("{server} at {runs}, {how} since {since}{why}")
}
