//! ThingsBoard's restarts, and failures inside of it.

use super::Control;
use crate::clock::in_ms;
use crate::connection::ConnectionHandle;
use crate::downlink::Downlink;
use std::time::Duration;

impl Control {
    /// Restarts ThingsBoard. Cuts all connections, those of MQTT as well, and closes new ones for this long. Polls,
    /// subscriptions and pending commands are lost, except for persistent ones that were never sent, and the ids of
    /// commands begin at 0 again. Devices, attributes and scripted replies stay: they
    /// are in ThingsBoard's database.
    pub fn restart(&self, down: Duration) {
        self.restart_except(down, None);
    }

    /// The same, but without cutting the connection of the control request itself.
    pub(crate) fn restart_except(&self, down: Duration, except: Option<&ConnectionHandle>) {
        // Cut first, so that no poll begins in between.
        self.0.connections.cut_all(in_ms(down), except);
        self.0.mqtt_cuts.send_modify(|cuts| *cuts += 1);
        self.0.lock().long_polls.apply(Downlink::restart);
    }

    /// The number of open connections, and the limit.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        self.0.connections.count()
    }

    /// Sets the limit on open connections, by default Tomcat's 8192. Further connections wait to be accepted.
    pub fn set_max_connections(&self, most: usize) {
        self.0.connections.set_max(most);
    }

    /// Makes ThingsBoard's attribute store fail for the next `times` reads of attributes: 200 with `{}`.
    pub fn fail_attribute_store(&self, times: u32) {
        self.0.lock().attribute_store_fails = times;
    }
}
