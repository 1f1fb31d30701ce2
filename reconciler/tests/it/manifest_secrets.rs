//! A secret that is written into a manifest is repeated nowhere: not in a message, a label, a help line or `Debug` (P8).

use crate::support::manifest::{load_files, text};

const HIDDEN: &str = "hidden-4f7a91";

#[test]
fn no_mistake_beside_a_secret_shows_it() {
    let agent = "[agents.a]\nname = \"A\"\ndir = \"./a\"\n";
    let provider = format!("{agent}[[agents.a.providers]]\nid = \"z-ai\"\n");
    let manifests = [
        format!("{provider}key = \"{HIDDEN}\"\n"),
        format!("{provider}key = \"{HIDDEN}\n"),
        format!("{provider}key = {HIDDEN}\n"),
        format!("{provider}key = [\"{HIDDEN}\"]\n"),
        format!("{provider}keey = \"{HIDDEN}\"\n"),
        format!("{provider}key = \"{HIDDEN}\"\nkey = \"{HIDDEN}\"\n"),
        format!("{provider}secret_ref = \"{HIDDEN}\"\n"),
        format!("{agent}providers = [{{ id = \"z-ai\", modle = \"x\", key = \"{HIDDEN}\" }}]\n"),
        format!("{provider}key = \"\"\"\n{HIDDEN}\"\"\"\nmodle = 1\n"),
        format!(
            "[kinds.k]\nfields.s = {{ type = \"string\", sensitive = true }}\n[resources.k.a]\ns = \"{HIDDEN}\"\nt = \"{HIDDEN}\"\n"
        ),
        format!(
            "[kinds.k]\nfields.s = {{ type = \"string\", sensitive = true }}\n[resources.k.a]\ns = [\"{HIDDEN}\"]\n"
        ),
    ];
    for manifest in &manifests {
        shows_nothing(&[("lobu.toml", manifest)]);
    }
    let main = format!("{agent}[memory]\n");
    let profile = "type: auth_profile\nslug: p\nconnector: c\nkind: env\n";
    let connectors = [
        format!("{profile}credentials: {{ TOKEN: {HIDDEN} }}\n"),
        format!("{profile}credentials: {HIDDEN}\n"),
        format!("{profile}credentials:\n  TOKEN: [{HIDDEN}]\n"),
        format!("{profile}credentials:\n  TOKEN: {HIDDEN}\n  TOKEN: {HIDDEN}\nslug: [\n"),
        format!("{profile}credentials: {{ TOKEN: \"{HIDDEN}\n"),
        format!("type: auth_profile\nslug: p\nconnector: c\nkind: oauth_account\ncredentials: {{ TOKEN: {HIDDEN} }}\n"),
    ];
    for connector in &connectors {
        shows_nothing(&[("lobu.toml", &main), ("connectors/x.yaml", connector)]);
    }
}

fn shows_nothing(files: &[(&str, &str)]) {
    let loaded = load_files(files);
    assert!(!loaded.diagnostics.is_empty(), "nothing is said about {files:?}");
    let shown = text(&loaded.diagnostics) + &serde_json::to_string(&loaded.diagnostics).unwrap();
    assert!(!shown.contains(HIDDEN), "{files:?}: {shown}");
    assert!(!format!("{loaded:?}").contains(HIDDEN), "{files:?}");
}
