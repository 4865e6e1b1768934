//! The help that the command line shows after its own.

/// How to use the simulator from a terminal. Each line was run as it stands.
pub const HELP: &str = r#"This is a simulator of ThingsBoard's HTTP device API, not ThingsBoard: it keeps everything in memory.

Define a device, post as it, and see what arrived:
  curl -X PUT http://127.0.0.1:8080/simulator/devices/meter-17 -d '{"token":"A1_TEST_TOKEN"}'
  curl -H 'Content-Type: application/json' http://127.0.0.1:8080/api/v1/A1_TEST_TOKEN/telemetry -d '{"temperature":25}'
  curl http://127.0.0.1:8080/simulator/arrivals?limit=10
  curl -X DELETE http://127.0.0.1:8080/simulator/arrivals

Attributes (scopes: client, shared), and all that is kept of a device:
  curl http://127.0.0.1:8080/simulator/devices/meter-17/attributes/shared -d '{"interval":60}'
  curl -X DELETE http://127.0.0.1:8080/simulator/devices/meter-17/attributes/shared?keys=interval
  curl http://127.0.0.1:8080/simulator/devices/meter-17

Faults: status, drop, garbage or hang, after delayMs, for a path or all, for some times or until cleared:
  curl http://127.0.0.1:8080/simulator/faults -d '{"status":503,"times":3}'
  curl http://127.0.0.1:8080/simulator/faults -d '{"path":"/api/v1/*/telemetry","delayMs":2000,"drop":true}'
  curl -X DELETE http://127.0.0.1:8080/simulator/faults

Client-side RPC: getTime and echo are answered, other methods end in a timeout unless scripted:
  curl -X PUT http://127.0.0.1:8080/simulator/rpc/getLimit -d '{"limit":7}'
  curl -X PUT 'http://127.0.0.1:8080/simulator/rpc/getLimit?error=no+rights'
  curl -X PUT http://127.0.0.1:8080/simulator/timeouts -d '{"asyncMs":3000,"requestMs":60000}'

Provisioning (strategy: ALLOW_CREATE_NEW_DEVICES, CHECK_PRE_PROVISIONED_DEVICES, DISABLED):
  curl -X PUT http://127.0.0.1:8080/simulator/profiles/KEY -d '{"secret":"SECRET","strategy":"ALLOW_CREATE_NEW_DEVICES"}'

GET /simulator lists all controls. They ask for no password: listen on loopback only.
"#;
