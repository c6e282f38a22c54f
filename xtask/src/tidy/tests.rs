use std::path::Path;

use super::*;

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

/// `line: problem` of each finding, the problem up to its first colon.
fn told(findings: Vec<Finding>) -> Vec<String> {
    findings
        .into_iter()
        .map(|Finding { line, problem, .. }| {
            format!("{line} {}", problem.split(':').next().unwrap_or_default())
        })
        .collect()
}

#[test]
fn unfinished_work_is_found_in_code_only() {
    let text = "fn one() { todo!() }\n\
        fn two() { std::unimplemented ! (); }\n\
        // todo!() in a comment, /* dbg!(x) */\n\
        fn three<'a>(x: &'a str) -> char { let _ = \"dbg!(x) \\\" todo!()\"; 'x' }\n\
        fn four() { r#\"todo!() \"quoted\" \"#; b\"dbg!()\"; '\\''; my_todo!(); }\n\
        fn five() { dbg!(1); }\n\
        #[ignore = \"slow\"]\n\
        #[cfg_attr(miri, ignore)]\n\
        /* nested /* dbg!() */ todo!() */ fn six() {}\n";
    let found = told(left_overs(&file("a.rs", text)));
    assert_eq!(
        found,
        [
            "1 todo! is left over",
            "2 unimplemented! is left over",
            "6 dbg! is left over",
            "7 a test is ignored",
            "8 a test is ignored"
        ],
    );
    assert!(left_overs(&file("notes.md", text)).is_empty());
}

#[test]
fn names_that_say_nothing_are_found_anywhere_in_a_path() {
    for path in [
        "crates/a/src/utils.rs",
        "crates/a/src/helpers/one.rs",
        "conformance/common.mjs",
        "a/types.test.ts",
        "a/misc",
    ] {
        assert_eq!(empty_name(Path::new(path)).len(), 1, "{path}");
    }
    for path in [
        "crates/a/src/event_types.rs",
        "crates/a/src/commons.rs",
        "typescript/app.mjs",
    ] {
        assert!(empty_name(Path::new(path)).is_empty(), "{path}");
    }
}

#[test]
fn lines_of_code_leave_out_comments_blanks_and_test_modules() {
    let text = "//! What it is.\n\nuse a::b;\n\n/* more\nwords */\nfn one() {\n    two(); // two\n}\n\n#[cfg(test)]\nmod tests {\n    fn braces() { \"}\"; }\n}\n\n#[cfg(test)]\nmod more;\nfn last() {}\n";
    assert_eq!(lines_of_code(&file("crates/a/src/a.rs", text)), Some(5));
    for path in [
        "crates/a/tests/a.rs",
        "crates/a/src/a/tests.rs",
        "crates/a/benches/a.rs",
        "a.py",
    ] {
        assert_eq!(lines_of_code(&file(path, text)), None, "{path}");
    }
}

#[test]
fn a_long_file_needs_an_entry_and_an_entry_a_long_file() {
    let long = [("a.rs".to_owned(), 700), ("b.rs".to_owned(), 601)];
    let found = too_long(&long, &[("a.rs", "one table"), ("gone.rs", "one match")]);
    let paths: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(paths, ["b.rs", "gone.rs"]);
}

#[test]
fn every_member_inherits_the_lints() {
    let inheriting = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n";
    let dotted = "lints.workspace = true\n[package]\nname = \"a\"\n";
    let other_table = "[package]\nname = \"a\"\n[dependencies.b]\nworkspace = true\n";
    let own = "[lints.rust]\nunsafe_code = \"deny\"\n";
    let own_allowing = "[lints.rust]\nunsafe_code = \"allow\"\n";
    let cases = [
        ("crates/a/Cargo.toml", inheriting, true),
        ("crates/a/Cargo.toml", dotted, true),
        ("crates/a/Cargo.toml", other_table, false),
        ("crates/a/Cargo.toml", own, false),
        ("packages/db/Cargo.toml", own, true),
        ("packages/db/Cargo.toml", own_allowing, false),
    ];
    for (path, text, fine) in cases {
        assert_eq!(lints(&file(path, text)).is_empty(), fine, "{path}:\n{text}");
    }
}

#[test]
fn folders_of_one_machine_are_found() {
    let root = Path::new("/srv/checkouts/stepwell");
    let home = MACHINE_FOLDERS[0];
    let bad = [
        format!("path = \"{home}me/project\""),
        format!("at file://{home}me/a.js"),
        "see /srv/checkouts/stepwell/README.md".to_owned(),
        format!("({}me/x)", MACHINE_FOLDERS[2]),
    ];
    for text in &bad {
        assert_eq!(machine_paths(&file("a.md", text), root).len(), 1, "{text}");
    }
    let fine = [
        format!("https://example.com{home}page"),
        format!("apps{home}page.rs"),
        format!("$ROOT{home}"),
        "/usr/bin/env".to_owned(),
    ];
    for text in &fine {
        assert!(
            machine_paths(&file("a.md", text), root).is_empty(),
            "{text}"
        );
    }
    assert!(
        machine_paths(&file("a.md", "file:///app/a.js"), Path::new("/app")).is_empty(),
        "a root of one part is not looked for"
    );
}

#[test]
fn lock_files_name_no_host_but_crates_io() {
    let cases = [
        (
            "Cargo.lock",
            "source = \"registry+https://github.com/rust-lang/crates.io-index\"",
            true,
        ),
        (
            "Cargo.lock",
            "source = \"registry+https://mirror.example/index\"",
            false,
        ),
        (
            "Cargo.lock",
            "source = \"git+https://example.com/a?rev=1#1\"",
            false,
        ),
        (
            "a/package-lock.json",
            "      \"resolved\": \"https://registry.example/a.tgz\",",
            false,
        ),
        (
            "a/package-lock.json",
            "        \"url\": \"https://github.com/sponsors/a\"",
            true,
        ),
        (
            "a/requirements.txt",
            "--index-url https://mirror.example/simple",
            false,
        ),
        ("a/requirements.txt", "a @ https://example.com/a.whl", false),
        ("a/requirements.txt", "httpx==0.28.1", true),
        ("a/.npmrc", "registry=https://mirror.example", false),
        ("a/.npmrc", "omit-lockfile-registry-resolved=true", true),
        ("notes.md", "source = \"git+https://example.com\"", true),
    ];
    for (path, text, fine) in cases {
        assert_eq!(
            registry_hosts(&file(path, text)).is_empty(),
            fine,
            "{path}: {text}"
        );
    }
}

#[test]
fn white_space_at_the_end_of_a_line_is_found() {
    assert_eq!(
        told(trailing_space(&file("a.md", "one\ntwo \nthree\t\n"))),
        ["2 ends in white space", "3 ends in white space"]
    );
    assert!(trailing_space(&file("a.snap", "one \n")).is_empty());
}
