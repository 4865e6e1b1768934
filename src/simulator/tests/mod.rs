//! Through real sockets: what a client of ThingsBoard would see.

mod attributes;
mod client;
mod control;
mod faults;
mod limits;
mod provisioning;
mod rpc;
mod telemetry;

use client::{Server, TOKEN, start};
