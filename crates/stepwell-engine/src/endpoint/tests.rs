use super::*;
use crate::handler_failure::HANDLER;
use crate::{Answer, Config, Input, Snapshot};
use stepwell_protocol::{StepId, shared_json};

const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

struct World {
    engine: Engine,
    ids: IdSource,
}

impl World {
    fn new() -> Self {
        Self {
            engine: Engine::new(Config::default(), NOW),
            ids: IdSource::from_seed(1),
        }
    }

    /// The public id of the function of a run that was reported whole.
    fn run(&mut self, domain: &str, slug: &str) -> Result<String, EndpointError> {
        let id = self.ids.run_id(NOW);
        self.report(id, domain, slug, NOW)
    }

    fn report(
        &mut self,
        run: RunId,
        domain: &str,
        slug: &str,
        now: Timestamp,
    ) -> Result<String, EndpointError> {
        let function = Function::of_endpoint(domain, slug, Some(3)).expect("it compiles");
        let event = self.ids.event_id(NOW);
        let end = ReportedOp {
            op: Opcode::RunComplete,
            step: StepId::of(HANDLER, 0),
            title: String::new(),
            value: None,
            error: None,
            ask: Ask::Nothing,
            race: false,
            kind: None,
            started_at: None,
            metadata: Vec::new(),
        };
        let start = EndpointStart {
            run,
            app: AppRow {
                id: function.app,
                name: domain.to_owned(),
                url: domain.to_owned(),
                sdk: "test".to_owned(),
                framework: String::new(),
                checksum: String::new(),
                synced_at: NOW,
            },
            function,
            event: NewEvent {
                id: event,
                name: "inngest/http.request".into(),
                external_id: None,
                ts_ms: 0,
                repeatable: false,
                body: shared_json("{}".to_owned()).expect("it is JSON"),
            },
            request_version: 2,
            steps: vec![end],
        };
        let mut decision = Decision::default();
        let input = Input::EndpointStarted(Box::new(start));
        self.engine.handle(input, now, &mut self.ids, &mut decision);
        let Some(Answer::EndpointStarted(started)) = decision.answer else {
            panic!("a start is answered as one");
        };
        started.map(|started| self.engine.functions[&started.function].slug.to_string())
    }

    fn reload(&mut self) {
        let snapshot: Snapshot = self.engine.snapshot(NOW);
        self.engine = Engine::load(snapshot, Config::default(), NOW).expect("it loads");
    }
}

#[test]
fn an_app_with_no_end_of_paths_has_a_bounded_number_of_functions() {
    let mut world = World::new();
    for index in 0..ENDPOINTS_PER_APP_MAX {
        let slug = format!("GET /{index}");
        assert_eq!(world.run("http://api.test", &slug), Ok(slug));
    }
    let shared = Ok(SHARED_SLUG.to_owned());
    assert_eq!(world.run("http://api.test", "GET /more"), shared);
    world.reload();
    assert_eq!(world.run("http://api.test", "GET /even/more"), shared);
    assert_eq!(
        world.run("http://api.test", "GET /7"),
        Ok("GET /7".to_owned())
    );
    assert_eq!(
        world.run("http://other.test", "GET /1001"),
        Ok("GET /1001".to_owned())
    );
    assert_eq!(world.engine.functions.len(), ENDPOINTS_PER_APP_MAX + 2);
}

#[test]
fn made_up_hosts_bring_a_bounded_number_of_apps() {
    let mut world = World::new();
    for index in 0..APPS_MAX {
        let domain = format!("http://{index}.test");
        assert!(world.run(&domain, "GET /").is_ok());
    }
    world.reload();
    let refused = Err(EndpointError::TooManyApps);
    assert_eq!(world.run("http://more.test", "GET /"), refused);
    assert!(world.run("http://0.test", "GET /other").is_ok());
    assert_eq!(world.engine.apps.len(), APPS_MAX);
}

#[test]
fn an_endpoint_cannot_be_registered() {
    let body = r#"{"appName": "a", "url": "http://a.test", "functions": [{
        "id": "a-f", "name": "f", "triggers": [],
        "steps": {"step": {"id": "step", "name": "step", "runtime": {"type": "api", "url": "http://a.test"}}}
    }]}"#;
    let registration = stepwell_protocol::register::Registration::parse(body.as_bytes());
    let registration = registration.expect("it decodes");
    let errors = crate::function::compile_all(&registration).expect_err("it is refused");
    assert_eq!(errors[0].place, "steps.step.runtime.type");
}

#[test]
fn an_id_is_told_from_one_that_was_reported_before_or_refused() {
    const HOUR: u64 = 60 * 60 * 1_000;
    let at = |hours: u64| Timestamp::from_ms(NOW.ms() + hours * HOUR);
    let mut world = World::new();
    // The clock is an hour behind when the first report comes, and jumps.
    let id = world.ids.run_id(at(1));
    let mut report = |now| world.report(id, "http://api.test", "GET /", now);
    assert_eq!(report(at(0)), Ok("GET /".to_owned()));
    for hours in [0, 1, 12, 23] {
        assert_eq!(report(at(hours)), Err(EndpointError::Exists));
    }
    for hours in [25, 100] {
        assert_eq!(report(at(hours)), Err(EndpointError::Untimely));
    }
    let early = world.ids.run_id(at(3));
    let refused = world.report(early, "http://api.test", "GET /", at(1));
    assert_eq!(refused, Err(EndpointError::Untimely));
}
