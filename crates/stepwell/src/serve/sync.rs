//! `PUT`: tells a server what functions the app has.

use super::{Handler, Verified, query};
use crate::client::api_refused;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use stepwell_protocol::headers;

const IN_BAND: &str = "in_band";
const OUT_OF_BAND: &str = "out_of_band";

impl Handler {
    pub(super) async fn sync(&self, request: &Verified) -> Response<Bytes> {
        let asked = request
            .headers
            .get(headers::SYNC_KIND)
            .is_some_and(|kind| kind == IN_BAND);
        let in_band = asked && self.runner.client().config().allow_in_band_sync;
        let (mut response, kind) = match in_band {
            true => (self.sync_in_band(request), IN_BAND),
            false => (self.sync_out_of_band(request).await, OUT_OF_BAND),
        };
        response
            .headers_mut()
            .insert(headers::SYNC_KIND, HeaderValue::from_static(kind));
        response
    }

    /// The functions are the answer. Only for the holder of the key.
    fn sync_in_band(&self, request: &Verified) -> Response<Bytes> {
        #[derive(Deserialize)]
        struct Asked {
            url: String,
        }
        if request.key.is_none() {
            return self.json(
                StatusCode::UNAUTHORIZED,
                &json!({"message": "Unauthorized"}),
            );
        }
        let asked: Asked = match stepwell_protocol::decode::from_slice(&request.body) {
            Ok(asked) => asked,
            Err(error) => {
                let body = json!({"code": "invalid_request", "message": error.to_string()});
                return self.json(StatusCode::BAD_REQUEST, &body);
            }
        };
        let registration = self.runner.registration(&self.configured_url(&asked.url));
        let body = json!({
            "app_id": registration.app_name,
            "appVersion": registration.app_version,
            "capabilities": registration.capabilities,
            "env": self.runner.client().config().environment,
            "framework": self.framework,
            "functions": registration.functions,
            "inspection": self.inspection(true),
            "platform": null,
            "sdk_author": "stepwell",
            "sdk_language": "rust",
            "sdk_version": crate::VERSION,
            "sdk": crate::SDK_VERSION,
            "url": registration.url,
        });
        self.json(StatusCode::OK, &body)
    }

    /// The functions are sent to the server's API.
    async fn sync_out_of_band(&self, request: &Verified) -> Response<Bytes> {
        match self.register(request).await {
            Ok(modified) => {
                let body = json!({"message": "Successfully registered", "modified": modified});
                self.json(StatusCode::OK, &body)
            }
            Err(message) => {
                tracing::error!(%message, "the app could not be registered");
                self.json(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    &json!({"message": message, "modified": false}),
                )
            }
        }
    }

    async fn register(&self, request: &Verified) -> Result<bool, String> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            modified: bool,
        }
        let client = self.runner.client();
        let mut registration = self.runner.registration(&self.requested_url(request));
        registration.framework = self.framework.to_owned();
        let body = serde_json::to_vec(&registration).expect("a registration serialises");
        let mut url = format!("{}/fn/register", client.config().api_url);
        if let Some(deploy) = query(&request.uri, "deployId") {
            let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let deploy: String = deploy.chars().filter(|c| safe(*c)).collect();
            url = format!("{url}?deployId={deploy}");
        }
        let extra = [
            (headers::FRAMEWORK, self.framework.to_owned()),
            (headers::SYNC_KIND, OUT_OF_BAND.to_owned()),
            (
                headers::EXPECTED_SERVER_KIND,
                client.config().mode.as_str().to_owned(),
            ),
        ];
        let answer = client
            .call_api(Method::POST, &url, &extra, body.into())
            .await
            .map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(api_refused(&url, &answer).to_string());
        }
        let answer: Answer = stepwell_protocol::decode::from_slice(answer.body())
            .map_err(|error| format!("the answer of {url} is not understood: {error}"))?;
        Ok(answer.modified)
    }

    /// The URL that this request came to, unless the configuration says otherwise.
    fn requested_url(&self, request: &Verified) -> String {
        let origin = origin_of(&request.headers, &request.uri);
        self.configured_url(&format!("{origin}{}", request.uri.path()))
    }

    /// `url`, with the configured origin and path in place of its own.
    fn configured_url(&self, url: &str) -> String {
        let config = self.runner.client().config();
        let after_scheme = url.find("://").map_or(0, |at| at + 3);
        let path_at = url[after_scheme..]
            .find('/')
            .map_or(url.len(), |at| after_scheme + at);
        let (origin, path) = url.split_at(path_at);
        let origin = config.serve_origin.as_deref().unwrap_or(origin);
        match &config.serve_path {
            Some(path) => format!("{origin}/{}", path.trim_start_matches('/')),
            None => format!("{origin}{path}"),
        }
    }
}

/// Scheme, host and port under which a request has come.
pub(crate) fn origin_of(headers: &HeaderMap, uri: &http::Uri) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto")
        .map(|schemes| schemes.split(',').next().unwrap_or(schemes).trim())
        .filter(|scheme| matches!(*scheme, "http" | "https"))
        .or(uri.scheme_str())
        .unwrap_or("http");
    let host = text("x-forwarded-host")
        .or_else(|| text(header::HOST.as_str()))
        .or_else(|| uri.authority().map(http::uri::Authority::as_str))
        .unwrap_or("localhost");
    format!("{scheme}://{host}")
}
