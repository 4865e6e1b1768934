//! A real browser: Debian's Chromium, headless, controlled over the pipe of its DevTools protocol.
//!
//! The protocol is JSON messages that end with a zero byte, which the browser reads on descriptor 3 and writes on 4. A
//! shell connects the test's pipes to these, so that no client library and no port is needed.

use crate::TIMEOUT;
use crate::process::now;
use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use tempfile::TempDir;

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    errors: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Opens a page in a window of this size.
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
            // CI is root in a container, where Chromium's own sandbox can't be set up. It opens the demo's page only.
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
            commands: child.stdin.take().unwrap(),
            child,
            messages,
            last_id: 0,
            session: None,
            errors: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", target);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.resize(width, height);
        browser.call("Page.navigate", json!({"url": url}));
        browser.await_true("location.href !== 'about:blank' && document.readyState === 'complete'");
        browser
    }

    /// Resizes the page.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Sets the preferred colour scheme: light or dark.
    pub fn set_color_scheme(&mut self, scheme: &str) {
        let feature = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": feature}));
    }

    /// Evaluates a script in the page.
    pub fn evaluate(&mut self, script: &str) -> Value {
        let parameters = json!({"expression": script, "returnByValue": true, "awaitPromise": true, "userGesture": true});
        let mut answer = self.call("Runtime.evaluate", parameters);
        let failed = answer.get("exceptionDetails");
        assert!(failed.is_none(), "{script}\n{failed:?}");
        answer["result"]["value"].take()
    }

    /// Waits until the script returns a value other than false, null or undefined.
    pub fn await_true(&mut self, script: &str) -> Value {
        self.await_true_within(TIMEOUT, script)
    }

    /// The same, within this time.
    pub fn await_true_within(&mut self, timeout: Duration, script: &str) -> Value {
        let deadline = now() + timeout;
        loop {
            let value = self.evaluate(script);
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
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
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// A screenshot, as PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        let screenshot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let engine = base64::engine::general_purpose::STANDARD;
        engine.decode(screenshot["data"].as_str().unwrap()).unwrap()
    }

    /// The errors so far: errors and warnings in the console, exceptions, violations of the page's security policy, and
    /// what could not be loaded.
    pub fn errors(&mut self) -> &[String] {
        // Messages that precede the response to this have been read.
        self.evaluate("1");
        &self.errors
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        loop {
            let Ok(mut message) = self.messages.recv_timeout(TIMEOUT) else {
                panic!("Chromium does not answer to {method}");
            };
            self.record_errors(&message);
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }

    fn record_errors(&mut self, message: &Value) {
        let parameters = &message["params"];
        let is_error = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => parameters["type"] != "log",
            Some("Log.entryAdded") => parameters["entry"]["level"] != "info",
            _ => false,
        };
        if is_error {
            self.errors.push(parameters.to_string());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
