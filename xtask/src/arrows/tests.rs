use std::path::PathBuf;

use insta::assert_debug_snapshot;

use super::{RULES, check, check_architecture, check_tree, drawn};
use crate::workspace::{Dependency, Kind, Member};

/// `name` with its dependencies: plain, `?optional`, `dev:in tests`, `build:for its build script`.
fn member(name: &str, dependencies: &[&str]) -> Member {
    let dependencies = dependencies
        .iter()
        .map(
            |written| match (written.strip_prefix('?'), written.split_once(':')) {
                (Some(name), _) => Dependency {
                    name: name.into(),
                    kind: None,
                    optional: true,
                },
                (None, Some(("dev", name))) => Dependency {
                    name: name.into(),
                    kind: Some(Kind::Dev),
                    optional: false,
                },
                (None, Some((_, name))) => Dependency {
                    name: name.into(),
                    kind: Some(Kind::Build),
                    optional: false,
                },
                (None, None) => Dependency {
                    name: (*written).into(),
                    kind: None,
                    optional: false,
                },
            },
        )
        .collect();
    Member {
        name: name.into(),
        manifest_path: PathBuf::new(),
        dependencies,
    }
}

#[test]
fn the_design_itself_is_accepted() {
    let members = [
        member("stepwell-protocol", &["serde"]),
        member("stepwell-expr", &["stepwell-protocol"]),
        member("stepwell-engine", &["stepwell-protocol", "stepwell-expr"]),
        member("stepwell-store", &["stepwell-engine"]),
        member("stepwell-runtime", &["stepwell-engine", "stepwell-store"]),
        member("stepwell-server", &["stepwell-runtime", "dev:stepwell"]),
        member("stepwell-macros", &[]),
        member(
            "stepwell",
            &[
                "stepwell-protocol",
                "stepwell-macros",
                "?stepwell-runtime",
                "?stepwell-store",
                "dev:stepwell-server",
            ],
        ),
        member("studio233-brand", &[]),
        member("studio233-ai", &["studio233-brand"]),
        member("studio233-inngest", &["stepwell", "?studio233-ai"]),
        member("studio233-web", &["studio233-inngest"]),
    ];
    assert_eq!(check(&members, RULES), Vec::<String>::new());
}

#[test]
fn an_arrow_that_points_up_is_named() {
    let members = [
        member("stepwell-engine", &["stepwell-runtime"]),
        member("stepwell-runtime", &["stepwell-engine"]),
    ];
    assert_debug_snapshot!(check(&members, RULES), @r#"
    [
        "stepwell-engine -> stepwell-runtime is not allowed: it may depend on stepwell-protocol, stepwell-expr; the table is in xtask/src/arrows.rs",
    ]
    "#);
}

#[test]
fn a_build_dependency_counts_like_a_normal_one() {
    let members = [
        member("stepwell-protocol", &["build:stepwell-macros"]),
        member("stepwell-macros", &[]),
    ];
    assert_debug_snapshot!(check(&members, RULES), @r#"
    [
        "stepwell-protocol -> stepwell-macros is not allowed: it may depend on no crate of the workspace; the table is in xtask/src/arrows.rs",
    ]
    "#);
}

#[test]
fn what_a_feature_brings_has_to_be_optional() {
    let members = [
        member("stepwell", &["stepwell-store"]),
        member("stepwell-store", &[]),
    ];
    assert_debug_snapshot!(check(&members, RULES), @r#"
    [
        "stepwell -> stepwell-store is allowed behind a feature only: make the dependency optional",
    ]
    "#);
}

#[test]
fn tests_may_look_further_but_not_everywhere() {
    let members = [
        member("stepwell", &["dev:stepwell-server", "dev:stepwell-cli"]),
        member("stepwell-server", &[]),
        member("stepwell-cli", &[]),
    ];
    assert_debug_snapshot!(check(&members, RULES), @r#"
    [
        "stepwell -> stepwell-cli (its tests) is not allowed: it may depend on stepwell-protocol, stepwell-macros, stepwell-expr, stepwell-engine, stepwell-runtime, stepwell-store, stepwell, stepwell-server; the table is in xtask/src/arrows.rs",
    ]
    "#);
}

#[test]
fn a_capability_that_reaches_jobs_through_another_is_named_with_its_path() {
    let members = [
        member("studio233-ai", &[]),
        member("studio233-rag", &["studio233-ai", "studio233-db"]),
        member("studio233-db", &["dev:stepwell"]),
        member("stepwell", &[]),
    ];
    let problems = check(&members, RULES);
    assert_debug_snapshot!(problems, @r#"
    [
        "studio233-db -> stepwell (its tests) is not allowed: it may depend on studio233-brand, testbed; the table is in xtask/src/arrows.rs",
        "studio233-db -> stepwell knows of jobs: capabilities must not; let it define a trait and packages/inngest implement it",
        "studio233-rag -> studio233-db -> stepwell knows of jobs: capabilities must not; let it define a trait and packages/inngest implement it",
    ]
    "#);
}

#[test]
fn a_crate_without_a_rule_is_named() {
    assert_debug_snapshot!(check(&[member("stepwell-new", &[])], RULES), @r#"
    [
        "stepwell-new has no rule: say in xtask/src/arrows.rs what it may depend on",
    ]
    "#);
}

#[test]
fn the_map_names_the_members_and_no_others() {
    let members = [
        member("stepwell", &[]),
        member("stepwell-engine", &[]),
        member("xtask", &[]),
    ];
    assert_eq!(
        check_architecture(
            "`stepwell`, crates/stepwell-engine/src, and xtask.",
            &members
        ),
        Vec::<String>::new()
    );
    assert_debug_snapshot!(check_architecture("`stepwell-engine` and **stepwell-gone** for xtask", &members), @r#"
    [
        "ARCHITECTURE.md does not name the crate stepwell",
        "ARCHITECTURE.md names stepwell-gone, which is not a crate of the workspace",
    ]
    "#);
}

#[test]
fn the_graph_tells_optional_and_test_edges_apart() {
    let members = [member(
        "stepwell",
        &[
            "stepwell-protocol",
            "?stepwell-store",
            "dev:stepwell-server",
            "serde",
        ],
    )];
    let mut all = Vec::from(members);
    all.extend(
        ["stepwell-protocol", "stepwell-store", "stepwell-server"].map(|name| member(name, &[])),
    );
    assert_eq!(
        drawn(&all[0], &all),
        "stepwell -> stepwell-protocol, [stepwell-store], (stepwell-server)"
    );
    assert_eq!(drawn(&all[1], &all), "stepwell-protocol -> nothing");
}

#[test]
fn producers_of_events_have_none_of_what_functions_need() {
    let light =
        "studio233-inngest v0.1.0 (/w/packages/inngest)\nstepwell v0.1.0 (/w)\nserde v1.0.0\n";
    assert!(check_tree(light).is_empty());
    let heavy =
        format!("{light}studio233-db v0.1.0 (/w)\nsqlx v0.9.0 (*)\nstepwell-engine v0.1.0\n");
    let problems = check_tree(&heavy);
    for name in ["studio233-db", "sqlx", "stepwell-engine"] {
        assert!(
            problems
                .iter()
                .any(|problem| problem.contains(&format!("needs {name}:"))),
            "{problems:?}"
        );
    }
}
