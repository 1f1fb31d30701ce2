//! Every folder of `testdata/manifests/invalid/` is refused or warned about as its snapshot says: dropping a folder there is
//! a new test.

use std::collections::BTreeSet;

use holdfast_reconciler::manifest::CODES;

use crate::support::manifest::{cases, load_project, snapshots, testdata, text};

#[test]
fn every_mistake_is_shown_at_its_place() {
    for case in cases("manifests/invalid") {
        let loaded = load_project(&format!("manifests/invalid/{case}"));
        assert!(!loaded.diagnostics.is_empty(), "{case} has nothing to show");
        let errors = loaded.diagnostics.iter().any(|diagnostic| diagnostic.is_error());
        assert_eq!(loaded.desired.is_none(), errors, "{case}: an error and a desired state");
        let json = serde_json::to_string_pretty(&loaded.diagnostics).unwrap();
        snapshots().bind(|| insta::assert_snapshot!(format!("invalid@{case}"), text(&loaded.diagnostics) + &json));
    }
}

#[test]
fn every_code_has_an_erroneous_manifest_and_a_page() {
    let mut shown = BTreeSet::new();
    for case in cases("manifests/invalid") {
        let loaded = load_project(&format!("manifests/invalid/{case}"));
        shown.extend(loaded.diagnostics.into_iter().map(|diagnostic| diagnostic.code));
    }
    let page = std::fs::read_to_string(testdata("../docs/diagnostics.md")).unwrap();
    // What plans and applies say stands in sections of their own.
    let documented = page.split("\n## ").next().unwrap();
    let documented: BTreeSet<_> =
        documented.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(code, _)| code).collect();
    for code in CODES {
        assert!(documented.contains(code), "{code} is not in docs/diagnostics.md");
        // Needs more than a thousand mistakes; its own test makes them.
        assert!(shown.contains(*code) || *code == "E_TOO_MANY", "{code} has no folder in testdata/manifests/invalid");
    }
    for code in documented {
        assert!(CODES.contains(&code), "{code} is documented and unknown to the loader");
    }
}
