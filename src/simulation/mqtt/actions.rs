//! A world over MQTT, and what tests let ThingsBoard, the network and the gateway do in it.

use super::super::observation::Observation;
use super::super::platform::State;
use super::super::upstream::Post;
use super::super::{Conditions, World, new_core, registry};
use super::MqttSide;
use crate::downlink::{Form, Kind};
use crate::gateway::Settings;
use crate::gateway::core::DownlinkRequest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thingsboard_simulator::{
    Arrival, CommandId, CommandOutcome, MqttCounts, RpcStatus, Scope, ServerRpc,
};

const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// A gateway that reaches ThingsBoard over MQTT, with registered devices, none of them connected.
    pub(in crate::simulation) fn over_mqtt(
        devices: usize,
        conditions: Conditions,
        seed: u64,
        mut settings: Settings,
    ) -> World {
        settings.downlink = Form::Push;
        let mut world = World::with_settings(devices, conditions, seed, settings);
        let mut of_connections = super::MqttSettings::simulated();
        of_connections.alive_for = settings.relay.alive_for;
        let mqtt = MqttSide::new(seed, of_connections);
        for number in 0..devices {
            let (name, token) = (format!("device-{number}"), format!("TOKEN-{number}"));
            mqtt.control.add_device(&name, &token).unwrap();
        }
        world.now = mqtt.now();
        world.mqtt = Some(mqtt);
        world
    }

    /// The same with one device that observes its attributes and its commands, in this order, and is subscribed for.
    pub(in crate::simulation) fn observing_over_mqtt(
        settings: Settings,
        kind: coap::Type,
    ) -> World {
        let mut world = World::over_mqtt(1, Conditions::GOOD, 1, settings);
        world.connect_all();
        for observed in [Kind::Attributes, Kind::Commands] {
            world.observe(0, kind, observed);
            world.run_for(SECOND);
        }
        let observations = &world.devices[0].observations;
        assert!(observations.iter().all(Observation::is_active));
        world
    }

    pub(in crate::simulation) fn mqtt(&self) -> &MqttSide {
        self.mqtt.as_ref().unwrap()
    }

    pub(in crate::simulation) fn mqtt_mut(&mut self) -> &mut MqttSide {
        self.mqtt.as_mut().unwrap()
    }

    /// Runs the connections until something arrives for the core, or until this time. Returns whether anything arrived.
    pub(in crate::simulation) fn run_mqtt(&mut self, until: Instant) -> bool {
        let mqtt = self.mqtt_mut();
        let arrived = mqtt.run_until(until);
        self.now = self.mqtt().now();
        self.record_arrivals();
        let is_any = !arrived.completions.is_empty() || !arrived.pushed.is_empty();
        for completion in arrived.completions {
            self.core.complete(self.now, completion);
        }
        for pushed in arrived.pushed {
            self.core.pushed(self.now, pushed);
        }
        is_any
    }

    /// Records what has arrived at ThingsBoard, for the invariants.
    fn record_arrivals(&mut self) {
        for arrival in self.mqtt_mut().take_arrivals() {
            let Arrival {
                path, device, body, ..
            } = arrival;
            let device = device.unwrap();
            if path == "v2/t/j" {
                self.upstream.posts.push(Post::new(&device, body));
            }
        }
    }

    /// Begins and ends calls, and carries out what the core wants of connections.
    pub(in crate::simulation) fn flush_mqtt(&mut self) {
        let Some(mqtt) = &mut self.mqtt else {
            return;
        };
        while let Some(call) = self.core.poll_call() {
            mqtt.begin_call(call);
        }
        while let Some(request) = self.core.poll_downlink() {
            let is_refused = mqtt.request(&request);
            if let DownlinkRequest::Subscribe { device, kind, .. } = request
                && is_refused
            {
                self.core.subscription_refused(self.now, &device, kind);
            }
        }
        while let Some(ticket) = self.core.poll_abort() {
            mqtt.abort(ticket);
        }
    }

    /// Sets a shared attribute of a device at ThingsBoard.
    pub(in crate::simulation) fn set_shared(&self, device: usize, key: &str, value: &Value) {
        let name = self.device_name(device);
        self.mqtt().at_thingsboard(|control| {
            control.set_shared_attribute(&name, key, value).unwrap();
        });
    }

    /// Deletes a shared attribute of a device at ThingsBoard.
    pub(in crate::simulation) fn delete_shared(&self, device: usize, key: &str) {
        let name = self.device_name(device);
        self.mqtt().at_thingsboard(|control| {
            let keys = [key.to_owned()];
            control
                .remove_attributes(&name, Scope::Shared, &keys)
                .unwrap();
        });
    }

    /// The shared attributes of a device at ThingsBoard.
    pub(in crate::simulation) fn shared(&self, device: usize) -> State {
        let name = self.device_name(device);
        let attributes = self.mqtt().control.attributes(&name, Scope::Shared);
        let Some(Value::Object(members)) = attributes else {
            panic!("{attributes:?}");
        };
        members
            .into_iter()
            .map(|(key, value)| (key, value.to_string()))
            .collect()
    }

    /// ThingsBoard sends a device a persistent command that is valid for this time.
    pub(in crate::simulation) fn persistent_command(
        &self,
        device: usize,
        number: u64,
        is_oneway: bool,
        valid_for: Duration,
    ) -> CommandId {
        let name = self.device_name(device);
        let rpc = match is_oneway {
            true => ServerRpc::oneway("set", &json!(number)),
            false => ServerRpc::twoway("set", &json!(number)),
        };
        let rpc = rpc.with_timeout(valid_for);
        self.mqtt()
            .at_thingsboard(|control| control.persistent_command(&name, rpc, None).unwrap())
    }

    /// ThingsBoard sends a device a command that is not persistent.
    pub(in crate::simulation) fn command(&self, device: usize, number: u64, is_oneway: bool) {
        let name = self.device_name(device);
        let rpc = match is_oneway {
            true => ServerRpc::oneway("set", &json!(number)),
            false => ServerRpc::twoway("set", &json!(number)),
        };
        let mqtt = self.mqtt();
        let (control, outcomes) = (mqtt.control.clone(), Arc::clone(&mqtt.outcomes));
        mqtt.runtime.spawn(async move {
            let outcome = control.command(&name, rpc).await.unwrap();
            outcomes.lock().unwrap().insert(number, outcome);
        });
    }

    pub(in crate::simulation) fn outcome(&self, number: u64) -> Option<CommandOutcome> {
        self.mqtt().outcomes.lock().unwrap().get(&number).cloned()
    }

    pub(in crate::simulation) fn status(&self, command: CommandId) -> RpcStatus {
        let status = self
            .mqtt()
            .at_thingsboard(|control| control.rpc_status(command));
        status.unwrap().0
    }

    pub(in crate::simulation) fn counts(&self, device: usize) -> MqttCounts {
        let name = self.device_name(device);
        let counts = self
            .mqtt()
            .at_thingsboard(|control| control.mqtt_counts(&name));
        counts.unwrap()
    }

    /// ThingsBoard restarts, and is down for this time.
    pub(in crate::simulation) fn restart_thingsboard(&mut self, down: Duration) {
        self.upstream.interrupted();
        self.mqtt().at_thingsboard(|control| control.restart(down));
    }

    /// The gateway's process ends, and another begins, with no session.
    pub(in crate::simulation) fn restart_gateway(&mut self, seed: u64) {
        let devices = self.devices.iter();
        let entries = devices.map(|device| {
            let number = device.registered_as;
            (number, format!("TOKEN-{number}"), device.certificate_id())
        });
        self.core = new_core(self.settings, registry(entries), seed);
        self.invariants.gateway_restarted(&mut self.core);
        self.mqtt_mut().restart_gateway();
    }

    /// How often each command was executed, by the number in its parameters.
    pub(in crate::simulation) fn executions(&self) -> BTreeMap<u64, usize> {
        let mut times = BTreeMap::new();
        let observations = self.devices.iter().flat_map(|device| &device.observations);
        for command in observations.flat_map(|observation| &observation.commands) {
            *times.entry(command.as_u64().unwrap()).or_default() += 1;
        }
        times
    }
}
