//! Plugins made from text, run the way the gateway runs them.

mod bounds;
mod bundles;
mod calls;
mod faults;
mod json;
mod kit;
mod plugin;
mod sandbox;
mod strings;
mod surface;
mod views;
