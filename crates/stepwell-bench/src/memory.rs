//! A process's memory, as Linux counts it.

use anyhow::Context;

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

pub(crate) fn of(pid: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace()
            .nth(1)?
            .parse::<u64>()
            .ok()
            .map(|kib| kib * 1_024)
    };
    let missing = || format!("{path} has no resident size");
    Ok(Memory {
        now: field("VmRSS:").with_context(missing)?,
        peak: field("VmHWM:").with_context(missing)?,
    })
}
