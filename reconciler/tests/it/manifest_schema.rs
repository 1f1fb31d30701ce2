//! The JSON Schema that editors get is the grammar that the loader checks.

use holdfast_reconciler::manifest::{Grammar, schema};

use crate::support::manifest::snapshots;

#[test]
fn the_schema_of_every_grammar_is_written_from_its_shapes() {
    for (name, grammar) in [
        ("manifest", Grammar::Manifest),
        ("models", Grammar::Models),
        ("connectors", Grammar::Connectors),
        ("skill", Grammar::Skill),
    ] {
        let text = serde_json::to_string_pretty(&schema(grammar)).unwrap();
        snapshots().bind(|| insta::assert_snapshot!(format!("schema@{name}"), text));
    }
}
