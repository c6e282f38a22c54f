//! Durable endpoints: what their apps report, in the engine's terms.

use crate::handle::{Handle, Unavailable};
use crate::report::{report_endpoint_steps, weight};
use stepwell_engine::function::{ConfigError, Function};
use stepwell_engine::{
    Answer, AppRow, EndpointError, EndpointStart, EndpointStarted, Input, NewEvent, Timestamp,
};
use stepwell_protocol::endpoint::{HttpRequest, NewRun, RequestError};
use stepwell_protocol::event::{AcceptedEvent, HTTP_REQUEST};
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::{RunId, SharedJson, limits, shared_json};
use stepwell_store::StoreError;

/// Why the first report of a run cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointRefused {
    /// The request could not be made again.
    #[error("event.data.{0}")]
    Request(#[from] RequestError),
    /// The request is larger than an event may be.
    #[error(
        "event.data: it makes an event of {bytes} bytes, and {} are allowed",
        limits::EVENT_BYTES_MAX
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// No function can be made of it.
    #[error("event.data: {}", .0.first().map_or_else(String::new, ToString::to_string))]
    Function(Vec<ConfigError>),
}

impl Handle {
    /// Checks the first report of an endpoint's run; `sdk` and `framework` are what the app says of itself.
    ///
    /// # Errors
    /// [`EndpointRefused`] with the field that will not do.
    pub fn accept_endpoint(
        &self,
        run: NewRun,
        sdk: &str,
        framework: &str,
    ) -> Result<EndpointStart, EndpointRefused> {
        let mut request = run.event.data;
        request.check()?;
        request.note_body(sdk);
        let function = Function::of_endpoint(&request.domain, &request.slug(), run.retries)
            .map_err(EndpointRefused::Function)?;
        let event = self.request_event(&request, run.event.ts)?;
        let body = &event.body;
        Ok(EndpointStart {
            run: run.run_id,
            app: AppRow {
                id: function.app,
                name: request.domain.clone(),
                url: request.domain,
                sdk: app_sdk(sdk),
                framework: framework.to_owned(),
                checksum: String::new(),
                synced_at: Timestamp::default(),
            },
            function,
            request_version: run
                .request_version
                .filter(|version| (1..=2).contains(version))
                .unwrap_or(-1),
            steps: report_endpoint_steps(run.steps, Some(body)),
            event,
        })
    }

    fn request_event(
        &self,
        request: &HttpRequest,
        ts: Option<i64>,
    ) -> Result<NewEvent, EndpointRefused> {
        let id = self.new_event_id();
        let now_ms = i64::try_from(self.now().ms()).unwrap_or(i64::MAX);
        let ts_ms = ts.filter(|ts| *ts > 0).unwrap_or(now_ms);
        let data = serde_json::to_string(request).expect("a request has only string keys");
        let data = shared_json(data).expect("serialised JSON is JSON");
        let body = AcceptedEvent::internal(HTTP_REQUEST, id.to_string(), ts_ms, data).render(id);
        let bytes = body.get().len();
        if bytes > limits::EVENT_BYTES_MAX {
            return Err(EndpointRefused::TooLarge { bytes });
        }
        Ok(NewEvent {
            id,
            name: HTTP_REQUEST.into(),
            external_id: None,
            ts_ms,
            repeatable: false,
            body,
        })
    }

    /// Takes in a run that its app has begun to execute.
    ///
    /// # Errors
    /// [`Unavailable`] outside, [`EndpointError`] inside.
    pub async fn start_endpoint(
        &self,
        start: EndpointStart,
    ) -> Result<Result<EndpointStarted, EndpointError>, Unavailable> {
        let bytes = start.event.body.get().len() + weight(&start.steps);
        match self
            .ask(Input::EndpointStarted(Box::new(start)), bytes)
            .await?
        {
            Answer::EndpointStarted(result) => Ok(result),
            other => unreachable!("an endpoint's start is answered as one, not {other:?}"),
        }
    }

    /// Takes in what an app reports further of a run that it executes; `event` is the run's own, if
    /// [`Handle::event_for`] says that it is needed.
    ///
    /// # Errors
    /// [`Unavailable`] outside, [`EndpointError`] inside.
    pub async fn report_endpoint(
        &self,
        run: RunId,
        ops: Vec<Op>,
        event: Option<&SharedJson>,
    ) -> Result<Result<(), EndpointError>, Unavailable> {
        let steps = report_endpoint_steps(ops, event);
        let bytes = weight(&steps);
        match self
            .ask(Input::EndpointReported { run, steps }, bytes)
            .await?
        {
            Answer::EndpointReported(result) => Ok(result),
            other => unreachable!("an endpoint's report is answered as one, not {other:?}"),
        }
    }

    /// The event of a run, when one of the ops is a wait whose condition may take values from it.
    ///
    /// # Errors
    /// The store's.
    pub async fn event_for(
        &self,
        run: RunId,
        ops: &[Op],
    ) -> Result<Option<SharedJson>, StoreError> {
        let conditional = |op: &Op| op.op == Opcode::WaitForEvent && op.option("if").is_some();
        if !ops.iter().any(conditional) {
            return Ok(None);
        }
        self.read(move |reader| {
            let Some(record) = reader.run(run)? else {
                return Ok(None);
            };
            let Some(event) = record.events.first() else {
                return Ok(None);
            };
            Ok(reader.event(*event)?.map(|event| event.body))
        })
        .await
    }
}

/// The SDK as apps register it, e.g. `js:v4.1.2`, from what it calls itself in a header, `inngest-js:v4.1.2`.
fn app_sdk(header: &str) -> String {
    let name = header.strip_prefix("inngest-").unwrap_or(header);
    name.to_owned()
}
