//! Every folder of `testdata/manifests/valid/`, and the project of the README, becomes what its snapshot says.

use holdfast_reconciler::agents::fields::check;

use crate::support::manifest::{cases, load_project, snapshots, text};

#[test]
fn a_project_becomes_its_resources() {
    let projects = cases("manifests/valid").into_iter().map(|case| format!("manifests/valid/{case}"));
    for project in projects.chain(["hotreload".to_owned()]) {
        let loaded = load_project(&project);
        let mut desired = loaded.desired.unwrap_or_else(|| panic!("{project}: {}", text(&loaded.diagnostics)));
        assert_eq!(desired.digest.len(), 64, "{project}");
        desired.digest = "(digest)".to_owned();
        // What a manifest may write, a live edit may write.
        for declared in &desired.resources {
            for (field, value) in &declared.fields {
                let kind = declared.address.kind.as_str();
                assert_eq!(check(kind, field, value), Ok(()), "{project}: {}", declared.address);
            }
        }
        let case = project.rsplit('/').next().unwrap();
        let json = serde_json::to_string_pretty(&desired).unwrap();
        snapshots().bind(|| insta::assert_snapshot!(format!("desired@{case}"), json));
    }
}

#[test]
fn equal_files_give_equal_desired_state_and_other_files_another_digest() {
    let load = || load_project("hotreload").desired.unwrap();
    assert_eq!(load(), load());
    assert_ne!(load().digest, load_project("manifests/valid/whole-agent").desired.unwrap().digest);
}
