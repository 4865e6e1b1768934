//! How ThingsBoard itself fares: its timeouts, its bounds, its troubles.

use axum::http::Method;

use super::{Answered, Call, done, input, nothing, output, shown};

impl Call<'_> {
    pub(super) fn thingsboard(&self, method: &Method, path: &[&str]) -> Answered {
        match (method.as_str(), path) {
            ("GET", ["simulator", "timeouts"]) => Ok(shown(output::timeouts(self.control))),
            ("PUT", ["simulator", "timeouts"]) => {
                self.control.set_timeouts(input::timeouts(self.body)?);
                Ok(done())
            }

            ("GET", ["simulator", "subscription-delay"]) => {
                Ok(shown(output::subscription_delay(self.control)))
            }
            ("PUT", ["simulator", "subscription-delay"]) => {
                let delay = input::subscription_delay(self.body)?;
                self.control.set_subscription_delay(delay);
                Ok(done())
            }

            ("GET", ["simulator", "connections"]) => Ok(shown(output::connections(self.control))),
            ("PUT", ["simulator", "connections"]) => {
                let most = input::connections(self.body)?;
                self.control.set_most_connections(most);
                Ok(done())
            }

            ("GET", ["simulator", "attribute-store"]) => {
                Ok(shown(output::attribute_store(self.control)))
            }
            ("PUT", ["simulator", "attribute-store"]) => {
                let failing = input::attribute_store(self.body)?;
                self.control.fail_attribute_store(failing);
                Ok(done())
            }

            ("POST", ["simulator", "restart"]) => {
                let down = input::restart(self.body)?;
                self.line.close_after_answer();
                self.control.restart_but(down, Some(self.line));
                Ok(done())
            }

            _ => Err(nothing(&format!(
                "the simulator has no {method} /{}; GET /simulator lists what it has",
                path.join("/")
            ))),
        }
    }
}
