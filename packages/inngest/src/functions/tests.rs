use super::fixture::Fixture;
use serde_json::Value;

/// What a server is told of a function, as far as the studio decides it.
fn told(function: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let triggers = function["triggers"].as_array().unwrap().iter();
    let triggers: Vec<String> = triggers
        .map(|trigger| {
            let what = [&trigger["event"], &trigger["cron"]].map(text).concat();
            match text(&trigger["expression"]) {
                condition if condition.is_empty() => what,
                condition => format!("{what} if {condition}"),
            }
        })
        .collect();
    let mut line = format!("{} ({})", text(&function["id"]), text(&function["name"]));
    line.push_str(&format!("\n  on {}", triggers.join(", ")));
    for rule in [
        "concurrency",
        "throttle",
        "debounce",
        "rateLimit",
        "batchEvents",
        "singleton",
    ] {
        if !function[rule].is_null() {
            line.push_str(&format!("\n  {rule} {}", function[rule]));
        }
    }
    line
}

#[tokio::test]
async fn the_list_has_every_function_as_it_is_described() {
    let fixture = Fixture::new().await;
    let runner = fixture.app(drop).runner().unwrap();
    let registration = runner.registration("http://127.0.0.1/api/inngest");
    let functions = serde_json::to_value(&registration.functions).unwrap();
    let mut told: Vec<String> = functions.as_array().unwrap().iter().map(told).collect();
    told.sort();
    insta::assert_snapshot!(told.join("\n"));
}
