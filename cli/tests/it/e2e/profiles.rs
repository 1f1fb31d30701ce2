//! Profiles of users with the real binary, through a server and embedded, byte for byte the same.

use serde_json::json;

use super::bench::Project;
use super::story::without_commit_ids;

const CANARY: &str = "canary-profile-of-maria";

/// Gives what every step printed to standard output.
fn profiles(server: bool) -> Vec<String> {
    let mut project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    // Its own environment would be one more tier of credentials.
    project.unset("Z_AI_API_KEY");
    let _server = server.then(|| project.serve());
    let mut said = Vec::new();
    let mut tell = |out: String| {
        assert!(!out.contains(CANARY), "{out}");
        // Each project has a key of its own, so tags differ.
        let tags = out.split("(secret ").enumerate().map(|(at, part)| if at == 0 { part } else { &part[6..] });
        said.push(without_commit_ids(&tags.collect::<String>()));
    };
    let set = ["profile", "set", "maria", "z-ai"];
    tell(project.run_with_input(&set, Some(&format!("{CANARY}\n"))).exits(0).says("Set the profile of maria").out);
    let session = ["session", "hotreload-test", "--user", "maria", "--format", "json"];
    let context = project.run(&session).exits(0).json();
    assert_eq!((&context["credentials"][0]["source"], &context["user"]), (&json!("profile"), &json!("maria")));
    let scoped = [&set[..], &["--model", "glm-4.6", "--type", "oauth", "--expires", "2001-01-01T00:00:00Z"]].concat();
    tell(project.run_with_input(&scoped, Some(CANARY)).exits(0).out);
    let listed = project.run(&["profile", "list"]).exits(0).says("maria  z-ai  *").says("oauth").says("expires 2001");
    tell(listed.out);
    let listed = project.run(&["profile", "list", "--user", "maria", "--format", "json"]).exits(0).json();
    assert_eq!(listed["profiles"].as_array().unwrap().len(), 2, "{listed}");
    tell(project.run(&["session", "hotreload-test", "--user", "maria"]).exits(0).says("oauth glm-4.6: expired").out);

    let explain = ["explain", "session", "hotreload-test"];
    let explained = project.run(&[&explain[..], &["--user", "maria"]].concat()).exits(0);
    tell(explained.says("so it runs on z-ai/glm-4.6 with the profile credential").out);

    // The shared key goes: sessions without a user break, maria's do not.
    project.run(&["secret", "remove", "provider:z-ai:apiKey"]).exits(3).complains("hotreload-test` work now");
    project.run(&["secret", "remove", "provider:z-ai:apiKey", "--allow-break", "hotreload-test"]).exits(0);
    project.run(&["session", "hotreload-test"]).exits(1);
    // Only a server knows the environment that sessions run in, so this one step is told in other words.
    project.run(&explain).exits(0).says("so there is no session: No provider specified").says("help: set the key");
    let json = [&explain[..], &["--format", "json", "--at", "r1"]].concat();
    assert_eq!(project.run(&json).exits(0).json()["credential"], json!("org-secret"));
    project.run(&["explain", "session", "nobody"]).exits(1).complains("unknown agent");
    project.run(&["session", "hotreload-test", "--user", "maria"]).exits(0);
    let remove = ["profile", "remove", "maria", "z-ai"];
    let refused = project.run(&remove).exits(3).complains("hotreload-test for maria");
    tell(refused.out);
    tell(project.run(&[&remove[..], &["--allow-break", "hotreload-test"]].concat()).exits(0).says("Removed").out);
    tell(project.run(&remove).exits(0).says("maria has no such profile for z-ai").out);
    project.run(&["profile", "set", "maria", "z-ai", "a-value-in-an-argument"]).exits(64);
    project.run(&["profile", "set", "maria", "z-ai", "--type", "magic"]).exits(64);
    project.run(&["profile", "set", "maria", "Z AI", "--from-secret", "x"]).exits(1).complains("invalid provider");
    said
}

#[test]
fn p8_profiles_of_users_are_set_listed_and_removed_through_a_server_and_embedded_with_the_same_bytes() {
    assert_eq!(profiles(true), profiles(false));
}
