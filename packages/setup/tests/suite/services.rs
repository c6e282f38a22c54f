//! A server that answers as Gemini, LlamaParse and fal.ai do.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, Response, Uri};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use studio233_ai::fal::FalSettings;
use studio233_ai::gemini::{GeminiSettings, Models};
use studio233_ai::llama_parse::LlamaParseSettings;
use studio233_ai::{ApiKey, EncodedImage, Polling};
use studio233_rag::Origin;
use studio233_setup::{GeminiProvider, Providers};
use tokio::sync::Notify;

/// The key to every service; it must show up nowhere.
pub(crate) const KEY: &str = "k3y-that-nobody-may-see";

/// What is answered instead of the usual: status, headers, body.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Value,
}

#[derive(Debug)]
enum Reply {
    Refusal(Refusal),
    /// It never comes.
    Nothing,
}

#[derive(Debug, Default)]
struct Script {
    /// The beginning of a path, and what is answered there, once each.
    refusals: Vec<(&'static str, Reply)>,
    asked: Vec<String>,
    /// What the model makes of a document's text, and of its pictures.
    of_text: Value,
    of_pictures: Value,
}

#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) url: String,
    script: Arc<Mutex<Script>>,
    unanswered: Arc<Notify>,
}

impl Services {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Script {
            of_text: profile(&["colors", "slogans", "logos"], true),
            of_pictures: profile(&["colors", "slogans", "logos"], false),
            ..Script::default()
        };
        let services = Self {
            url,
            script: Arc::new(Mutex::new(script)),
            unanswered: Arc::default(),
        };
        let app = Router::new().fallback(answer).with_state(services.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        services
    }

    /// Where they are, for what fetches images.
    pub(crate) fn origin(&self) -> Origin {
        Origin::parse(&self.url).expect("the server is at an origin")
    }

    /// The next request to a path that begins so is answered so.
    pub(crate) fn refuse(&self, path: &'static str, refusal: Refusal) {
        self.reply(path, Reply::Refusal(refusal));
    }

    /// The next request to a path that begins so is never answered.
    pub(crate) fn never_answer(&self, path: &'static str) {
        self.reply(path, Reply::Nothing);
    }

    fn reply(&self, path: &'static str, reply: Reply) {
        self.script.lock().unwrap().refusals.push((path, reply));
    }

    /// Lets so much time pass as soon as there is a request that is never answered.
    pub(crate) async fn leave_waiting(&self, patience: Duration) {
        self.unanswered.notified().await;
        tokio::time::pause();
        tokio::time::advance(patience).await;
        tokio::time::resume();
    }

    pub(crate) fn read_in_text(&self, profile: Value) {
        self.script.lock().unwrap().of_text = profile;
    }

    pub(crate) fn read_in_pictures(&self, profile: Value) {
        self.script.lock().unwrap().of_pictures = profile;
    }

    /// `POST /path` of every request to a path that begins so.
    pub(crate) fn asked(&self, path: &str) -> Vec<String> {
        let asked = self.script.lock().unwrap().asked.clone();
        let begins = |line: &String| line.split_once(' ').unwrap().1.starts_with(path);
        asked.into_iter().filter(begins).collect()
    }

    /// The settings of a studio that uses these services for everything.
    pub(crate) fn providers(&self) -> Providers {
        let key = || ApiKey::new(KEY).unwrap();
        let polling = Polling {
            wait_first: Duration::from_millis(2),
            wait_max: Duration::from_millis(10),
            timeout: Duration::from_secs(30),
        };
        let gemini = GeminiSettings {
            base_url: format!("{}/v1beta", self.url),
            language: Models::new("smart", Some("quick")),
            image: Models::new("painter", Some("brush")),
            embedding: "vectors".to_owned(),
            ..GeminiSettings::default()
        };
        let llama_parse = LlamaParseSettings {
            base_url: format!("{}/api/v2", self.url),
            polling,
            ..LlamaParseSettings::default()
        };
        let fal = FalSettings {
            base_url: self.url.clone(),
            polling,
            ..FalSettings::default()
        };
        Providers {
            gemini: Some(GeminiProvider {
                key: key(),
                settings: gemini,
                embeds: true,
            }),
            fal: Some((key(), fal)),
            llama_parse: Some((key(), llama_parse)),
        }
    }

    fn usual(&self, method: &Method, path: &str, body: &[u8]) -> Value {
        if path.starts_with("/v1beta/") {
            let body: Value = serde_json::from_slice(body).expect("Gemini is asked in JSON");
            return self.gemini(path, &body);
        }
        match (method.as_str(), path) {
            ("POST", "/api/v2/parse/upload") => json!({"id": "pjb-1", "status": "PENDING"}),
            ("GET", "/api/v2/parse/pjb-1") => json!({
                "job": {"id": "pjb-1", "status": "COMPLETED", "error_message": null},
                "markdown": {"pages": [{"page_number": 1, "success": true, "markdown": "# Marram\n\nMind the wind."}]},
            }),
            ("POST", "/fal-ai/imageutils/rembg") => {
                let request = format!("{}/fal-ai/imageutils/requests/r1", self.url);
                json!({
                    "request_id": "r1", "status": "IN_QUEUE", "queue_position": 0, "response_url": request,
                    "status_url": format!("{request}/status"), "cancel_url": format!("{request}/cancel"),
                })
            }
            ("GET", "/fal-ai/imageutils/requests/r1/status") => {
                json!({"status": "COMPLETED", "request_id": "r1", "metrics": {"inference_time": 1.5}})
            }
            ("GET", "/fal-ai/imageutils/requests/r1") => {
                json!({"image": {"url": cutout().to_data_url(), "content_type": "image/png"}})
            }
            other => panic!("no service answers {other:?}"),
        }
    }

    fn gemini(&self, path: &str, body: &Value) -> Value {
        if path.ends_with(":batchEmbedContents") {
            let texts = body["requests"].as_array().unwrap().len();
            let mut values = vec![0.0; 768];
            values[7] = 1.0;
            return json!({"embeddings": vec![json!({"values": values}); texts]});
        }
        if body["generationConfig"]["responseModalities"].is_array() {
            let image = json!({"mimeType": "image/png", "data": cutout().to_base64()});
            return says(json!([{"inlineData": image}]));
        }
        let parts = body["contents"][0]["parts"].as_array().unwrap();
        let pictured = parts.iter().any(|part| part["inlineData"].is_object());
        let task = parts[0]["text"].as_str().unwrap();
        let answer = match task.split(' ').next().unwrap() {
            "Read" if pictured => self.script.lock().unwrap().of_pictures.clone(),
            "Read" => self.script.lock().unwrap().of_text.clone(),
            "Describe" => json!({
                "global_context": {"scene_description": "A boardwalk in marram grass."},
                "color_palette": {"dominant_hex_estimates": ["#0B6E4F", "#F3EBDD"], "accent_colors": ["#C8553D"]},
                "objects": [{"id": "1", "label": "boardwalk"}],
            }),
            "These" => json!({
                "manifesto": "Marram keeps the coast walkable.", "voice": ["calm", "brief", "dry"],
                "visual_dna": ["green", "flat light", "wide"],
                "principles": [{"title": "Wind", "description": "Mind it."}],
            }),
            "Three" => json!({"pass": true, "issues": []}),
            other => panic!("nothing is known of the task {other:?}"),
        };
        says(json!([{"text": answer.to_string()}]))
    }
}

fn says(parts: Value) -> Value {
    json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120},
        "modelVersion": "smart-001",
    })
}

async fn answer(
    State(services): State<Services>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path();
    let reply = {
        let mut script = services.script.lock().unwrap();
        script.asked.push(format!("{method} {path}"));
        let refusals = script.refusals.iter();
        let at = refusals
            .into_iter()
            .position(|(begin, _)| path.starts_with(begin));
        at.map(|at| script.refusals.remove(at).1)
    };
    let refusal = match reply {
        Some(Reply::Refusal(refusal)) => refusal,
        Some(Reply::Nothing) => {
            services.unanswered.notify_one();
            std::future::pending().await
        }
        None => Refusal {
            status: 200,
            headers: Vec::new(),
            body: services.usual(&method, path, &body),
        },
    };
    let mut response = Response::builder().status(refusal.status);
    for (name, value) in refusal.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(refusal.body.to_string())).unwrap()
}

/// What a model reads: these parts of the identity at 0.1 each, and 0.3 for the voice.
pub(crate) fn profile(identity: &[&str], voice: bool) -> Value {
    let mut dna = json!({"coreIdentity": {}, "semanticDNA": {}});
    for part in identity {
        let said = if *part == "colors" {
            "#0B6E4F"
        } else {
            "Mind the wind."
        };
        dna["coreIdentity"][part] = json!([said]);
    }
    if voice {
        dna["semanticDNA"] = json!({
            "toneOfVoice": "calm, brief and dry", "copywritingGuidelines": ["Write short sentences."]
        });
    }
    json!({"dna": dna, "manifesto": "Marram keeps the coast walkable.", "voice": ["calm"]})
}

/// A red disc on nothing.
pub(crate) fn cutout() -> EncodedImage {
    EncodedImage::new(media("alpha.png")).unwrap()
}

/// One of the images that image operations are tested with.
pub(crate) fn media(name: &str) -> Vec<u8> {
    file("../media/tests/files", name)
}

/// One of the documents that reading is tested with.
pub(crate) fn document(name: &str) -> Vec<u8> {
    file("../rag/tests/files", name)
}

fn file(folder: &str, name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let path = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
