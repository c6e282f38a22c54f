//! What runs look like from outside, at every turn: an engine decides, two stores keep it, and both tell the same.

#[path = "history/world.rs"]
mod world;

use serde_json::{Map, Value, json};
use stepwell_engine::ReportedOp;
use stepwell_protocol::op::Opcode;
use world::{
    World, event, fails, gateway, invoke, op, planned, ran, returns, signal, sleep, step_error,
    step_failed,
};

/// The moments of a situation, told one after another.
struct Story {
    world: World,
    moments: Map<String, Value>,
}

impl Story {
    fn new() -> Self {
        Self {
            world: World::new(),
            moments: Map::new(),
        }
    }

    /// Notes what the first run looks like now.
    fn note(&mut self, moment: &str) {
        let tree = self.world.tree(0);
        self.moments.insert(moment.to_owned(), tree);
    }

    fn tell(self, name: &str) {
        insta::assert_json_snapshot!(name, Value::Object(self.moments));
    }
}

/// A run of the function that has this event, called for the first time.
fn started(event: &str) -> Story {
    let mut story = Story::new();
    story.world.send(event, json!({}));
    story
}

#[test]
fn a_plain_run() {
    let mut story = Story::new();
    story.world.send("go-later", json!({}));
    story.note("not called yet");
    story.world.later(60_000);
    story.note("called");
    story.world.reply(vec![ReportedOp {
        kind: Some("step.sendEvent".to_owned()),
        ..ran("send", "{\"ids\":[]}")
    }]);
    story.note("between two steps");
    story.world.reply(vec![ran("add", "42")]);
    story.world.end(returns("\"done\""));
    story.note("over");
    story.tell("a_plain_run");
}

#[test]
fn a_step_that_is_tried_again() {
    let mut story = started("go");
    story.world.reply(vec![step_error("flaky", "no luck")]);
    story.note("failed once");
    story.world.later(10_000);
    story.note("tried again");
    story.world.reply(vec![step_error("flaky", "still not")]);
    story.world.later(10_000);
    story.world.reply(vec![ran("flaky", "1")]);
    story.world.end(returns("null"));
    story.note("over");
    story.tell("a_step_that_is_tried_again");
}

#[test]
fn a_step_that_fails_for_good() {
    let mut story = started("go");
    for _ in 0..2 {
        story.world.reply(vec![step_error("flaky", "no luck")]);
        story.world.later(10_000);
    }
    story.world.reply(vec![step_error("flaky", "never")]);
    story.note("out of attempts");
    story.world.reply(vec![step_failed("fatal", "not at all")]);
    story.world.end(fails("gave up", true));
    story.note("over");
    story.tell("a_step_that_fails_for_good");
}

#[test]
fn a_function_that_fails() {
    let mut story = started("go");
    story.world.end(fails("nope", false));
    story.note("failed once");
    for _ in 0..2 {
        story.world.later(10_000);
        story.world.end(fails("nope", false));
    }
    story.note("over");
    story.tell("a_function_that_fails");
}

#[test]
fn a_function_that_recovers() {
    let mut story = started("go");
    story.world.reply(vec![ran("a", "1")]);
    story.world.end(fails("nope", false));
    story.world.later(10_000);
    story.world.end(returns("1"));
    story.note("over");
    story.tell("a_function_that_recovers");
}

#[test]
fn a_function_that_fails_before_its_first_step() {
    let mut story = started("go");
    story.world.end(fails("nope", false));
    story.world.later(10_000);
    story
        .world
        .reply(vec![event("wait", "resume", None, "30s")]);
    story.note("waiting");
    story.world.send("resume", json!({}));
    story.world.end(returns("1"));
    story.note("over");
    story.tell("a_function_that_fails_before_its_first_step");
}

#[test]
fn waits_for_events() {
    let mut story = started("go");
    let condition = Some("async.data.n == 1");
    story
        .world
        .reply(vec![event("met", "resume", condition, "30s")]);
    story.note("waiting");
    story.world.send("resume", json!({"n": 1}));
    story
        .world
        .reply(vec![event("given up", "never", None, "30s")]);
    story.world.later(30_000);
    story.world.end(returns("1"));
    story.note("over");
    story.tell("waits_for_events");
}

#[test]
fn sleeps_and_signals() {
    let mut story = started("go");
    story.world.reply(vec![sleep("nap", "1h")]);
    story.note("asleep");
    story.world.later(3_600_000);
    story.world.reply(vec![signal("ready", "go-ahead", "1h")]);
    story.note("waiting");
    story.world.signal("go-ahead");
    story.world.reply(vec![signal("late", "go-ahead", "1h")]);
    story.world.later(3_600_000);
    story.world.end(returns("1"));
    story.note("over");
    story.tell("sleeps_and_signals");
}

#[test]
fn invocations() {
    let mut story = started("go");
    story.world.reply(vec![invoke("call it", "callee", "30s")]);
    story.note("under way");
    story.world.end(returns("\"invoked\""));
    story.world.reply(vec![invoke("too slow", "callee", "30s")]);
    story.world.later(30_000);
    let late = story.world.in_flight();
    assert_eq!(late, 2, "the callee's call goes on");
    story.world.reply(vec![invoke("nobody", "nobody", "30s")]);
    story.world.reply(vec![invoke("fails", "callee", "30s")]);
    story.world.end(fails("callee is ill", true));
    story.world.end(returns("1"));
    story.note("over");
    story.tell("invocations");
}

#[test]
fn parallel_steps() {
    let mut story = started("go-two");
    let steps = ["p1", "p2", "p3"].map(planned);
    story.world.reply(steps.to_vec());
    story.note("two of three called");
    story.world.reply(vec![ran("p2", "2")]);
    story.world.reply(vec![step_error("p3", "no luck")]);
    story.note("one retried");
    story.world.reply(vec![ran("p1", "1")]);
    story.world.later(10_000);
    story.world.reply(vec![ran("p3", "3")]);
    story.world.end(returns("6"));
    story.note("over");
    story.tell("parallel_steps");
}

#[test]
fn planning_that_fails_first() {
    let mut story = started("go");
    story.world.end(fails("nope", false));
    story.world.later(10_000);
    let steps = ["p1", "p2"].map(planned);
    story.world.reply(steps.to_vec());
    story.note("planned");
    story.world.reply(vec![ran("p2", "2")]);
    story.world.reply(vec![ran("p1", "1")]);
    story.world.end(returns("3"));
    story.note("over");
    story.tell("planning_that_fails_first");
}

#[test]
fn requests() {
    let mut story = started("go");
    story.world.reply(vec![gateway("fetch")]);
    story.note("in flight");
    story.world.fetched(Err("refused"));
    story.note("waiting for another attempt");
    story.world.later(10_000);
    story.world.fetched(Ok("{\"data\":{\"status_code\":200}}"));
    story.world.end(returns("1"));
    story.note("over");
    story.tell("requests");
}

#[test]
fn checkpoints() {
    let mut story = started("go");
    story.world.end(fails("nope", false));
    story.world.later(10_000);
    story.world.checkpoint(vec![ran("a", "1"), ran("b", "2")]);
    story.note("two steps ahead");
    story.world.end(fails("after b", false));
    story.note("failed after them");
    story.world.later(10_000);
    story.world.checkpoint(vec![ran("c", "3")]);
    story.world.reply(vec![ReportedOp {
        value: Some(world::text("3")),
        ..op(Opcode::RunComplete, "end")
    }]);
    story.note("over");
    story.tell("checkpoints");
}

#[test]
fn a_call_that_had_nothing_new_to_report() {
    let mut story = started("go-two");
    story
        .world
        .reply(vec![planned("p1"), event("wait", "resume", None, "30s")]);
    story.world.reply(vec![ReportedOp {
        race: true,
        ..ran("p1", "1")
    }]);
    story.world.end(fails("nope", false));
    story.world.later(10_000);
    story
        .world
        .reply(vec![event("wait", "resume", None, "30s")]);
    story.note("still waiting");
    story.tell("a_call_that_had_nothing_new_to_report");
}

#[test]
fn cancelled_runs() {
    let mut story = started("go-two");
    story.world.reply(vec![
        planned("p1"),
        planned("p2"),
        planned("p3"),
        sleep("nap", "1h"),
        event("wait", "resume", None, "2h"),
        invoke("call it", "callee", "30s"),
    ]);
    story.world.reply(vec![step_error("p1", "no luck")]);
    story.world.cancel(0);
    story.note("cancelled");
    story.tell("cancelled_runs");
}

#[test]
fn a_run_that_outruns_its_own_steps() {
    let mut story = started("go");
    let mut nap = sleep("nap", "1h");
    nap.race = true;
    let mut quick = planned("quick");
    quick.race = true;
    story.world.reply(vec![nap, quick]);
    story.world.reply(vec![ReportedOp {
        race: true,
        ..ran("quick", "1")
    }]);
    story.world.end(returns("1"));
    story.note("over");
    story.tell("a_run_that_outruns_its_own_steps");
}

#[test]
fn a_run_that_a_limit_ends() {
    let mut story = started("go");
    story.world.reply(vec![sleep("nap", "400d")]);
    story.note("over");
    story.tell("a_run_that_a_limit_ends");
}

#[test]
fn skipped_runs() {
    let mut story = Story::new();
    story.world.pause("paused");
    story.world.send("go-paused", json!({}));
    story.note("paused");
    story.world.send("go-single", json!({}));
    story.world.send("go-single", json!({}));
    let tree = story.world.tree(2);
    story.moments.insert("its place is taken".to_owned(), tree);
    story.tell("skipped_runs");
}

#[test]
fn a_repeated_run() {
    let mut story = started("go");
    story.world.reply(vec![ran("a", "1")]);
    story.world.reply(vec![ran("b", "2")]);
    story.world.end(returns("3"));
    story.world.repeat(0, &["a"], "b");
    story.world.reply(vec![ran("b", "20")]);
    story.world.end(returns("21"));
    let tree = story.world.tree(1);
    story.moments.insert("over".to_owned(), tree);
    story.tell("a_repeated_run");
}

#[test]
fn what_an_app_s_clock_says_stays_within_its_call() {
    let mut story = started("go");
    let hour = 3_600_000;
    let early = ReportedOp {
        started_at: Some(world::at(0)),
        ..ran("early", "1")
    };
    let late = ReportedOp {
        started_at: Some(world::at(hour)),
        ..ran("late", "2")
    };
    story.world.later(1_000);
    story.world.reply(vec![early]);
    story.world.later(1_000);
    story.world.reply(vec![late]);
    story.note("between");
    story.tell("what_an_app_s_clock_says_stays_within_its_call");
}

#[test]
fn spans_keep_their_ids_and_have_one_each() {
    let mut story = started("go");
    story.world.reply(vec![step_error("flaky", "no luck")]);
    let waiting = story.world.ids(0);
    story.world.later(10_000);
    let again = story.world.ids(0);
    assert_eq!(waiting, again);
    story.world.reply(vec![ran("flaky", "1")]);
    story.world.end(returns("1"));
    let over = story.world.ids(0);
    assert!(waiting.is_disjoint(&["".to_owned()].into()));
    let kept = waiting.intersection(&over).count();
    assert_eq!(kept, waiting.len() - 1, "only the place of the call goes");
}

#[test]
fn there_is_no_history_of_no_run() {
    let world = World::new();
    assert!(world.has_no_history_of_others());
}
