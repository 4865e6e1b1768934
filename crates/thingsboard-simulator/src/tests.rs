//! Through real sockets: what a client of ThingsBoard would see.

mod attributes;
mod client;
mod commands;
mod control;
mod faults;
mod limits;
mod mqtt;
mod packages;
mod polls;
mod provisioning;
mod restart;
mod rpc;
mod telemetry;

use client::{Server, TOKEN, start};
