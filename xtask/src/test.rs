//! `cargo xtask test`: every test there is, and one line at the end that says how it went.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use testbed::postgres::{Server, URL_VARIABLE};

use crate::workspace::{Workspace, cargo};
use crate::{console, process, setup};

mod summary;

use summary::Counts;

/// How one suite went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    name: &'static str,
    counts: Counts,
    took: Duration,
    /// Why a suite failed, if not because a test did.
    note: Option<String>,
}

/// Runs everything and reports; true if all passed.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let suites = run_suites(workspace);
    Ok(report(&suites))
}

pub(crate) fn run_suites(workspace: &Workspace) -> Vec<Suite> {
    let (ready, took) = console::step("setup", || setup::run(workspace));
    let mut suites = Vec::new();
    if let Err(error) = &ready {
        suites.push(Suite::broken("setup", took, format!("{error:#}")));
    }
    let (built, took) = console::step("build", || {
        process::run(cargo().current_dir(&workspace.root).args([
            "build",
            "--workspace",
            "--all-targets",
        ]))
    });
    if let Err(error) = &built {
        suites.push(Suite::broken("build", took, format!("{error:#}")));
        return suites;
    }
    // One server for all tests that need one. It ends with this function, or with this process.
    let (database, took) = console::step("postgres", Server::start);
    if let Err(error) = &database {
        suites.push(Suite::broken("postgres", took, error.to_string()));
    }
    suites.push(suite("rust", summary::of_cargo_test, || {
        let mut tests = cargo_in(&workspace.root, &["test", "--workspace", "--no-fail-fast"]);
        if let Ok(server) = &database {
            tests.env(URL_VARIABLE, server.url());
        }
        tests
    }));
    drop(database);
    if ready.is_err() {
        return suites;
    }
    let built = workspace.target.join("debug");
    suites.push(suite("typescript", summary::of_node_test, || {
        let mut npm = Command::new("npm");
        npm.current_dir(workspace.path(setup::TYPESCRIPT))
            .args(["test", "--silent"]);
        against(npm, &built)
    }));
    suites.push(suite("python", summary::of_pytest, || {
        let mut pytest = Command::new(setup::python_path(workspace));
        pytest
            .current_dir(workspace.path(setup::PYTHON))
            .args(["-m", "pytest"])
            .env("PYTHONDONTWRITEBYTECODE", "1");
        against(pytest, &built)
    }));
    suites
}

/// Prints the table and, as the last line, the sums; true if nothing failed.
pub(crate) fn report(suites: &[Suite]) -> bool {
    for line in table(suites) {
        console::line(&line);
    }
    let passed: usize = suites.iter().map(|suite| suite.counts.passed).sum();
    let failed: usize = suites.iter().map(|suite| suite.counts.failed).sum();
    console::line(&format!("{passed} passed, {failed} failed"));
    failed == 0
}

fn cargo_in(root: &Path, arguments: &[&str]) -> Command {
    let mut command = cargo();
    command.current_dir(root).args(arguments);
    command
}

/// A conformance suite itself starts the server that it tests, and the apps on the Rust SDK that it meets there.
fn against(mut command: Command, built: &Path) -> Command {
    command
        .env("STEPWELL_BIN", built.join("stepwell"))
        .env("STEPWELL_RUST_APPS", built.join("stepwell-conformance"))
        .env_remove("STEPWELL_URL");
    command
}

fn suite(
    name: &'static str,
    count: fn(&str) -> Counts,
    command: impl FnOnce() -> Command,
) -> Suite {
    let (result, took) = console::step(&format!("{name} tests"), || {
        process::run_and_keep(&mut command())
    });
    match result {
        Ok((succeeded, output)) => Suite::judged(name, took, count(&output), succeeded),
        Err(error) => Suite::broken(name, took, format!("{error:#}")),
    }
}

impl Suite {
    /// A suite that ran no test, or whose runner failed while all its tests passed, has failed.
    fn judged(name: &'static str, took: Duration, counts: Counts, succeeded: bool) -> Self {
        let note = match (counts, succeeded) {
            (
                Counts {
                    passed: 0,
                    failed: 0,
                },
                _,
            ) => Some("no test ran".to_owned()),
            (Counts { failed: 0, .. }, false) => {
                Some("the runner failed, though no test did".to_owned())
            }
            _ => None,
        };
        let failed = counts.failed + usize::from(note.is_some());
        Self {
            name,
            counts: Counts { failed, ..counts },
            took,
            note,
        }
    }

    fn broken(name: &'static str, took: Duration, note: String) -> Self {
        Self {
            name,
            counts: Counts {
                passed: 0,
                failed: 1,
            },
            took,
            note: Some(note),
        }
    }
}

fn table(suites: &[Suite]) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!("{:<12}{:>8}{:>8}  time", "suite", "passed", "failed"),
    ];
    for suite in suites {
        let Suite {
            name,
            counts,
            took,
            note,
        } = suite;
        let note = note
            .as_ref()
            .map(|note| format!("  {note}"))
            .unwrap_or_default();
        lines.push(format!(
            "{name:<12}{:>8}{:>8}  {}{note}",
            counts.passed,
            counts.failed,
            console::seconds(*took)
        ));
    }
    lines.push(String::new());
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use insta::assert_snapshot;

    use super::{Counts, Suite, table};

    fn judged(passed: usize, failed: usize, succeeded: bool) -> (usize, Option<String>) {
        let suite = Suite::judged("rust", Duration::ZERO, Counts { passed, failed }, succeeded);
        (suite.counts.failed, suite.note)
    }

    #[test]
    fn a_suite_fails_when_a_test_or_its_runner_does_or_nothing_ran() {
        assert_eq!(judged(3, 0, true), (0, None));
        assert_eq!(judged(3, 2, false), (2, None));
        assert_eq!(judged(0, 0, true), (1, Some("no test ran".to_owned())));
        assert_eq!(
            judged(3, 0, false),
            (1, Some("the runner failed, though no test did".to_owned()))
        );
    }

    #[test]
    fn the_table_has_a_line_a_suite() {
        let suites = [
            Suite::judged(
                "rust",
                Duration::from_secs(125),
                Counts {
                    passed: 1200,
                    failed: 0,
                },
                true,
            ),
            Suite::broken(
                "python",
                Duration::from_millis(1540),
                "cannot start `python`".to_owned(),
            ),
        ];
        assert_snapshot!(table(&suites)[1..4].join("\n"), @r"
        suite         passed  failed  time
        rust            1200       0  2 min 05 s
        python             0       1  1.5 s  cannot start `python`
        ");
    }
}
