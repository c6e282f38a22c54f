//! The server over HTTP, as senders, SDKs and operators meet it: what it answers to good and bad requests, and
//! what it makes of apps that misbehave.

mod access;
mod app;
mod bad_apps;
mod bounds_api;
mod cancellations_api;
mod connect;
mod endpoints;
mod events_api;
mod good_apps;
mod graphql;
mod notes_api;
mod openapi;
mod operations;
mod outage;
mod realtime;
mod registration;
mod retries;
mod runs_api;
mod seats;
mod server;
mod slow_clients;
mod trace_api;
mod traces;
mod v2_api;
mod verdicts_api;
mod waits_api;
mod worker;
