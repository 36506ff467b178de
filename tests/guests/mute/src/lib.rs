//! A plugin that never says who it is.

use dozo_sdk::bindings::exports::dozo::plugin::source::{Guest, GuestImpl};
