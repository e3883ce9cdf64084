//! One HTTP client for everything that is sent: no redirects, no other retries than ours, answers bounded in size and
//! time. It is built when the first request is sent, and certificates are loaded when the first of these is https.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use crate::model::{Clock, Replay};
use crate::net::retry::{Ending, Retries, retry_after};
use crate::net::{NetError, Pace, proxy, trace};
use crate::tls;

/// The most that is read of an answer, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// The most header fields of an answer.
const HEADER_LIMIT: usize = 100;

/// How long a connection is kept for the next request. Servers close idle ones after five seconds at the least, and a
/// request on a connection that is being closed is one whose answer may be lost.
const IDLE: Duration = Duration::from_secs(4);

/// A provider that asks for a longer pause means "not today".
const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 86_400);

/// An answer and when its request was sent.
#[derive(Debug)]
pub struct Answer {
    /// The answer, whole.
    pub response: Response<Bytes>,
    /// The instant before the attempt that was answered: lifetimes count from here.
    pub sent_at: Timestamp,
    /// How often the request was sent.
    pub attempts: usize,
    /// Whether an earlier attempt, which may have been carried out, was never answered.
    pub replayed: bool,
}

/// Sends requests.
#[derive(Debug)]
pub struct Client {
    clock: Arc<dyn Clock>,
    remote: OnceLock<reqwest::Client>,
    loopback: OnceLock<reqwest::Client>,
    loopback_plain: OnceLock<reqwest::Client>,
}

impl Client {
    /// A client that has built nothing yet.
    #[must_use]
    pub const fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, remote: OnceLock::new(), loopback: OnceLock::new(), loopback_plain: OnceLock::new() }
    }

    /// Sends a request until a final answer comes or `budget` is used up; `replay` says what may be sent again. A
    /// refusal for a passing reason is an answer too, once the attempts are used up.
    ///
    /// # Errors
    /// No answer within the budget; [`NetError::may_have_arrived`] tells whether the provider may have acted.
    pub async fn send(&self, request: &Request<Bytes>, replay: Replay, budget: Duration) -> Result<Answer, NetError> {
        self.send_paced(request, replay, budget, &Pace::default()).await
    }

    /// The same at a pace that other requests to the same provider keep too. Its first attempt was counted by whoever
    /// asks; the others are counted here.
    ///
    /// # Errors
    /// As for [`Client::send`], and [`NetError::Paused`].
    pub async fn send_paced(
        &self,
        request: &Request<Bytes>,
        replay: Replay,
        budget: Duration,
        pace: &Pace,
    ) -> Result<Answer, NetError> {
        let client = self.for_request(request)?;
        let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
        let end = Instant::now() + budget;
        // Another request may have been told to wait since this one was begun.
        if let Some(until) = pace.pause(Instant::now())
            && (until >= end || !pace.wait(until).await)
        {
            return Err(NetError::Paused { host, left: until.saturating_duration_since(Instant::now()) });
        }
        let mut retries = Retries::new(replay);
        log::debug!("> {}", trace::request(request));
        loop {
            let sent_at = self.clock.now();
            let left = end.saturating_duration_since(Instant::now());
            // Half of what is left, so that an answer that does not come can be asked for again.
            let limit = if retries.could_replay() { left / 2 } else { left };
            let (ending, asked, outcome) = match attempt(client, request, &host, limit).await {
                Ok(response) => {
                    log::debug!("< {}", trace::response(&response, request));
                    let asked = retry_after(response.headers(), self.clock.now());
                    (
                        Ending::of_status(response.status()),
                        asked,
                        Ok(Answer { response, sent_at, attempts: retries.attempts(), replayed: retries.replayed() }),
                    )
                }
                Err(error) => {
                    log::debug!("< {error}");
                    let ending = match &error {
                        NetError::Unreachable { .. } => Some(Ending::NotSent),
                        NetError::Lost { .. } => Some(Ending::Lost),
                        NetError::TooLarge { .. }
                        | NetError::Paused { .. }
                        | NetError::TooLate
                        | NetError::Setup(_) => None,
                    };
                    (ending, None, Err(error))
                }
            };
            let now = Instant::now();
            if let Some(asked) = asked.filter(|_| ending.is_some_and(Ending::is_for_all)) {
                pace.slow_down(now + asked.min(LONGEST_PAUSE));
            }
            let left = end.saturating_duration_since(now);
            let Some(wait) = ending.and_then(|ending| retries.next(ending, asked, left)) else {
                return outcome;
            };
            // What replays at once does so whatever the pace: its answer may be lost for good.
            let at = if wait.is_zero() { now } else { pace.next(now).max(now + wait) };
            if at >= end {
                return outcome;
            }
            log::info!("{host} did not answer as it should; asking again in {} ms", (at - now).as_millis());
            if !wait.is_zero() && !pace.wait(at).await {
                return outcome;
            }
            pace.count(at);
        }
    }

    /// The client for an address: the one for loopback never goes through a proxy and loads no certificates.
    fn for_request(&self, request: &Request<Bytes>) -> Result<&reqwest::Client, NetError> {
        let uri = request.uri();
        let plain = uri.scheme_str() == Some("http");
        let host = uri.host().unwrap_or_default();
        let address = url::Url::parse(&uri.to_string()).map_err(|error| NetError::Setup(error.to_string()))?;
        let is_loopback = crate::config::address::is_loopback(&address);
        if plain && !is_loopback {
            return Err(NetError::Setup(format!("plain http to {host} is refused")));
        }
        let cell = match (is_loopback, plain) {
            (false, _) => &self.remote,
            (true, false) => &self.loopback,
            (true, true) => &self.loopback_plain,
        };
        if !is_loopback {
            proxy::check(host).map_err(NetError::Setup)?;
        }
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let config = if plain { tls::none() } else { tls::config() };
        let client = build(config.map_err(NetError::Setup)?, is_loopback)?;
        Ok(cell.get_or_init(|| client))
    }
}

fn build(mut tls: rustls::ClientConfig, is_loopback: bool) -> Result<reqwest::Client, NetError> {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("tokman/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .pool_idle_timeout(IDLE)
        .http1_max_headers(HEADER_LIMIT);
    if is_loopback {
        // The name means this machine whatever a resolver says.
        let addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        builder = builder.no_proxy().resolve_to_addrs("localhost", &addresses);
    }
    builder.build().map_err(|error| NetError::Setup(words(&error.without_url())))
}

/// One attempt, from the connection to the last byte of the answer, within `limit`.
async fn attempt(
    client: &reqwest::Client,
    request: &Request<Bytes>,
    host: &str,
    limit: Duration,
) -> Result<Response<Bytes>, NetError> {
    let request =
        reqwest::Request::try_from(request.clone()).map_err(|error| NetError::Setup(words(&error.without_url())))?;
    let lost = |why: String| NetError::Lost { host: host.to_owned(), why };
    let exchange = async {
        let mut response = client.execute(request).await.map_err(|error| {
            let unsent = error.is_connect() || error.is_builder();
            let why = words(&error.without_url());
            if unsent { NetError::Unreachable { host: host.to_owned(), why } } else { lost(why) }
        })?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(words(&error.without_url())))? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(NetError::TooLarge { host: host.to_owned(), limit: BODY_LIMIT });
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = Response::new(body.freeze());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    };
    match timeout(limit, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err(lost(format!("no answer within {:.1} s", limit.as_secs_f64()))),
    }
}

/// What went wrong, from the outermost cause that says something to the innermost, each once.
fn words(error: &dyn std::error::Error) -> String {
    /// What the layers of the HTTP client say whatever happened.
    const EMPTY: [&str; 4] =
        ["error sending request", "client error", "error decoding response body", "request or response body error"];
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let says_something = error.source().is_none() || !EMPTY.iter().any(|empty| text.starts_with(empty));
        if says_something && !words.iter().any(|said| said.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SystemClock;

    #[test]
    fn builds_a_client_of_each_sort() {
        for address in ["http://127.0.0.1:1/", "https://localhost/", "https://example.com/"] {
            let client = Client::new(Arc::new(SystemClock));
            let request = Request::get(address).body(Bytes::new()).unwrap();
            assert!(client.for_request(&request).is_ok(), "{address}");
        }
    }

    #[test]
    fn refuses_plain_http_to_another_machine() {
        let client = Client::new(Arc::new(SystemClock));
        let request = Request::get("http://example.com/").body(Bytes::new()).unwrap();
        assert!(matches!(client.for_request(&request), Err(NetError::Setup(_))));
    }
}
