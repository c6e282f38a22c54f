//! A run's spans as a tree that people read.

use crate::table::{duration, plain, shortened, text};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

/// The widest that names are padded to.
const NAMES_MAX: usize = 48;
/// Characters that are shown of an output.
const OUTPUT_MAX: usize = 100;

/// A span's line: its branches and name, and what there is to say of it.
struct Line {
    name: String,
    status: String,
    took: String,
    detail: String,
}

/// The tree below a run's span, one line for each step and attempt.
pub(super) fn render(root: &Value) -> String {
    let mut lines = Vec::new();
    children(root, "", &mut lines);
    let width = |cell: fn(&Line) -> &str| lines.iter().map(|line| cell(line).width()).max();
    let names = width(|line| &line.name).unwrap_or(0).min(NAMES_MAX);
    let statuses = width(|line| &line.status).unwrap_or(0);
    let times = width(|line| &line.took).unwrap_or(0);
    let rendered = lines.iter().map(|line| {
        let pad = |cell: &str, to: usize| " ".repeat(to.saturating_sub(cell.width()));
        let Line {
            name,
            status,
            took,
            detail,
        } = line;
        let line = format!(
            "{name}{}  {status}{}  {}{took}  {detail}",
            pad(name, names),
            pad(status, statuses),
            pad(took, times),
        );
        line.trim_end().to_owned()
    });
    rendered.collect::<Vec<_>>().join("\n")
}

fn children(span: &Value, branch: &str, lines: &mut Vec<Line>) {
    let children_of = |span: &Value| span["children"].as_array().cloned().unwrap_or_default();
    let spans = children_of(span);
    for (index, child) in spans.iter().enumerate() {
        let last = index + 1 == spans.len();
        let (turn, below) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let ms = text(child, "/durationMs").parse();
        let has_children = !children_of(child).is_empty();
        lines.push(Line {
            name: format!("{branch}{turn}{}", plain(&text(child, "/name"))),
            status: text(child, "/status"),
            took: ms.map_or_else(|_| String::new(), duration),
            detail: plain(&detail(child, has_children)),
        });
        children(child, &format!("{branch}{below}"), lines);
    }
}

/// What a span does and what came of it. One with attempts below leaves that to them, unless it went well.
fn detail(span: &Value, has_children: bool) -> String {
    let op = match text(span, "/stepOp").as_str() {
        "" | "RUN" => String::new(),
        op => op.to_lowercase().replace('_', " "),
    };
    let output = &span["output"];
    let outcome = if let Some(error) = output.get("error").filter(|error| !error.is_null()) {
        if has_children {
            String::new()
        } else {
            format!("{}: {}", text(error, "/name"), text(error, "/message"))
        }
    } else {
        match output.get("data") {
            None | Some(Value::Null) => String::new(),
            Some(data) => data.to_string(),
        }
    };
    let outcome = shortened(&outcome, OUTPUT_MAX);
    match (op.is_empty(), outcome.is_empty()) {
        (false, false) => format!("{op}: {outcome}"),
        _ => format!("{op}{outcome}"),
    }
}

#[cfg(test)]
mod tests {
    use super::render;
    use serde_json::json;

    #[test]
    fn a_trace_reads_as_a_tree() {
        let root = json!({"name": "Invoice", "children": [
            {"name": "charge", "status": "COMPLETED", "stepOp": "RUN", "durationMs": "10300", "output": {"data": 42}, "children": [
                {"name": "Attempt 0", "status": "FAILED", "durationMs": "12", "children": [],
                 "output": {"error": {"name": "Error", "message": "no luck\nat all"}}},
                {"name": "Attempt 1", "status": "COMPLETED", "durationMs": "200", "children": [], "output": {"data": 42}},
            ]},
            {"name": "nap", "status": "COMPLETED", "stepOp": "SLEEP", "durationMs": "3600000", "children": []},
            {"name": "approval", "status": "WAITING", "stepOp": "WAIT_FOR_EVENT", "children": []},
        ]});
        insta::assert_snapshot!(render(&root), @r"
        ├─ charge        COMPLETED  10.3 s  42
        │  ├─ Attempt 0  FAILED      12 ms  Error: no luck\nat all
        │  └─ Attempt 1  COMPLETED  200 ms  42
        ├─ nap           COMPLETED  1h 00m  sleep
        └─ approval      WAITING            wait for event
        ");
    }
}
