//! `cargo xtask ci`: the quick checks first, all of them even if one fails, then the tests.

use std::time::Duration;

use anyhow::Result;

use crate::workspace::{Workspace, cargo};
use crate::{arrows, console, process, test, tidy};

struct Check {
    name: &'static str,
    passed: bool,
    took: Duration,
}

pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let cargo_check = |arguments: &[&str]| {
        process::run(cargo().current_dir(&workspace.root).args(arguments)).map(|()| true)
    };
    let checks = [
        check("format", || cargo_check(&["fmt", "--all", "--", "--check"])),
        check("arrows", || arrows::run(workspace)),
        check("tidy", || tidy::run(workspace)),
        check("clippy", || {
            cargo_check(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])
        }),
        check("docs", || sdk_docs(workspace)),
    ];
    let suites = test::run_suites(workspace);

    console::line("");
    for Check { name, passed, took } in &checks {
        let outcome = if *passed { "passed" } else { "FAILED" };
        console::line(&format!(
            "{name:<12}{outcome:>16}  {}",
            console::seconds(*took)
        ));
    }
    Ok(test::report(&suites) && checks.iter().all(|check| check.passed))
}

/// What people read who depend on the SDK: every public item is described, every link leads somewhere.
fn sdk_docs(workspace: &Workspace) -> Result<bool> {
    let mut doc = cargo();
    doc.current_dir(&workspace.root)
        .env("RUSTDOCFLAGS", "-D warnings -D missing_docs")
        .args([
            "doc",
            "--package",
            "stepwell",
            "--package",
            "stepwell-macros",
        ])
        .args(["--no-deps", "--all-features"]);
    process::run(&mut doc).map(|()| true)
}

fn check(name: &'static str, work: impl FnOnce() -> Result<bool>) -> Check {
    let (result, took) = console::step(name, work);
    let passed = result.unwrap_or_else(|error| {
        console::failure(&format!("{error:#}"));
        false
    });
    Check { name, passed, took }
}
