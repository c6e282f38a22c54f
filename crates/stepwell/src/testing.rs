//! Testing functions: a function, or a whole app, runs to its end in memory, on the real engine, with a clock that only the
//! test moves.
//!
//! ```
//! use std::time::Duration;
//! use stepwell::testing::TestApp;
//! use stepwell::{Context, Error, Function, NonRetriable, OutgoingEvent};
//!
//! async fn remind(ctx: Context) -> Result<String, Error> {
//!     ctx.step().sleep("a-month", Duration::from_secs(30 * 86_400)).await;
//!     Ok(ctx.step().run("send-mail", || async { Err(NonRetriable::new("no mail in tests").into()) }).await?)
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let app = TestApp::builder()
//!     .function(Function::new("remind").on_event("user/signed.up").handler(remind))
//!     .mock_step("send-mail", |_| Ok("message-1"))
//!     .fail_step("send-mail", 2, Error::new("Smtp", "try again later"))
//!     .start()
//!     .await?;
//! let run = app.run(OutgoingEvent::untyped("user/signed.up", serde_json::json!({"name": "Ada"}))).await?;
//! run.assert_output("message-1".to_owned())
//!     .assert_steps(["a-month", "send-mail"])
//!     .assert_attempts("send-mail", 3);
//! assert!(app.now().to_string() > "2026-01-31T00:00:00Z".to_owned());
//! # Ok::<(), stepwell::testing::TestError>(())
//! # }).unwrap();
//! ```
//!
//! - **Time.** The clock jumps to whatever is due next, but only when nothing is under way: no call at work, nothing undecided,
//!   nothing unwritten; the engine itself says so. What code within a step awaits takes its real time, and virtual time stands
//!   still meanwhile. [`TestApp::run`] waits for a run, [`TestApp::settle`] for all of them, [`TestApp::run_for`] lets a span
//!   of time pass, which is how schedules are tested.
//! - **Bounds.** What does not end within the virtual or the real time that is given to it ends the test, with what each
//!   unfinished run waits for.
//! - **Mocks.** Steps run for real unless they are mocked: [`Builder::mock_step`], [`Builder::mock_function`],
//!   [`Builder::fail_step`], [`Builder::observe_step`].
//! - **Looking.** A [`TestRun`] is a run with its steps, attempts, waits, sent events and result. Its assertions print its
//!   [`History`] when they do not hold.
//! - **Crashes.** [`assert_survives_crashes`] plays a scenario with a crash before and after every commit in turn.
//!
//! Tests need no server, port or file, share nothing, and run in parallel under plain `cargo test`: a run of five steps and
//! a sleep takes about five milliseconds in a debug build, one of them for the engine's start.
//!
//! Not replaced are the world's own clocks: `SystemTime::now()` and tokio's timers, which must not be paused
//! (`start_paused`): the engine has threads of its own. Clients that functions hold besides the app's own still send to
//! where they are configured to.

mod agenda;
mod app;
mod assertions;
mod builder;
mod calls;
mod crashes;
mod disk;
mod drive;
mod error;
mod history;
mod lives;
mod notes;
mod outcome;
mod run;
mod sink;
mod stand_ins;
mod steps;

pub use app::{Queued, TestApp};
pub use builder::Builder;
pub use crashes::assert_survives_crashes;
pub use error::TestError;
pub use history::History;
pub use notes::Note;
pub use run::{SentEvent, TestRun};
pub use stand_ins::{Observed, StepCall, Steps};
pub use steps::{FailedAttempt, StepStatus, TestStep, Wait, WaitEnd, WaitKind};

/// The guide's examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/testing.md")]
struct Guide;
