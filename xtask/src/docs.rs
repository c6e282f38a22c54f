//! `cargo xtask docs`: manual pages and completion scripts of the command line, which makes them itself.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{Workspace, cargo};
use crate::{console, process};

/// Where they go, in the target folder.
const FOLDER: &str = "cli-docs";
/// Shells, and what their scripts are called.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "stepwell.bash"),
    ("elvish", "stepwell.elv"),
    ("fish", "stepwell.fish"),
    ("powershell", "_stepwell.ps1"),
    ("zsh", "_stepwell"),
];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build.current_dir(&workspace.root);
    process::run(build.args(["build", "--quiet", "--package", "stepwell-cli"]))?;
    let binary = workspace.target.join("debug").join("stepwell");
    let folder = workspace.target.join(FOLDER);
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    process::run(Command::new(&binary).arg("man").arg(&man))?;
    fs::create_dir_all(&completions)
        .with_context(|| format!("cannot make {}", completions.display()))?;
    for (shell, name) in SHELLS {
        let script = process::output(Command::new(&binary).args(["completions", shell]))?;
        let path = completions.join(name);
        fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
    }
    console::line(&format!(
        "manual pages and completions are in {}",
        folder.display()
    ));
    Ok(())
}
