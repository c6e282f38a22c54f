//! Reads how many tests passed and failed from what each runner prints.

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

/// `test result: ok. 12 passed; 0 failed; 0 ignored; …`, one line for each test binary and each crate's doc tests.
pub(crate) fn of_cargo_test(output: &str) -> Counts {
    let mut counts = Counts::default();
    for line in output.lines() {
        let Some((_, result)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            continue;
        };
        for part in result.split(';') {
            add(&mut counts, part);
        }
    }
    counts
}

/// `# pass 12` (TAP) or `ℹ pass 12` (spec reporter), once.
pub(crate) fn of_node_test(output: &str) -> Counts {
    let mut counts = Counts::default();
    for line in output.lines() {
        let Some(rest) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) else {
            continue;
        };
        let Some((what, number)) = rest.split_once(' ') else {
            continue;
        };
        let Ok(number) = number.trim().parse::<usize>() else {
            continue;
        };
        match what {
            "pass" => counts.passed += number,
            "fail" | "cancelled" => counts.failed += number,
            _ => {}
        }
    }
    counts
}

/// `=== 2 failed, 39 passed, 1 skipped in 36.06s ===`, the last line of that kind; without the rules when quiet.
pub(crate) fn of_pytest(output: &str) -> Counts {
    let mut counts = Counts::default();
    let summary = output
        .lines()
        .rev()
        .map(|line| line.trim_matches(['=', ' ']))
        .find_map(|line| {
            let (parts, time) = line.rsplit_once(" in ")?;
            time.starts_with(|character: char| character.is_ascii_digit())
                .then_some(parts)
        });
    for part in summary.unwrap_or_default().split(',') {
        add(&mut counts, part);
    }
    counts
}

/// Adds `3 passed`, `1 failed` or `2 errors`; anything else counts nothing.
fn add(counts: &mut Counts, part: &str) {
    let mut words = part.split_whitespace();
    let (Some(number), Some(what)) = (
        words.next().and_then(|word| word.parse::<usize>().ok()),
        words.next(),
    ) else {
        return;
    };
    match what {
        "passed" => counts.passed += number,
        "failed" | "error" | "errors" => counts.failed += number,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, of_cargo_test, of_node_test, of_pytest};

    fn counts(passed: usize, failed: usize) -> Counts {
        Counts { passed, failed }
    }

    #[test]
    fn cargo_test_is_summed_over_its_binaries() {
        let output = "running 3 tests\ntest a ... ok\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.20s\n\
            error: 1 target failed:\n";
        assert_eq!(of_cargo_test(output), counts(15, 2));
        assert_eq!(
            of_cargo_test("error: could not compile `stepwell`"),
            counts(0, 0)
        );
    }

    #[test]
    fn node_test_is_read_in_both_formats() {
        assert_eq!(
            of_node_test(
                "ok 1 - # pass it on\n# tests 11\n# pass 8\n# fail 2\n# cancelled 1\n# skipped 0\n"
            ),
            counts(8, 3)
        );
        assert_eq!(
            of_node_test("✔ works (1ms)\nℹ tests 1\nℹ pass 1\nℹ fail 0\n"),
            counts(1, 0)
        );
        assert_eq!(of_node_test("Could not find 'tests'\n"), counts(0, 0));
    }

    #[test]
    fn pytest_is_read_from_its_last_summary() {
        assert_eq!(
            of_pytest(
                "1 passed in a while\n=== 2 failed, 39 passed, 1 skipped, 1 error in 36.06s (0:00:36) ===\n"
            ),
            counts(39, 3)
        );
        assert_eq!(of_pytest("....\n4 passed in 0.50s\n"), counts(4, 0));
        assert_eq!(of_pytest("no tests ran in 0.01s\n"), counts(0, 0));
        assert_eq!(of_pytest(""), counts(0, 0));
    }
}
