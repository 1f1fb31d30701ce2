//! Small cases of the grammar as data: `testdata/manifests/vectors/` restates what the field does with them, by our fields.

use std::collections::BTreeMap;

use holdfast_reconciler::agents::kinds::group;
use holdfast_reconciler::value::{Value, equal_field};
use serde_json::json;

use crate::support::manifest::{load_files, load_files_with, testdata, text};

fn vectors(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(testdata("manifests/vectors").join(name)).unwrap();
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(vectors.len() >= 5, "{name}");
    vectors
}

fn pairs(vector: &Value, key: &str) -> Vec<(String, String)> {
    let members = vector[key].as_object().unwrap();
    members.iter().map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
}

fn load(vector: &Value) -> holdfast_reconciler::manifest::Loaded {
    let (files, variables) = (pairs(vector, "files"), pairs(vector, "env"));
    let borrowed = |pairs: &[(String, String)]| -> Vec<(&'static str, &'static str)> {
        pairs.iter().map(|(name, text)| (&*name.clone().leak(), &*text.clone().leak())).collect()
    };
    load_files_with(&borrowed(&files), &borrowed(&variables))
}

#[test]
fn a_manifest_becomes_the_resources_that_its_vector_names() {
    for vector in vectors("mapping.json") {
        let id = vector["id"].as_str().unwrap();
        let loaded = load(&vector);
        let shown = text(&loaded.diagnostics);
        if let Some(mentions) = vector["mentions"].as_array() {
            assert!(loaded.desired.is_none(), "{id}");
            assert!(mentions.iter().all(|one| shown.contains(one.as_str().unwrap())), "{id}: {shown}");
            continue;
        }
        let desired = loaded.desired.unwrap_or_else(|| panic!("{id}: {shown}"));
        let mut found: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        let mut secrets = json!({});
        let only = vector["only"].as_str().map(|only| group(only).unwrap());
        let asked = |kind: &str| only.is_none_or(|only| only.contains(&kind));
        for resource in desired.resources.into_iter().filter(|resource| asked(resource.address.kind.as_str())) {
            let address = resource.address.to_string();
            for (path, secret) in &resource.secrets {
                let value = secret.value.as_ref().map(|value| value.expose().to_owned());
                secrets[&address][&path] = json!(value);
            }
            found.insert(address, resource.fields.clone());
        }
        let expected: BTreeMap<String, BTreeMap<String, Value>> =
            serde_json::from_value(vector["resources"].clone()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{id}");
        for (address, fields) in &found {
            let wanted = &expected[address];
            for name in fields.keys().chain(wanted.keys()) {
                let (is, must) = (fields.get(name), wanted.get(name));
                assert!(equal_field(is, must), "{id}: {address} {name} is {is:?}, expected {must:?}");
            }
        }
        let expected = vector.get("secrets").cloned().unwrap_or_else(|| json!({}));
        assert_eq!(secrets, expected, "{id}");
    }
}

#[test]
fn a_mistake_is_refused_with_the_words_that_its_vector_names() {
    for vector in vectors("validation.json") {
        let id = vector["id"].as_str().unwrap();
        let loaded = load(&vector);
        let shown = text(&loaded.diagnostics);
        assert_eq!(loaded.desired.is_some(), vector["valid"] == true, "{id}: {shown}");
        for word in vector["mentions"].as_array().unwrap() {
            assert!(shown.contains(word.as_str().unwrap()), "{id} does not mention {word}: {shown}");
        }
    }
}

/// Every vector of the field's files that holds here, or that holds otherwise, is restated: none was left out.
#[test]
fn the_vectors_are_all_there() {
    let counts = [("mapping.json", 24), ("validation.json", 57), ("domains.json", 10), ("platform-ids.json", 5)];
    for (name, count) in counts {
        let vectors = vectors(name);
        let ids: std::collections::BTreeSet<_> = vectors.iter().map(|vector| vector["id"].as_str().unwrap()).collect();
        assert_eq!((vectors.len(), ids.len()), (count, count), "{name}");
    }
}

#[test]
fn domains_are_compared_in_their_normal_form() {
    for vector in vectors("domains.json") {
        let agent = "[agents.a]\nname = \"A\"\ndir = \"./a\"\n";
        let list = |value: &Value| if value.is_array() { value.clone() } else { json!([value]) };
        let manifest = format!("{agent}[agents.a.network]\nallowed = {}\n", list(&vector["input"]));
        let desired = load_files(&[("lobu.toml", &manifest)]).desired.unwrap();
        let settings = desired.resources.iter().find(|one| one.address.to_string() == "settings/a").unwrap();
        let network = &settings.fields["networkConfig"];
        let is = network.get("allowedDomains").cloned().unwrap_or_else(|| json!([]));
        assert_eq!(is, list(&vector["output"]), "{}: {network}", vector["id"]);
    }
}
