#![forbid(unsafe_code)]
//! An HTTP API gateway whose middleware is written in any language.
//!
//! The modules follow a request: [`server`] accepts it, [`edge`] decides whether it is
//! well-formed, [`router`] finds its API, [`chain`] runs the API's middleware (plugin hooks
//! among them, in [`coprocess`]), [`upstream`] forwards it. [`api`] builds what serves from
//! what [`definition`] reads, and swaps it on reload. [`admin`] is the control plane.
//!
//! A binary of your own links language crates and calls [`cli::main`].

mod languages;

pub mod cli;

pub mod admin;
pub mod api;
pub mod bundle;
pub mod cache;
pub mod certificates;
pub mod chain;
mod check;
pub mod config;
pub mod coprocess;
pub mod definition;
pub mod edge;
pub mod error;
pub mod events;
pub mod exchange;
mod executor;
pub mod files;
pub mod gateway;
pub mod gather;
pub mod json;
pub mod jwt;
pub mod limits;
pub mod middleware;
pub mod outbound;
pub mod phase;
pub mod plugin_run;
pub mod policy;
pub mod router;
pub mod server;
pub mod session;
pub mod storage;
pub mod tally;
pub mod telemetry;
pub mod timer;
pub mod tls;
pub mod traffic;
pub mod upstream;
pub mod uptime;
