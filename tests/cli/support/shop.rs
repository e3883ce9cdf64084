//! An application at a provider and a token of it: the world of most tests.

use serde_json::{Value, json};

use super::env::TestEnv;
use super::request::{Expected, Request};
use super::run::{Invocation, Run};
use super::secrets::{canary, prefixed};
use super::server::{Server, Step};

/// The account of every Square token.
pub const MERCHANT: &str = "MLFAKE000MERCHANT";
/// The client id of every Wix application.
pub const WIX_ID: &str = "01234567-89ab-cdef-0123-456789abcdef";
/// The instance of every Wix app.
pub const INSTANCE: &str = "89abcdef-0123-4567-89ab-cdef01234567";

const SQUARE_ID: &str = "sq0idp-MADEUPCLIENTID00000000";
const DAY: i64 = 24 * 3600;

/// The sorts of credentials, by the names that records have for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Square,
    SquarePkce,
    WixApp,
    WixLegacy,
    WixHeadless,
}

/// A world with an application in its environment, and the tokens that it has and gets.
#[derive(Debug)]
pub struct Shop {
    pub env: TestEnv,
    pub sort: Sort,
    pub id: &'static str,
    pub secret: String,
    /// What is stored.
    pub access: String,
    pub refresh: String,
    /// What the provider answers with.
    pub new_access: String,
    pub new_refresh: String,
    url: String,
    /// The ends of the new tokens: an answer is the same however often it is asked for.
    ends: [String; 2],
}

impl Shop {
    /// An application of this sort. Nothing is stored, and nobody listens.
    pub fn new(sort: Sort) -> Self {
        let mut shop = Self {
            env: TestEnv::new(),
            sort,
            id: if matches!(sort, Sort::Square | Sort::SquarePkce) { SQUARE_ID } else { WIX_ID },
            secret: canary("client"),
            access: prefixed("EAAA", "old-access"),
            refresh: canary("old-refresh"),
            new_access: prefixed("EAAA", "new-access"),
            new_refresh: canary("new-refresh"),
            url: String::new(),
            ends: [time(30 * DAY), time(90 * DAY)],
        };
        shop.env.set("TOKMAN_PROVIDER", shop.provider());
        shop.env.set(&shop.variable("CLIENT_ID"), shop.id);
        if !matches!(sort, Sort::SquarePkce | Sort::WixHeadless) {
            shop.env.set(&shop.variable("CLIENT_SECRET"), shop.secret.as_str());
        }
        if sort == Sort::WixApp {
            shop.env.set("TOKMAN_WIX_INSTANCE_ID", INSTANCE);
        }
        shop
    }

    /// Square with a secret: most tests need no other.
    pub fn square() -> Self {
        Self::new(Sort::Square)
    }

    /// Talks to this server from now on.
    pub fn at(&mut self, server: &Server) -> &mut Self {
        self.url = server.url();
        self.env.set(&self.variable("BASE_URL"), self.url.as_str());
        self
    }

    /// Stores the token, whose access token ends in this many seconds.
    pub fn store(&self, ends_in: i64) {
        self.store_as("default", ends_in);
    }

    /// Stores the token under another profile.
    pub fn store_as(&self, profile: &str, ends_in: i64) {
        let mut record = self.record(ends_in);
        record["tokman"]["profile"] = profile.into();
        self.env.write_token(&format!("{}/{profile}", self.provider()), &record);
    }

    /// The record of the token, obtained an hour before now or before its end.
    pub fn record(&self, ends_in: i64) -> Value {
        let obtained = time(ends_in.min(0) - 3600);
        let mut record = json!({
            "access_token": self.access,
            "token_type": "bearer",
            "refresh_token": self.refresh,
            "tokman": {
                "version": 1,
                "provider": self.provider(),
                "profile": "default",
                "kind": self.kind(),
                "grant": "authorization_code",
                "client_id": self.id,
                "base_url": self.url,
                "obtained_at": obtained,
                "refreshed_at": obtained,
                "expires_at": time(ends_in),
                "refresh_token_expires_at": null,
                "scopes": [],
                "generation": 7,
            },
        });
        if let Some(account) = self.account() {
            record["tokman"]["account"] = account.into();
        }
        if self.provider() == "square" {
            record["merchant_id"] = MERCHANT.into();
            record["expires_at"] = time(ends_in).into();
        }
        if self.sort == Sort::WixApp {
            record.as_object_mut().expect("an object").remove("refresh_token");
        }
        record
    }

    /// The record as it lies on the disk.
    #[track_caller]
    pub fn stored(&self) -> Value {
        self.env.read_token(&self.key())
    }

    /// The bytes of the record.
    #[track_caller]
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.env.token_path(&self.key())).expect("a token file")
    }

    /// Whether anything is stored.
    pub fn has_token(&self) -> bool {
        self.env.token_path(&self.key()).exists()
    }

    /// `square/default` or `wix/default`.
    pub fn key(&self) -> String {
        format!("{}/default", self.provider())
    }

    pub fn provider(&self) -> &'static str {
        if matches!(self.sort, Sort::Square | Sort::SquarePkce) { "square" } else { "wix" }
    }

    /// A variable of the provider, as `TOKMAN_SQUARE_CLIENT_ID`.
    pub fn variable(&self, name: &str) -> String {
        format!("TOKMAN_{}_{name}", self.provider().to_uppercase())
    }

    /// Runs tokman. The tokens may be printed, the client secret may not.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Run {
        self.command(args).run()
    }

    /// tokman, about to run, its tokens allowed on stdout.
    pub fn command(&self, args: &[&str]) -> Invocation<'_> {
        self.env.command(args).may_print(&[&self.access, &self.refresh, &self.new_access, &self.new_refresh])
    }

    /// The provider's answer to a refresh.
    pub fn answer(&self) -> Value {
        match self.sort {
            Sort::Square => json!({
                "access_token": self.new_access,
                "token_type": "bearer",
                "expires_at": self.ends[0],
                "merchant_id": MERCHANT,
                "refresh_token": self.refresh,
                "short_lived": false,
            }),
            Sort::SquarePkce => json!({
                "access_token": self.new_access,
                "token_type": "bearer",
                "expires_at": self.ends[0],
                "merchant_id": MERCHANT,
                "refresh_token": self.new_refresh,
                "refresh_token_expires_at": self.ends[1],
            }),
            Sort::WixApp => json!({"access_token": self.new_access, "token_type": "Bearer", "expires_in": 14400}),
            Sort::WixLegacy => json!({"access_token": self.new_access, "refresh_token": self.refresh}),
            Sort::WixHeadless => json!({
                "access_token": self.new_access,
                "token_type": "Bearer",
                "expires_in": 14400,
                "refresh_token": self.new_refresh,
            }),
        }
    }

    /// The request of a refresh: these members and no other.
    pub fn refresh_request(&self) -> Expected {
        self.refresh_with(&self.refresh)
    }

    /// The request of a refresh with this refresh token.
    pub fn refresh_with(&self, refresh: &str) -> Expected {
        let body = match self.sort {
            Sort::Square | Sort::WixLegacy => json!({
                "client_id": self.id,
                "client_secret": self.secret,
                "grant_type": "refresh_token",
                "refresh_token": refresh,
            }),
            Sort::SquarePkce => {
                json!({"client_id": self.id, "grant_type": "refresh_token", "refresh_token": refresh})
            }
            Sort::WixApp => json!({
                "client_id": self.id,
                "client_secret": self.secret,
                "grant_type": "client_credentials",
                "instance_id": INSTANCE,
            }),
            Sort::WixHeadless => {
                json!({"clientId": self.id, "grantType": "refresh_token", "refreshToken": refresh})
            }
        };
        Request::post(self.token_path()).without_header("authorization").json(body)
    }

    /// A refresh that goes well.
    pub fn refreshes(&self) -> Step {
        Step::expect(self.refresh_request()).answer(200, self.answer())
    }

    /// Where tokens are asked for.
    pub fn token_path(&self) -> &'static str {
        if self.sort == Sort::WixLegacy { "/oauth/access" } else { "/oauth2/token" }
    }

    const fn kind(&self) -> &'static str {
        match self.sort {
            Sort::Square => "square",
            Sort::SquarePkce => "square-pkce",
            Sort::WixApp => "wix-app",
            Sort::WixLegacy => "wix-legacy",
            Sort::WixHeadless => "wix-headless",
        }
    }

    const fn account(&self) -> Option<&'static str> {
        match self.sort {
            Sort::Square | Sort::SquarePkce => Some(MERCHANT),
            Sort::WixApp => Some(INSTANCE),
            Sort::WixLegacy | Sort::WixHeadless => None,
        }
    }
}

/// The time in this many seconds, as providers write it.
#[expect(clippy::disallowed_methods, reason = "tokman is another process: its clock is the machine's")]
pub fn time(seconds: i64) -> String {
    let now = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(now + seconds).expect("a time").to_string()
}
