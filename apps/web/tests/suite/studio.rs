//! A studio of a test's own, in this process.

use reqwest::Response;
use serde_json::Value;
use studio233_db::{Database, DatabaseUrl};
use studio233_inngest::Config;
use studio233_setup::{FileBudget, Money, Settings};
use studio233_web::Studio;

pub(crate) struct TestStudio {
    folder: tempfile::TempDir,
    studio: Studio,
    pub(crate) http: reqwest::Client,
}

/// An answer: its status and its JSON.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    async fn of(response: Response) -> Self {
        Self {
            status: response.status().as_u16(),
            body: response.json().await.expect("answers are JSON"),
        }
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("no error")
    }

    pub(crate) fn text(&self, pointer: &str) -> String {
        let value = self.body.pointer(pointer).and_then(Value::as_str);
        value
            .unwrap_or_else(|| panic!("no {pointer} in {}", self.body))
            .to_owned()
    }
}

impl TestStudio {
    pub(crate) async fn start() -> Self {
        Self::allowing(&[]).await
    }

    /// Documents may be fetched from these origins.
    pub(crate) async fn allowing(origins: &[String]) -> Self {
        Self::configured(origins, Config::dev(), None, Money::default()).await
    }

    /// Its workspaces are kept in a PostgreSQL of its own.
    pub(crate) async fn on_postgres() -> Self {
        let url = testbed::postgres::database().unwrap_or_else(|error| panic!("{error}"));
        let url = DatabaseUrl::parse(&url).unwrap();
        Self::configured(&[], Config::dev(), Some(url), Money::default()).await
    }

    /// Calls of its functions are signed with this key.
    pub(crate) async fn signed_with(key: &str) -> Self {
        let config = Config::read(|name| match name {
            "INNGEST_SIGNING_KEY" => Some(key.to_owned()),
            "INNGEST_DEV" => Some("0".to_owned()),
            _ => None,
        });
        Self::configured(&[], config.unwrap(), None, Money::default()).await
    }

    /// This budget stands in its file.
    pub(crate) async fn limited_by(budget: FileBudget) -> Self {
        let money = Money {
            budgets: vec![budget],
            ..Money::default()
        };
        Self::configured(&[], Config::dev(), None, money).await
    }

    async fn configured(
        origins: &[String],
        inngest: Config,
        database: Option<DatabaseUrl>,
        money: Money,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let origins = origins
            .iter()
            .map(|origin| studio233_rag::Origin::parse(origin));
        let settings = Settings {
            port: Some(0),
            allow_origins: origins
                .map(|origin| origin.expect("it is an origin"))
                .collect(),
            database,
            inngest,
            money,
            ..Settings::in_folder(folder.path().join("data"))
        };
        let studio = Studio::start(settings).await.unwrap();
        // Another test may have chosen it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            folder,
            studio,
            http: reqwest::Client::new(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.studio.url())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(self.url(path)).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(
            self.http
                .post(self.url(path))
                .json(body)
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn upload(&self, name: &str, file: Vec<u8>) -> Answer {
        let request = self.http.put(self.url(&format!("/api/files/{name}")));
        self.send(request.body(file)).await
    }

    /// Writes a blob, as if it had been there before.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.folder.path().join("data/blobs").join(key);
        std::fs::create_dir_all(path.parent().expect("a key is below the folder")).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Its database, past the studio.
    pub(crate) async fn database(&self) -> Database {
        let path = self.folder.path().join("data/studio.db");
        Database::open_sqlite(path).await.unwrap()
    }

    /// A new workspace's id.
    pub(crate) async fn workspace(&self, name: &str) -> String {
        let made = self
            .post("/api/workspaces", &serde_json::json!({"name": name}))
            .await;
        assert_eq!(made.status, 201);
        made.text("/id")
    }

    /// Follows a run to its end; gives the kinds of its events, and its record.
    pub(crate) async fn watch(&self, run: &str) -> (Vec<String>, Value) {
        let path = format!("/api/runs/{run}/stream");
        let stream = self.http.get(self.url(&path)).send().await.unwrap();
        let text = stream.text().await.unwrap();
        let kinds = text.lines().filter_map(|line| line.strip_prefix("event: "));
        let last = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("data: "));
        let last = last.expect("the stream tells of the end");
        (
            kinds.map(str::to_owned).collect(),
            serde_json::from_str(last).unwrap(),
        )
    }

    /// The first run of an event.
    pub(crate) async fn run_of(&self, event: &str) -> String {
        let runs = self.get(&format!("/api/events/{event}/runs")).await;
        runs.text("/runs/0/id")
    }

    pub(crate) async fn stop(self) {
        assert!(self.studio.stop().await, "everything finishes");
        assert!(!self.folder.path().join("data/server.json").exists());
    }
}
