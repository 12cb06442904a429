//! Plugins made from text, run the way the gateway runs them.

mod bounds;
mod calls;
mod plugin;
mod sandbox;
mod strings;
mod views;
