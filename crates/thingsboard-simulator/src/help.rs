//! The part of `--help` after the options.

/// Commands to try. A test sends the request of each `curl` line.
pub const HELP: &str = r#"This is a simulator of ThingsBoard's device API, not ThingsBoard: it keeps everything in memory.

Define a device, post as it, and see what arrived:
  curl -X PUT http://127.0.0.1:8080/simulator/devices/meter-17 -d '{"token":"A1_TEST_TOKEN"}'
  curl -H 'Content-Type: application/json' http://127.0.0.1:8080/api/v1/A1_TEST_TOKEN/telemetry -d '{"temperature":25}'
  curl http://127.0.0.1:8080/simulator/arrivals?limit=10
  curl -X DELETE http://127.0.0.1:8080/simulator/arrivals

Attributes (scopes: client, shared), and all values of a device:
  curl http://127.0.0.1:8080/simulator/devices/meter-17/attributes/shared -d '{"interval":60}'
  curl -X DELETE http://127.0.0.1:8080/simulator/devices/meter-17/attributes/shared?keys=interval
  curl http://127.0.0.1:8080/simulator/devices/meter-17

Faults: status, drop, garbage or hang, after delayMs, for a path or all, for some times or until cleared:
  curl http://127.0.0.1:8080/simulator/faults -d '{"status":503,"times":3}'
  curl http://127.0.0.1:8080/simulator/faults -d '{"path":"/api/v1/*/telemetry","delayMs":2000,"drop":true}'
  curl -X DELETE http://127.0.0.1:8080/simulator/faults

Client-side RPC: getTime and echo have replies, other methods end in a timeout unless a reply is set:
  curl -X PUT http://127.0.0.1:8080/simulator/rpc/getLimit -d '{"limit":7}'
  curl -X PUT 'http://127.0.0.1:8080/simulator/rpc/getLimit?error=no+rights'

Downlink. The first two wait for what the others send, so run each in a terminal of its own (or with "&"):
  curl 'http://127.0.0.1:8080/api/v1/A1_TEST_TOKEN/attributes/updates?timeout=25000'
  curl 'http://127.0.0.1:8080/api/v1/A1_TEST_TOKEN/rpc?timeout=25000'
  curl http://127.0.0.1:8080/simulator/devices/meter-17/subscriptions
  curl http://127.0.0.1:8080/simulator/devices/meter-17/attributes/shared -d '{"interval":30}'
  curl http://127.0.0.1:8080/simulator/devices/meter-17/rpc -d '{"method":"open","params":{"valve":2},"oneway":true}'
  curl 'http://127.0.0.1:8080/simulator/arrivals?polls&limit=2'

A two-way command waits for its reply, which has the id of the command in its path:
  curl http://127.0.0.1:8080/simulator/devices/meter-17/rpc -d '{"method":"state","params":{},"timeoutMs":20000}'
  curl 'http://127.0.0.1:8080/api/v1/A1_TEST_TOKEN/rpc?timeout=20000'
  curl -H 'Content-Type: application/json' http://127.0.0.1:8080/api/v1/A1_TEST_TOKEN/rpc/1 -d '{"open":true}'

Packages: firmware and software, generated (of any size, always the same bytes), uploaded (16 MiB at most; a file with
--data-binary @image.bin), or at a URL elsewhere. They are assigned to one device or to all, which sets the attributes
fw_title, fw_version, fw_size, fw_checksum (or sw_...) of these devices. Then devices fetch them, whole or in chunks, and
what was served is counted. The first one's SHA-256 is
01ac200d5808b9d6e3ab5f05977d9bf4b88eabc21bad6a30c72cc3ad7d53341e:
  curl -X PUT http://127.0.0.1:8080/simulator/packages/firmware/meter/1.1 -d '{"size":1048576}'
  curl -X PUT http://127.0.0.1:8080/simulator/packages/firmware/meter/1.2 -d '{"size":1048576,"seed":7,"tag":"trial"}'
  curl -X PUT http://127.0.0.1:8080/simulator/packages/software/app/7/data -d 'these bytes'
  curl -X PUT http://127.0.0.1:8080/simulator/packages/software/app/8 -d '{"url":"https://example.com/app-8"}'
  curl -X PUT http://127.0.0.1:8080/simulator/devices/meter-17/firmware -d '{"title":"meter","version":"1.1"}'
  curl -X PUT http://127.0.0.1:8080/simulator/software -d '{"title":"app","version":"7"}'
  curl 'http://127.0.0.1:8080/api/v1/A1_TEST_TOKEN/attributes?sharedKeys=fw_title,fw_version,fw_size,fw_checksum'
  curl -o part 'http://127.0.0.1:8080/api/v1/A1_TEST_TOKEN/firmware?title=meter&version=1.1&size=65536&chunk=0'
  curl 'http://127.0.0.1:8080/api/v1/A1_TEST_TOKEN/software?title=app&version=7'
  curl http://127.0.0.1:8080/simulator/packages
  curl -X DELETE http://127.0.0.1:8080/simulator/devices/meter-17/firmware
  curl -X DELETE http://127.0.0.1:8080/simulator/packages/firmware/meter/1.1

Provisioning (strategy: ALLOW_CREATE_NEW_DEVICES, CHECK_PRE_PROVISIONED_DEVICES, DISABLED):
  curl -X PUT http://127.0.0.1:8080/simulator/profiles/KEY -d '{"secret":"SECRET","strategy":"ALLOW_CREATE_NEW_DEVICES"}'

MQTT, with --mqtt 127.0.0.1:1883: the access token is the user name. For example, with Mosquitto's clients:
  mosquitto_pub -V 5 -p 1883 -u A1_TEST_TOKEN -q 1 -t v2/t/j -m '{"temperature":25}'
  mosquitto_sub -V 5 -p 1883 -u A1_TEST_TOKEN -q 1 -t v2/a/j -t v2/r/req/j/+ -v
What a device's connections have sent and received; a cut of its connection; rate limits (messages:seconds), delays, the
first packet id; SUBSCRIBEs that are granted but dead; a persistent command (ThingsBoard keeps it), whose response has an
rpcId, and its status:
  curl http://127.0.0.1:8080/simulator/devices/meter-17/mqtt
  curl -X PUT http://127.0.0.1:8080/simulator/mqtt -d '{"telemetryLimit":"100:1","pubackDelayMs":20,"firstPacketId":65535}'
  curl -X PUT http://127.0.0.1:8080/simulator/mqtt/dead-subscriptions -d '{"next":0}'
  curl http://127.0.0.1:8080/simulator/devices/meter-17/rpc -d '{"method":"open","params":{},"persistent":true}'
  curl http://127.0.0.1:8080/simulator/commands/3
All connections together, and how many microseconds the PUBACKs of the latest commands took:
  curl http://127.0.0.1:8080/simulator/mqtt/counts
  curl -X DELETE http://127.0.0.1:8080/simulator/mqtt/command-delays

ThingsBoard itself: other timeouts (the shorter one ends an idle RPC or poll: 503 or 408), an attribute store that fails
(the next 2 reads get 200 {}), another limit on connections, a slow queue between a poll and the device actor, and a
restart (connections cut, polls and commands lost, ids from 0):
  curl -X PUT http://127.0.0.1:8080/simulator/timeouts -d '{"asyncMs":3000,"requestMs":60000}'
  curl -X PUT http://127.0.0.1:8080/simulator/attribute-store -d '{"failing":2}'
  curl -X PUT http://127.0.0.1:8080/simulator/connections -d '{"max":20000}'
  curl -X PUT http://127.0.0.1:8080/simulator/subscription-delay -d '{"ms":50}'
  curl http://127.0.0.1:8080/simulator/restart -d '{"downMs":3000}'

GET /simulator lists all controls. They require no password: listen on loopback only.
"#;
