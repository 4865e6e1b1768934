//! What goes wrong in ThingsBoard itself.

use super::Control;
use crate::clock::in_ms;
use crate::connection::Line;
use crate::downlink::Downlink;
use std::time::Duration;

impl Control {
    /// ThingsBoard restarts. All connections are cut, and for that long all that come as well. Polls, subscriptions and
    /// pending commands are lost, and the ids of commands begin at 0 again; devices, attributes and scripts stay, which
    /// are in ThingsBoard's database.
    pub fn restart(&self, down: Duration) {
        self.restart_but(down, None);
    }

    /// The same, but for the connection that asked for it: that one gets its answer first.
    pub(crate) fn restart_but(&self, down: Duration, but: Option<&Line>) {
        // Cut first, so that no new poll slips in between.
        self.0.lines.go_down(in_ms(down), but);
        self.0.lock().long_polls.apply(Downlink::restart);
    }

    /// How many connections there are, and how many there may be.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        self.0.lines.count()
    }

    /// How many connections there may be: 8192, Tomcat's default, unless set here. Those beyond wait to be accepted.
    pub fn set_most_connections(&self, most: usize) {
        self.0.lines.set_most(most);
    }

    /// The next so many reads of attributes find ThingsBoard's attribute store failing: 200 with `{}`.
    pub fn fail_attribute_store(&self, times: u32) {
        self.0.lock().attribute_store_fails = times;
    }
}
