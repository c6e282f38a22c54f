//! The story of a scenario: what happened, when, in words.

use crate::scenario::Scenario;
use crate::shrink::Shrunk;
use std::fmt;

/// Lines of a story, if anyone wants it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Story {
    lines: Option<Vec<String>>,
}

impl Story {
    /// One that is kept.
    #[must_use]
    pub fn kept() -> Self {
        Self {
            lines: Some(Vec::new()),
        }
    }

    /// One that nobody will read, which costs nothing.
    #[must_use]
    pub fn unheard() -> Self {
        Self::default()
    }

    /// Its lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn add(&mut self, at_ms: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let (seconds, ms) = (at_ms / 1_000, at_ms % 1_000);
            lines.push(format!("{seconds:>7}.{ms:03}  {}", line()));
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(formatter, "{line}")?;
        }
        Ok(())
    }
}

/// The command that plays a seed.
#[must_use]
pub fn command_line(scenario: &Scenario) -> String {
    format!("cargo xtask sim --seeds 1 --from {}", scenario.seed)
}

/// A failure as people read it: how to see it again, what it takes, what happens.
#[must_use]
pub fn tell(seed: &Scenario, shrunk: &Shrunk) -> String {
    let scenario = &shrunk.scenario;
    let mut text = format!(
        "seed {} breaks a promise\n  {}\n  {}\n\nshrunk from {} acts and {} faults to {} and {} ({} tries):\n\n",
        seed.seed,
        shrunk.violation,
        command_line(seed),
        seed.script.len(),
        seed.faults.len(),
        scenario.script.len(),
        scenario.faults.len(),
        shrunk.tries,
    );
    text.push_str(&scenario.describe());
    text.push_str("\nwhat happened, by seconds since the beginning:\n\n");
    text.push_str(&shrunk.story.to_string());
    text.push_str(&format!("\n{}\n", shrunk.violation));
    text
}
