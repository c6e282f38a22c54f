//! What is printed.
#![expect(clippy::print_stdout, reason = "the figures are the program's output")]

use crate::memory::Memory;
use crate::scenarios::{Measured, Name};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

/// The figures so far.
#[derive(Debug)]
pub(crate) struct Report {
    server: String,
    idle: Option<Memory>,
    scenarios: Map<String, Value>,
}

impl Report {
    pub(crate) fn new(server: &str, idle: Option<Memory>) -> Self {
        Self {
            server: server.to_owned(),
            idle,
            scenarios: Map::new(),
        }
    }

    pub(crate) fn add(&mut self, name: Name, measured: Measured, quiet: bool) {
        let name = name
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        let mut figures = Map::new();
        for (index, (figure, value, unit)) in measured.into_iter().enumerate() {
            if !quiet {
                let label = if index == 0 { name.as_str() } else { "" };
                let digits = if value < 100.0 { 2 } else { 0 };
                println!("{label:<18} {figure:<30} {value:>12.digits$} {unit}");
            }
            figures.insert(format!("{figure} ({unit})"), json!(value));
        }
        self.scenarios.insert(name, Value::Object(figures));
    }

    pub(crate) fn finish(self, peak: Option<Memory>, as_json: bool) {
        let mib = |bytes: u64| bytes as f64 / (1_024.0 * 1_024.0);
        let idle = self.idle.map(|memory| mib(memory.now));
        let peak = peak.map(|memory| mib(memory.peak));
        if as_json {
            let memory = json!({"idle (MiB)": idle, "peak (MiB)": peak});
            println!(
                "{}",
                json!({"server": self.server, "memory": memory, "scenarios": self.scenarios})
            );
            return;
        }
        if let (Some(idle), Some(peak)) = (idle, peak) {
            println!("{:<18} {:<30} {idle:>12.1} MiB", "memory", "idle");
            println!("{:<18} {:<30} {peak:>12.1} MiB", "", "peak");
        }
    }
}
