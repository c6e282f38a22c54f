//! Functions that are drawn: any triggers, any flow control.

use super::{FUNCTIONS, Storm};
use serde_json::{Value, json};
use stepwell_engine::{AppRow, AppSync, Input, function};
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};
use stepwell_protocol::{AppId, FunctionId, register};

impl Storm {
    pub(super) fn register(&mut self) {
        let mut functions = Vec::new();
        for number in 0..FUNCTIONS {
            let function = self.function(number);
            if !self.chance(5) {
                functions.push(function);
            }
        }
        let body = json!({"appName": "app", "url": "http://app.test", "functions": functions});
        let registration = register::Registration::parse(body.to_string().as_bytes());
        let registration = registration.expect("it decodes");
        let functions = match function::compile_all(&registration) {
            Ok(functions) => functions,
            Err(errors) => panic!("{errors:?}"),
        };
        for function in &functions {
            let limit = function.run_limits.first();
            // A changed limit holds for what starts from now on.
            match limit.filter(|limit| limit.key.is_none()) {
                Some(limit) if !self.run_limits.contains_key(&function.id) => {
                    self.run_limits.insert(function.id, limit.limit as usize);
                }
                _ => {}
            }
        }
        let app = AppRow {
            id: AppId::of("app"),
            name: "app".to_owned(),
            url: "http://app.test".to_owned(),
            sdk: String::new(),
            framework: String::new(),
            checksum: body.to_string(),
            synced_at: self.now,
        };
        self.handle(Input::AppSynced(Box::new(AppSync { app, functions })));
    }

    pub(super) fn function(&mut self, number: usize) -> Value {
        let id = format!("app-{number}");
        let mut config = json!({
            "id": id, "name": id, "retries": self.below(3),
            "triggers": [{"event": self.pick(&["x/a", "x/b", "x/*"])}],
            "steps": {"step": {"id": "step", "name": "step", "runtime":
                {"type": "http", "url": format!("http://app.test/?fnId={id}&stepId=step")}}},
        });
        if self.chance(15) {
            config["triggers"] = json!([{"event": self.pick(&[FUNCTION_FINISHED, FUNCTION_FAILED,
                FUNCTION_CANCELLED, "inngest/deferred.schedule"])}]);
        }
        if self.chance(10) {
            config["triggers"][0]["expression"] = json!("event.data.n > 1");
        }
        // Schedules would go on for ever.
        if self.chance(10) && !self.calm {
            config["triggers"]
                .as_array_mut()
                .expect("a list")
                .push(json!({"cron": "0 * * * *"}));
        }
        // Shape, not numbers, differs from function to function, so that it stays when an app registers again.
        let key = self.pick(&[Value::Null, json!("event.data.n")]);
        let combined = number == 0;
        if combined {
            config["batchEvents"] =
                json!({"maxSize": 2 + self.below(3), "timeout": "5s", "key": key});
        } else {
            if self.chance(30) {
                config["debounce"] = json!({"period": "2s", "timeout": "5s", "key": key});
            }
            if number == 1 {
                let mode = self.pick(&["skip", "cancel"]);
                config["singleton"] = json!({"mode": mode});
            }
            if self.chance(40) {
                let condition = self.pick(&[Value::Null, json!("event.data.n == async.data.n")]);
                config["cancel"] = json!([{"event": self.pick(&["x/stop", "x/a"]), "if": condition,
                    "timeout": self.pick(&["1h", "10s"])}]);
            }
        }
        if number == 2 {
            config["concurrency"] = json!({"fn": [{"limit": 2}]});
        } else if self.chance(30) {
            config["concurrency"] = json!([{"limit": 1 + self.below(2), "key": key}]);
        }
        if self.chance(20) {
            config["throttle"] = json!({"limit": 1, "period": "2s", "key": key});
        }
        if self.chance(15) {
            config["rateLimit"] = json!({"limit": 2, "period": "5s", "key": key});
        }
        if self.chance(30) {
            config["timeouts"] = json!({"start": "20s", "finish": self.pick(&["10s", "1h"])});
        }
        if number == 1 {
            self.singletons
                .insert(FunctionId::of(AppId::of("app"), &id));
        }
        config
    }
}
