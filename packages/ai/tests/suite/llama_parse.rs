use crate::server::{KEY, Reply, Server, shown};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use studio233_ai::llama_parse::{LlamaParse, LlamaParseBrandReader, LlamaParseSettings, Polling};
use studio233_ai::{
    Answer, ApiKey, BrandReader, Document, LanguageError, LanguageModel, LanguageRequest,
    ProviderError, ReadError, Usage,
};

fn parser(server: &Server) -> LlamaParse {
    let minute = Duration::from_secs(60);
    parser_within(server, minute, minute)
}

/// With so much time for a request, and for a job.
fn parser_within(server: &Server, request: Duration, job: Duration) -> LlamaParse {
    let settings = LlamaParseSettings {
        base_url: format!("{}/api/v2", server.url),
        request_timeout: request,
        polling: Polling {
            wait_first: Duration::from_millis(5),
            wait_max: Duration::from_millis(20),
            timeout: job,
        },
        ..LlamaParseSettings::default()
    };
    let parser = LlamaParse::new(ApiKey::new(KEY).unwrap(), settings).unwrap();
    assert!(!format!("{parser:?}").contains(KEY));
    parser
}

fn document() -> Document {
    Document {
        filename: "guide \"one\".pdf".to_owned(),
        file: Bytes::from_static(b"%PDF-1.7 the file"),
        ..Document::default()
    }
}

fn created() -> Reply {
    Reply::json(
        200,
        json!({"id": "pjb-1", "project_id": "p", "status": "PENDING", "tier": "agentic"}),
    )
}

fn job(status: &str, pages: Value) -> Reply {
    let markdown = (!pages.is_null()).then(|| json!({ "pages": pages }));
    Reply::json(
        200,
        json!({
            "job": {"id": "pjb-1", "project_id": "p", "status": status, "error_message": null},
            "markdown": markdown
        }),
    )
}

fn guide() -> Value {
    json!([
        {
            "page_number": 1, "success": true,
            "markdown": "# Who we are\n\nAcme makes hand tools that last a lifetime.\n\n\
                # Colours\n\nPrimary\n\nEmber\n\n#E4572E\n\nSecondary\n\nHarbour\n\n#17263C"
        },
        {
            "page_number": 2, "success": true,
            "markdown": "# Tone of voice\n\nOur voice is plain, warm and exact.\n\n\
                # Copywriting\n\nWrite short sentences that a reader can follow.\n\n\
                # Logo\n\nKeep clear space of one wordmark height around the logo.\n\n\
                # Photography\n\nShoot tools in use, in daylight."
        },
        {"page_number": 3, "success": false, "error": "page failed"}
    ])
}

#[tokio::test]
async fn a_document_is_uploaded_and_its_markdown_read_without_a_model() {
    let server = Server::start([
        created(),
        job("PENDING", Value::Null),
        Reply::text(503, "busy"),
        job("RUNNING", Value::Null),
        job("COMPLETED", guide()),
    ])
    .await;
    let reader = LlamaParseBrandReader::new(parser(&server), None);
    let reading = reader.read(&document()).await.unwrap();
    assert_eq!(reading.provider, "llama-parse + local");
    assert_eq!(reading.dna.core_identity.colors, ["#E4572E", "#17263C"]);
    assert_eq!(
        reading.dna.semantic_dna.tone_of_voice,
        "Our voice is plain, warm and exact."
    );
    assert!(
        reading.dna.quality_score().exceeds(0.5),
        "{:?}",
        reading.dna
    );
    let models: Vec<&str> = reading
        .usage
        .iter()
        .map(|usage| usage.model.as_str())
        .collect();
    assert_eq!(models, ["agentic", "document reader"]);

    let asked = server.asked();
    assert_eq!(server.targets()[0], "POST /api/v2/parse/upload");
    assert_eq!(
        server.targets()[1],
        "GET /api/v2/parse/pjb-1?expand=markdown"
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("authorization") == format!("Bearer {KEY}"))
    );
    assert!(
        asked[0]
            .header("content-type")
            .starts_with("multipart/form-data; boundary=")
    );
    let form = String::from_utf8_lossy(&asked[0].body);
    assert!(
        form.contains(r#"{"tier":"agentic","version":"latest"}"#),
        "{form}"
    );
    assert!(
        form.contains("%PDF-1.7 the file") && form.contains("name=\"file\""),
        "{form}"
    );
}

/// Takes what it is given for the brand's profile.
struct Model;

#[async_trait::async_trait]
impl LanguageModel for Model {
    fn provider(&self) -> &str {
        "model"
    }

    async fn generate(&self, request: &LanguageRequest) -> Result<Answer<Value>, LanguageError> {
        assert_eq!(
            request.material.len(),
            2,
            "the page that failed says nothing"
        );
        assert!(request.material[1].contains("plain, warm and exact"));
        let value =
            json!({"dna": {"coreIdentity": {"slogans": ["Made to last."]}}, "voice": ["plain"]});
        Ok(Answer::new(value, Usage::default()))
    }
}

#[tokio::test]
async fn a_model_reads_the_markdown_when_there_is_one() {
    let server = Server::start([created(), job("COMPLETED", guide())]).await;
    let reader = LlamaParseBrandReader::new(parser(&server), Some(Arc::new(Model)));
    let reading = reader.read(&document()).await.unwrap();
    assert_eq!(reading.provider, "llama-parse + model");
    assert_eq!(reading.dna.core_identity.slogans, ["Made to last."]);
    assert_eq!(reading.summary.voice, ["plain"]);
    assert_eq!(reading.usage.len(), 2);
}

#[tokio::test]
async fn what_goes_wrong_says_what_and_whether_to_try_again() {
    let failed = Reply::json(
        200,
        json!({"job": {"id": "pjb-1", "status": "FAILED", "error_message": "encrypted PDF"}}),
    );
    // (replies, the error, whether to try again, after seconds)
    let cases = [
        (
            vec![created(), failed],
            "job pjb-1 failed: FAILED encrypted PDF",
            false,
            None,
        ),
        (
            vec![created(), job("COMPLETED", Value::Null)],
            "it completed without markdown",
            false,
            None,
        ),
        (
            vec![Reply::json(429, json!({"detail": "quota"})).header("retry-after", "60")],
            "the service answered 429: quota",
            true,
            Some(60),
        ),
        (
            vec![Reply::text(500, "<html>")],
            "the service answered 500",
            true,
            None,
        ),
        (
            vec![Reply::json(401, json!({"detail": "Invalid API Key"}))],
            "the service answered 401: Invalid API Key",
            false,
            None,
        ),
        (
            vec![Reply::json(200, json!({"id": "../x"}))],
            "at id: it is no job's id",
            true,
            None,
        ),
        (
            vec![created(), Reply::text(200, "{")],
            "does not keep to its interface",
            true,
            None,
        ),
    ];
    for (mut replies, expected, transient, seconds) in cases {
        // A question that is asked again gets the same answer.
        let last = replies.last().cloned().unwrap();
        replies.extend(vec![last; 8]);
        let server = Server::start(replies).await;
        let reader = LlamaParseBrandReader::new(parser(&server), None);
        let error = reader.read(&document()).await.unwrap_err();
        let chain = shown(&error);
        assert!(chain.contains(expected), "{chain}");
        assert_eq!(error.is_transient(), transient, "{chain}");
        assert_eq!(
            error.retry_after(),
            seconds.map(Duration::from_secs),
            "{chain}"
        );
    }
}

#[tokio::test]
async fn what_never_ends_is_given_up_and_worth_another_try() {
    let (moment, minute) = (Duration::from_millis(50), Duration::from_secs(60));
    let server = Server::start([Reply::never()]).await;
    let hangs = parser_within(&server, moment, minute);
    let error = hangs.parse(&document()).await.unwrap_err();
    assert!(matches!(error, ProviderError::Timeout { .. }), "{error:?}");
    assert!(error.is_transient());

    let server = Server::start([created()]).await;
    server.then(vec![job("PENDING", Value::Null); 100]);
    let waits = parser_within(&server, minute, moment);
    let error = waits.parse(&document()).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(server.asked().len() < 100);
}

#[tokio::test]
async fn a_document_without_text_is_not_a_profile_without_fields() {
    let server = Server::start([created(), job("COMPLETED", json!([{"markdown": " "}]))]).await;
    let reader = LlamaParseBrandReader::new(parser(&server), None);
    let error = reader.read(&document()).await.unwrap_err();
    assert!(
        matches!(error, ReadError::Unreadable { what: "text", .. }),
        "{error:?}"
    );
}
