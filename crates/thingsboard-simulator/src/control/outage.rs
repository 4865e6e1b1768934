//! What goes wrong in ThingsBoard itself.

use super::Control;
use crate::clock::in_ms;
use crate::connection::ConnectionHandle;
use crate::downlink::Downlink;
use std::time::Duration;

impl Control {
    /// ThingsBoard restarts. All connections are cut, and for that long all that come as well. Polls, subscriptions and
    /// pending commands are lost, and the ids of commands begin at 0 again; devices, attributes and scripts stay, which
    /// are in ThingsBoard's database.
    pub fn restart(&self, down: Duration) {
        self.restart_except(down, None);
    }

    /// The same, but for the connection that asked for it: that one gets its answer first.
    pub(crate) fn restart_except(&self, down: Duration, except: Option<&ConnectionHandle>) {
        // Cut first, so that no new poll slips in between.
        self.0.connections.cut_all(in_ms(down), except);
        self.0.lock().long_polls.apply(Downlink::restart);
    }

    /// How many connections there are, and how many there may be.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        self.0.connections.count()
    }

    /// How many connections there may be: 8192, Tomcat's default, unless set here. Those beyond wait to be accepted.
    pub fn set_max_connections(&self, most: usize) {
        self.0.connections.set_max(most);
    }

    /// The next so many reads of attributes find ThingsBoard's attribute store failing: 200 with `{}`.
    pub fn fail_attribute_store(&self, times: u32) {
        self.0.lock().attribute_store_fails = times;
    }
}
