"""The simulator's MQTT through Paho: what a device of ThingsBoard does, and what it gets where that fails."""

import hashlib
import json
import os
import queue
import subprocess
import time
import unittest
import urllib.error
import urllib.request

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

SIMULATOR = os.environ["SIMULATOR"]
TOKEN = "A1_TEST_TOKEN"
# Long enough for a loaded machine; only a failing test waits for it.
TIMEOUT = 20


class Client(paho.Client):
    """Paho 2.1.0 reads the reason code of a DISCONNECT only if properties follow it; ThingsBoard sends none."""

    disconnect_code = None

    def _handle_disconnect(self):
        self.disconnect_code = self._in_packet["packet"][0]
        return super()._handle_disconnect()


class Device:
    """A client with everything it gets, in order."""

    def __init__(self, port, token=TOKEN, protocol=paho.MQTTv5, connect=True):
        """With `connect`, the CONNECT is accepted; else the test looks at its CONNACK."""
        self.events = queue.Queue()
        self.client = Client(paho.CallbackAPIVersion.VERSION2, protocol=protocol)
        # A PUBACK is sent when a test says so.
        self.client.manual_ack_set(True)
        self.client.max_inflight_messages_set(1000)
        self.client.username_pw_set(token)
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.events.put(("connack", code.value))
        self.client.on_disconnect = lambda client, *_: self.events.put(("disconnect", client.disconnect_code))
        self.client.on_subscribe = lambda _c, _u, mid, codes, _p: self.events.put(
            ("suback", [code.value for code in codes])
        )
        self.client.on_publish = lambda _c, _u, mid, code, _p: self.events.put(("puback", mid, code.value))
        self.client.on_message = lambda _c, _u, message: self.events.put(("message", message))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        if connect:
            assert self.next("connack") == ("connack", 0)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def next(self, kind):
        """The next event, which is of this kind."""
        event = self.events.get(timeout=TIMEOUT)
        assert event[0] == kind, event
        return event

    def publish(self, topic, payload, qos=1):
        """The reason code of the PUBACK."""
        mid = self.client.publish(topic, payload, qos).mid
        _, acknowledged, code = self.next("puback")
        assert acknowledged == mid, (acknowledged, mid)
        return code

    def subscribe(self, topic, qos=1):
        self.client.subscribe(topic, qos)
        (code,) = self.next("suback")[1]
        # A subscription of ThingsBoard works a little later than its SUBACK.
        time.sleep(0.1)
        return code

    def message(self):
        _, message = self.next("message")
        assert message.qos == 1
        return message

    def receive(self):
        """The next message, acknowledged: its topic and its JSON."""
        message = self.message()
        self.client.ack(message.mid, message.qos)
        return message.topic, json.loads(message.payload)

    def silent(self, seconds):
        """Whether nothing comes for this long."""
        try:
            event = self.events.get(timeout=seconds)
        except queue.Empty:
            return True
        raise AssertionError(event)


class Case(unittest.TestCase):
    def setUp(self):
        self.simulator = subprocess.Popen(
            [SIMULATOR, "--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--log", "warn"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.stop)
        self.http = "http" + self.simulator.stdout.readline().strip().rsplit("http", 1)[1]
        self.port = int(self.simulator.stdout.readline().rsplit(":", 1)[1])
        self.control("PUT", "devices/meter", {"token": TOKEN})

    def stop(self):
        self.simulator.kill()
        self.simulator.wait()
        self.simulator.stdout.close()

    def device(self, **options):
        device = Device(self.port, **options)
        self.addCleanup(device.close)
        return device

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.http}/simulator/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            text = response.read()
        return json.loads(text) if text else None

    def stored(self):
        return self.control("GET", "devices/meter")


class Uplink(Case):
    def test_good_and_bad_telemetry(self):
        device = self.device()
        for payload, code in [
            ('{"temperature":25.5}', 0),
            ('[{"ts":1700000000000,"values":{"old":1}},{"new":2}]', 0),
            ("{lenient:on}", 0),
            ("{", 0x99),
            ("[1]", 0x99),
            ("", 0x99),
            ("5", 0x99),
        ]:
            self.assertEqual(device.publish("v2/t/j", payload), code, payload)
        telemetry = self.stored()["telemetry"]
        self.assertEqual(telemetry["temperature"]["value"], 25.5)
        self.assertEqual(telemetry["old"], {"ts": 1700000000000, "value": 1})
        self.assertEqual(telemetry["lenient"]["value"], "on")
        self.assertEqual(device.publish("no/such/topic", "{}"), 0x90)

    def test_no_answer_ever_and_connections_that_close(self):
        device = self.device()
        device.client.publish("v2/t/j", "[]", 1)
        self.assertTrue(device.silent(0.5))
        self.assertEqual(device.publish("v2/t/j", '{"after":1}'), 0)
        device.client.publish("v2/t/j", '{"ts":"x","values":{"a":1}}', 1)
        self.assertEqual(device.next("disconnect")[1], 0x8B)
        device = self.device()
        device.client.publish("v2/t/j", json.dumps({"a": "x" * 70_000}), 1)
        self.assertEqual(device.next("disconnect")[1], 0x81)
        device = self.device()
        device.client.publish("v2/t/j", "{", 0)
        # Paho calls a PUBLISH at QoS 0 published once it is sent.
        device.next("puback")
        self.assertEqual(device.next("disconnect")[1], 0x99)

    def test_3_1_1_closes_at_a_bad_payload_and_acknowledges_what_it_throws_away(self):
        device = self.device(protocol=paho.MQTTv311)
        self.assertEqual(device.publish("v1/devices/me/telemetry", '{"a":1}'), 0)
        self.assertEqual(device.publish("no/such/topic", "{}"), 0)
        device.client.publish("v1/devices/me/telemetry", "{", 1)
        self.assertEqual(device.next("disconnect")[1], None)

    def test_60_kilobytes_and_many_in_flight(self):
        device = self.device()
        self.assertEqual(device.publish("v2/t/j", json.dumps({"a": "x" * 60_000})), 0)
        mids = [device.client.publish("v2/t/j", json.dumps({"n": n}), 1).mid for n in range(1000)]
        acknowledged = [device.next("puback") for _ in mids]
        self.assertEqual([(mid, code) for _, mid, code in acknowledged], [(mid, 0) for mid in mids])
        self.assertEqual(self.stored()["telemetry"]["n"]["value"], 999)

    def test_a_rate_limit_closes_without_a_puback(self):
        device = self.device()
        self.control("PUT", "mqtt", {"telemetryLimit": "5:10"})
        for _ in range(5):
            self.assertEqual(device.publish("v2/t/j", '{"a":1}'), 0)
        device.client.publish("v2/t/j", '{"late":1}', 1)
        self.assertEqual(device.next("disconnect")[1], 0x83)
        self.assertNotIn("late", self.stored()["telemetry"])

    def test_client_side_rpc_and_claim(self):
        device = self.device()
        self.assertEqual(device.publish("v2/r/req/j/5", '{"method":"echo","params":{"b":1}}'), 0)
        self.assertEqual(device.receive(), ("v2/r/res/j/5", {"b": 1}))
        self.assertEqual(device.publish("v1/devices/me/claim", "{}"), 0)
        self.assertEqual(device.publish("v1/devices/me/claim", "[]"), 0x99)


class Downlink(Case):
    def test_attributes_are_requested_and_their_changes_come(self):
        self.control("POST", "devices/meter/attributes/shared", {"s": 1})
        device = self.device()
        self.assertEqual(device.publish("v2/a/j", '{"c":{"d":[1,null]}}'), 0)
        self.assertEqual(device.subscribe("v1/devices/me/attributes"), 1)
        self.assertEqual(device.subscribe("v2/a/j"), 1)
        self.assertEqual(device.publish("v2/a/req/j/7", "{}"), 0)
        self.assertEqual(
            device.receive(), ("v2/a/res/j/7", {"client": {"c": {"d": [1, None]}}, "shared": {"s": 1}})
        )
        self.control("POST", "devices/meter/attributes/shared", {"s": 2})
        self.assertEqual(device.receive(), ("v2/a/j", {"s": 2}))
        self.control("DELETE", "devices/meter/attributes/shared?keys=s,never")
        self.assertEqual(device.receive(), ("v2/a/j", {"deleted": ["s", "never"]}))
        self.assertEqual(device.publish("v2/a/req/j/8", '{"sharedKeys":"s"}'), 0)
        self.assertEqual(device.receive(), ("v2/a/res/j/8", {}))
        self.assertEqual(device.subscribe("#"), 0x8F)

    def test_a_command_and_its_reply(self):
        device = self.device()
        device.subscribe("v2/r/req/j/+")
        command = {"method": "open", "params": {"valve": 2}, "persistent": True, "timeoutMs": 60_000}
        number = self.control("POST", "devices/meter/rpc", command)["rpcId"]

        def status():
            return self.control("GET", f"commands/{number}")

        message = device.message()
        self.assertEqual(json.loads(message.payload), {"method": "open", "params": {"valve": 2}})
        self.assertEqual(status()["status"], "SENT")
        device.client.ack(message.mid, message.qos)
        topic = message.topic.replace("/req/", "/res/")
        self.assertEqual(device.publish(topic, '{"open":true}'), 0)
        self.assertEqual(status(), {"status": "SUCCESSFUL", "reply": '{"open":true}'})
        counts = self.control("GET", "devices/meter/mqtt")
        self.assertEqual((counts["commandPubacks"], counts["inFlight"]), (1, 0))

    def test_a_command_that_was_not_acknowledged_comes_again(self):
        self.control("PUT", "mqtt", {"pubackTimeoutMs": 200})
        device = self.device()
        device.subscribe("v2/r/req/j/+")
        command = {"method": "open", "params": 1, "persistent": True, "timeoutMs": 60_000}
        number = self.control("POST", "devices/meter/rpc", command)["rpcId"]
        topic = device.message().topic
        time.sleep(0.5)
        self.assertEqual(self.control("GET", f"commands/{number}")["status"], "TIMEOUT")
        # The second connection of the token displaces the first.
        second = self.device()
        self.assertEqual(device.next("disconnect")[1], 0x8E)
        second.client.subscribe("v2/r/req/j/+", 1)
        second.next("suback")
        self.assertEqual(second.receive(), (topic, {"method": "open", "params": 1}))
        second.publish("v2/t/j", "{}")
        self.assertEqual(self.control("GET", f"commands/{number}")["status"], "DELIVERED")

    def test_firmware_in_chunks(self):
        self.control("PUT", "packages/firmware/meter/1.1", {"size": 100_000, "seed": 3})
        self.control("PUT", "devices/meter/firmware", {"title": "meter", "version": "1.1"})
        shared = self.stored()["shared"]
        device = self.device()
        device.subscribe("v2/fw/response/+/chunk/+")
        package = b""
        for chunk in range(100):
            self.assertEqual(device.publish(f"v2/fw/request/9/chunk/{chunk}", "16384"), 0)
            message = device.message()
            device.client.ack(message.mid, message.qos)
            self.assertEqual(message.topic, f"v2/fw/response/9/chunk/{chunk}")
            if not message.payload:
                break
            package += message.payload
        self.assertEqual(len(package), shared["fw_size"])
        self.assertEqual(hashlib.sha256(package).hexdigest(), shared["fw_checksum"])
        self.control("DELETE", "devices/meter/firmware")
        device.client.publish("v2/fw/request/10/chunk/0", "16384", 1)
        self.assertEqual(device.message().payload, b"NOT_FOUND")
        self.assertEqual(device.next("disconnect")[1], 0x83)

    def test_a_dead_subscription(self):
        self.control("PUT", "mqtt/dead-subscriptions", {"next": 1})
        device = self.device()
        self.assertEqual(device.subscribe("v2/a/j"), 1)
        self.control("POST", "devices/meter/attributes/shared", {"s": 2})
        self.assertTrue(device.silent(0.5))


class Connections(Case):
    def test_wrong_credentials(self):
        for protocol, code in [
            (paho.MQTTv5, 0x86),
            # Paho translates 3.1.1's return code 5 into the reason code of MQTT 5.
            (paho.MQTTv311, ReasonCode(PacketTypes.CONNACK, "Not authorized").value),
        ]:
            device = self.device(token="wrong", protocol=protocol, connect=False)
            self.assertEqual(device.next("connack")[1], code)

    def test_another_token_closes_the_connection(self):
        device = self.device()
        self.control("PUT", "devices/meter", {"token": "OTHER"})
        self.assertEqual(device.next("disconnect")[1], 0x98)

    def test_a_restart_cuts_the_connection_and_paho_comes_back(self):
        device = self.device()
        device.client.reconnect_delay_set(1, 1)
        self.control("POST", "restart", {"downMs": 100})
        self.assertEqual(device.next("disconnect")[1], None)
        while True:
            event = device.events.get(timeout=TIMEOUT)
            if event[0] == "connack":
                break
            self.assertEqual(event[0], "disconnect")
        self.assertEqual(event[1], 0)
        self.assertEqual(device.publish("v2/t/j", '{"back":1}'), 0)

    def test_provisioning(self):
        self.control("PUT", "profiles/KEY", {"secret": "SECRET", "strategy": "ALLOW_CREATE_NEW_DEVICES"})
        device = self.device(token="provision")
        self.assertEqual(device.subscribe("/provision/response"), 1)
        request = {"deviceName": "new", "provisionDeviceKey": "KEY", "provisionDeviceSecret": "SECRET"}
        self.assertEqual(device.publish("/provision/request", json.dumps(request)), 0)
        topic, answer = device.receive()
        self.assertEqual((topic, answer["status"]), ("/provision/response", "SUCCESS"))
        new = self.device(token=answer["credentialsValue"])
        self.assertEqual(new.publish("v2/t/j", '{"a":1}'), 0)


if __name__ == "__main__":
    unittest.main()
