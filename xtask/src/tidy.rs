//! What no other tool checks. Each rule is a function from a file to findings, so that each can be seen to fail.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::console;
use crate::workspace::Workspace;

mod source;
#[cfg(test)]
mod tests;

/// Lines of code, without tests, comments and blank lines, above which a Rust file has to say why.
const FILE_LINES_MAX: usize = 600;

/// Rust files that are longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Names that say nothing about what a file holds.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "types", "misc",
];

/// Members that state their lints themselves, because they need `unsafe` in one place and say so there.
const OWN_LINTS: &[&str] = &["packages/db"];

/// Where homes and checkouts live on people's and on build machines. A tracked file that names one works there only.
const MACHINE_FOLDERS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("/work", "space/"),
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Debug)]
struct File {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 stands for the file as a whole.
    line: usize,
    problem: String,
}

/// Prints what is not tidy; true if everything is.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let paths = workspace.files()?;
    let mut findings = Vec::new();
    let mut long_files = Vec::new();
    for path in &paths {
        findings.extend(empty_name(path));
        let bytes = fs::read(workspace.path(path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let file = File {
            path: slashed(path),
            text,
        };
        findings.extend(left_overs(&file));
        findings.extend(machine_paths(&file, &workspace.root));
        findings.extend(registry_hosts(&file));
        findings.extend(trailing_space(&file));
        if let Some(lines) = lines_of_code(&file).filter(|lines| *lines > FILE_LINES_MAX) {
            long_files.push((file.path.clone(), lines));
        }
    }
    findings.extend(too_long(&long_files, LONG_FILES));
    for member in &workspace.members {
        let manifest = member
            .manifest_path
            .strip_prefix(&workspace.root)
            .unwrap_or(&member.manifest_path);
        let text = fs::read_to_string(&member.manifest_path)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        findings.extend(lints(&File {
            path: slashed(manifest),
            text,
        }));
    }
    if !paths.contains(&PathBuf::from("CHANGELOG.md")) {
        findings.push(whole(
            "CHANGELOG.md",
            "is missing: every visible change has its line there",
        ));
    }
    for Finding {
        path,
        line,
        problem,
    } in &findings
    {
        let place = if *line == 0 {
            path.clone()
        } else {
            format!("{path}:{line}")
        };
        console::failure(&format!("{place}: {problem}"));
    }
    if findings.is_empty() {
        console::line(&format!("tidy: {} files, nothing found", paths.len()));
    }
    Ok(findings.is_empty())
}

fn slashed(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

fn whole(path: &str, problem: impl Into<String>) -> Finding {
    Finding {
        path: path.to_owned(),
        line: 0,
        problem: problem.into(),
    }
}

fn at(file: &File, line: usize, problem: impl Into<String>) -> Finding {
    Finding {
        path: file.path.clone(),
        line: line + 1,
        problem: problem.into(),
    }
}

/// Markers of unfinished work, and tests that do not run. Comments and strings may speak of them.
fn left_overs(file: &File) -> Vec<Finding> {
    if !file.path.ends_with(".rs") {
        return Vec::new();
    }
    let code = source::without_comments_and_strings(&file.text);
    let mut findings = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for name in ["todo", "unimplemented", "dbg"] {
            if calls_macro(line, name) {
                findings.push(at(
                    file,
                    number,
                    format!("{name}! is left over: finish it or take it out"),
                ));
            }
        }
        if line.contains("#[ignore") || (line.contains("cfg_attr(") && line.contains("ignore")) {
            findings.push(at(
                file,
                number,
                "a test is ignored: make it pass or take it out",
            ));
        }
    }
    findings
}

fn calls_macro(line: &str, name: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(name).any(|(start, _)| {
        !line[..start].ends_with(is_word)
            && line[start + name.len()..].trim_start().starts_with('!')
    })
}

fn empty_name(path: &Path) -> Vec<Finding> {
    let parts = path.iter().map(|part| part.to_string_lossy());
    parts
        .map(|part| part.split('.').next().unwrap_or_default().to_owned())
        .filter(|stem| EMPTY_NAMES.contains(&stem.as_str()))
        .map(|stem| {
            whole(
                &slashed(path),
                format!("`{stem}` says nothing: name what it does, and put it beside its user"),
            )
        })
        .collect()
}

/// Lines of code of a Rust file; none for tests and other files.
fn lines_of_code(file: &File) -> Option<usize> {
    let is_test = file
        .path
        .split('/')
        .any(|part| matches!(part, "tests" | "benches" | "tests.rs"));
    if is_test || !file.path.ends_with(".rs") {
        return None;
    }
    let code = source::without_test_modules(&source::without_comments_and_strings(&file.text));
    Some(code.lines().filter(|line| !line.trim().is_empty()).count())
}

fn too_long(long_files: &[(String, usize)], allowed: &[(&str, &str)]) -> Vec<Finding> {
    let unexplained = long_files.iter().filter(|(path, _)| !allowed.iter().any(|(known, _)| known == path)).map(|(path, lines)| {
        let problem = format!("{lines} lines of code, more than {FILE_LINES_MAX}: split it, or give the reason in LONG_FILES (xtask/src/tidy.rs)");
        whole(path, problem)
    });
    let outdated = allowed
        .iter()
        .filter(|(known, _)| !long_files.iter().any(|(path, _)| path == known))
        .map(|(known, reason)| {
            whole(
                known,
                format!("is not long any more: take its entry out of LONG_FILES ({reason})"),
            )
        });
    unexplained.chain(outdated).collect()
}

/// `[lints] workspace = true`, or for a few an own table that denies `unsafe_code`.
fn lints(manifest: &File) -> Vec<Finding> {
    let mut table = "";
    let mut inherits = false;
    let mut denies_unsafe = false;
    for line in manifest.text.lines().map(str::trim) {
        if line.starts_with('[') {
            table = line;
        }
        let setting: String = line.split_whitespace().collect();
        inherits |=
            table == "[lints]" && setting == "workspace=true" || setting == "lints.workspace=true";
        denies_unsafe |= table == "[lints.rust]"
            && matches!(
                setting.as_str(),
                "unsafe_code=\"deny\"" | "unsafe_code=\"forbid\""
            );
    }
    let folder = manifest.path.trim_end_matches("/Cargo.toml");
    if inherits || (OWN_LINTS.contains(&folder) && denies_unsafe) {
        return Vec::new();
    }
    vec![whole(
        &manifest.path,
        "does not inherit the workspace's lints: add `[lints]` with `workspace = true`",
    )]
}

fn machine_paths(file: &File, root: &Path) -> Vec<Finding> {
    // A root of one part, such as `/app` in a container, is too common a word to look for.
    let root = (root.components().count() > 2).then(|| slashed(root));
    let mut findings = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let folder = MACHINE_FOLDERS
            .iter()
            .copied()
            .chain(root.as_deref())
            .find(|folder| names_folder(line, folder));
        if let Some(folder) = folder {
            findings.push(at(
                file,
                number,
                format!("names {folder}, which is a folder of one machine"),
            ));
        }
    }
    findings
}

/// Whether `folder` begins a path in `line`, rather than continuing one or a URL.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(start, _)| {
        let before = &line[..start];
        before.ends_with("file://")
            || !before.ends_with(|character: char| {
                character.is_alphanumeric() || "/._-~$}>".contains(character)
            })
    })
}

/// Lock files name packages, versions and hashes. A host in them ties everyone to the one who wrote them.
fn registry_hosts(file: &File) -> Vec<Finding> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let offends: fn(&str) -> bool = match name {
        "Cargo.lock" => |line| line.starts_with("source = ") && !line.contains(CRATES_IO),
        "package-lock.json" => |line| line.trim_start().starts_with("\"resolved\""),
        ".npmrc" => |line| line.contains("registry=") || line.contains("registry ="),
        _ if name.starts_with("requirements") => |line| {
            line.contains("://")
                || line.contains("--index-url")
                || line.contains("--extra-index-url")
        },
        _ => return Vec::new(),
    };
    let lines = file
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| offends(line));
    lines
        .map(|(number, line)| {
            at(
                file,
                number,
                format!("names a registry's host: {}", line.trim()),
            )
        })
        .collect()
}

fn trailing_space(file: &File) -> Vec<Finding> {
    // Snapshots hold what was printed, and a fuzzer's corpus what it made up, to the letter.
    if file.path.ends_with(".snap") || file.path.starts_with("fuzz/corpus/") {
        return Vec::new();
    }
    let lines = file
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.ends_with([' ', '\t']));
    lines
        .map(|(number, _)| at(file, number, "ends in white space"))
        .collect()
}
