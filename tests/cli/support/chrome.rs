//! A headless Chromium, driven through ChromeDriver's WebDriver protocol (W3C WebDriver).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a page may take to show something.
const PATIENCE: Duration = Duration::from_secs(30);

/// The name that WebDriver gives to an element's identifier.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. It ends with the value.
pub struct Chrome {
    driver: Child,
    port: u16,
    session: String,
    profile: tempfile::TempDir,
}

impl Chrome {
    /// Starts a browser; `None` where there is none on this machine.
    pub fn start() -> Option<Self> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let said = BufReader::new(driver.stdout.take()?);
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let port = line.split_once("started successfully on port ")?.1;
            port.trim_end_matches('.').parse().ok()
        })?;
        let profile = tempfile::tempdir().ok()?;
        let mut chrome = Self { driver, port, session: String::new(), profile };
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", chrome.profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": args}}}});
        let session = chrome.send("POST", "/session", &wanted);
        session["sessionId"].as_str()?.clone_into(&mut chrome.session);
        Some(chrome)
    }

    /// Opens an address.
    pub fn open(&self, address: &str) {
        self.ask("POST", "url", &json!({ "url": address }));
    }

    /// Presses a button, once it is there.
    pub fn press(&self, selector: &str) {
        let find = json!({"using": "css selector", "value": selector});
        let end = Instant::now() + PATIENCE;
        let element = loop {
            let found = self.ask("POST", "element", &find);
            if let Some(element) = found[ELEMENT].as_str() {
                break element.to_owned();
            }
            assert!(Instant::now() < end, "no {selector} on {}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        };
        self.ask("POST", &format!("element/{element}/click"), &json!({}));
    }

    /// Waits until the page says something, and gives all that it says.
    pub fn wait_for(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let page = self.text();
            if page.contains(text) {
                return page;
            }
            assert!(Instant::now() < end, "'{text}' is not on the page: {page}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the page says, as a person reads it.
    fn text(&self) -> String {
        let script = json!({"script": "return document.body ? document.body.innerText : ''", "args": []});
        self.ask("POST", "execute/sync", &script).as_str().unwrap_or_default().to_owned()
    }

    fn ask(&self, method: &str, what: &str, body: &Value) -> Value {
        self.send(method, &format!("/session/{}/{what}", self.session), body)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("ChromeDriver");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let body = body.to_string();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}",
            self.port
        )
        .expect("a request");
        // ChromeDriver keeps the connection, whatever it is asked: the length says where the answer ends.
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the whole answer");
        serde_json::from_slice::<Value>(&body).expect("JSON")["value"].take()
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.send("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
