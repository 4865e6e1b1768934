//! A real browser: Debian's Chromium, headless, told what to do over the pipe of its DevTools protocol.
//!
//! Its protocol is JSON, each message ended by a zero byte: what the browser reads on its descriptor 3 and writes on
//! 4. A shell gives it our pipes as these two, so no client library and no port is needed.

use crate::PATIENCE;
use crate::process::now;
use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use tempfile::TempDir;

/// The browser with one page.
pub struct Browser {
    child: Child,
    orders: ChildStdin,
    messages: Receiver<Value>,
    last: u64,
    session: Option<String>,
    complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Opens a page of this size.
    pub fn open(url: &str, width: u32, height: u32) -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
                "sh",
            ])
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-first-run",
                "--disable-gpu",
            ])
            // CI is root in a container, where Chromium's own sandbox can't be set up; it sees our page only.
            .args([
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
            ])
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, messages) = sync_channel(10_000);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output
                .read_until(0, &mut message)
                .is_ok_and(|read| read > 0)
            {
                message.pop();
                let message = std::mem::take(&mut message);
                if sender
                    .send(serde_json::from_slice(&message).unwrap())
                    .is_err()
                {
                    break;
                }
            }
        });
        let mut browser = Browser {
            orders: child.stdin.take().unwrap(),
            child,
            messages,
            last: 0,
            session: None,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.order("Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.order("Target.attachToTarget", target);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            browser.order(&format!("{domain}.enable"), json!({}));
        }
        browser.resize(width, height);
        browser.order("Page.navigate", json!({"url": url}));
        browser.await_true("location.href !== 'about:blank' && document.readyState === 'complete'");
        browser
    }

    /// Gives the page another size, and colours for the dark if it is to be so.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.order("Emulation.setDeviceMetricsOverride", size);
    }

    /// Light or dark.
    pub fn prefer(&mut self, scheme: &str) {
        let feature = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.order("Emulation.setEmulatedMedia", json!({"features": feature}));
    }

    /// What the page's script says to this.
    pub fn evaluate(&mut self, script: &str) -> Value {
        let asked = json!({"expression": script, "returnByValue": true, "awaitPromise": true, "userGesture": true});
        let mut answer = self.order("Runtime.evaluate", asked);
        let failed = answer.get("exceptionDetails");
        assert!(failed.is_none(), "{script}\n{failed:?}");
        answer["result"]["value"].take()
    }

    /// Waits until the script says something other than false, null or nothing.
    pub fn await_true(&mut self, script: &str) -> Value {
        self.await_true_within(PATIENCE, script)
    }

    /// The same, with this patience.
    pub fn await_true_within(&mut self, patience: Duration, script: &str) -> Value {
        let deadline = now() + patience;
        loop {
            let said = self.evaluate(script);
            if !matches!(said, Value::Null | Value::Bool(false)) {
                return said;
            }
            if now() >= deadline {
                let page = self.evaluate("document.body.innerText");
                panic!(
                    "not true in time: {script}\n{}",
                    page.as_str().unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Presses a key, as on a keyboard.
    pub fn press(&mut self, key: &str, code: u32, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.order("Input.dispatchKeyEvent", event);
        }
    }

    /// A picture of what is seen, as PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let picture = self.order("Page.captureScreenshot", json!({"format": "png"}));
        let engine = base64::engine::general_purpose::STANDARD;
        engine.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// What the browser had to complain of so far: errors and warnings in the console, exceptions, what the
    /// page's policy forbade, what could not be loaded.
    pub fn complaints(&mut self) -> &[String] {
        // Whatever was said before the answer to this is in.
        self.evaluate("1");
        &self.complaints
    }

    fn order(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut order = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.orders.write_all(&bytes).unwrap();
        loop {
            let Ok(mut message) = self.messages.recv_timeout(PATIENCE) else {
                panic!("Chromium does not answer to {method}");
            };
            self.note(&message);
            if message["id"] == self.last {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        let is_complaint = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => parameters["type"] != "log",
            Some("Log.entryAdded") => parameters["entry"]["level"] != "info",
            _ => false,
        };
        if is_complaint {
            self.complaints.push(parameters.to_string());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
