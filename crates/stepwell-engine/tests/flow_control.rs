//! Flow control as a whole, compared with small models of what it promises.
//!
//! Each module drives an engine through generated inputs and a clock, and tells the same story by a model that is
//! written apart from the engine, in the terms of the rule: windows, buckets, places. The two must agree on what
//! starts, when, and for which events. Restarts come in between, and change nothing.

#[path = "flow_control/batch.rs"]
mod batch;
#[path = "flow_control/bulk_cancel.rs"]
mod bulk_cancel;
#[path = "flow_control/concurrency.rs"]
mod concurrency;
#[path = "flow_control/debounce.rs"]
mod debounce;
#[path = "flow_control/ends.rs"]
mod ends;
#[path = "flow_control/priority.rs"]
mod priority;
#[path = "flow_control/rates.rs"]
mod rates;
#[path = "flow_control/rig.rs"]
mod rig;
#[path = "flow_control/schedules.rs"]
mod schedules;
#[path = "flow_control/singleton.rs"]
mod singleton;
#[path = "flow_control/timeouts.rs"]
mod timeouts;
