//! Which address is which page.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Form as Fields, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Router, body};
use jhalak_common::Error;
use serde::{Deserialize, Serialize};

use super::answer::{self, API, Form};
use super::failure::Failure;
use super::guard::{Access, SIGN_IN, guard};
use super::measured::{measured, metrics};
use super::pages::live::{self, Streams, Watched};
use super::pages::{audience, compare, media, neighbours, quarantine, recommend, run, runs, trailer, trailers, upload};
use super::site::Site;
use super::{etag, openapi};

/// The longest form that is read, in bytes.
const MAX_FORM_BYTES: usize = 4 << 10;

/// The longest message of a failure that is shown, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// The longest time until the head of an answer. A store that stalls holds no page longer.
const MAX_ANSWER: Duration = Duration::from_secs(30);

const STYLE: &str = include_str!("templates/style.css");
const SCRIPT: &str = include_str!("templates/script.js");
const ICON: &str = include_str!("templates/icon.svg");

/// Returns the routes of a site.
pub fn router(site: Arc<Site>, access: Access) -> Router {
    let streams = Streams { site: site.clone(), watched: Arc::new(Watched::default()) };
    let pages: Vec<(&str, MethodRouter<Arc<Site>>)> = vec![
        ("/runs", get(runs::show)),
        ("/runs/{run}", get(run::show)),
        ("/runs/{run}/live", get(live::show)),
        ("/runs/{run}/report", get(run::stored_report)),
        ("/runs/{run}/compare", get(compare::show)),
        ("/runs/{run}/quarantine", get(quarantine::show)),
        ("/runs/{run}/trailers", get(trailers::show)),
        ("/runs/{run}/trailers/{id}", get(trailer::show)),
        ("/runs/{run}/trailers/{id}/neighbours", get(neighbours::show)),
        ("/runs/{run}/trailers/{id}/audience", get(audience::show)),
        ("/runs/{run}/try", get(recommend::show)),
        ("/runs/{run}/try/upload", post(upload::receive).layer(DefaultBodyLimit::disable())),
    ];
    let mut router = Router::new();
    for (path, page) in pages {
        router = router.route(path, page.clone()).route(&format!("{API}{path}"), page);
    }
    let events = get(live::events).with_state(streams);
    let sign_in = Router::new()
        .route(SIGN_IN, get(sign_in_form).post(sign_in))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .with_state((site.clone(), access.clone()));
    router
        .route("/", get(|| async { Redirect::to("/runs") }))
        .route("/runs/{run}/report.json", get(run::report_json))
        .route("/artifacts/{*path}", get(run::model_file))
        .route("/runs/{run}/trailers/{id}/poster.jpg", get(media::poster))
        .route("/runs/{run}/trailers/{id}/keyframes/{recipe}/{number}", get(media::keyframe))
        .route("/runs/{run}/trailers/{id}/video", get(media::video))
        .route("/uploads/{id}/{recipe}/{number}", get(upload::keyframe))
        .route(&format!("{API}/openapi.json"), get(description))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics))
        .route("/assets/style.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/assets/script.js", get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/assets/icon.svg", get(|| async { asset("image/svg+xml", ICON) }))
        .fallback(|| async { Failure::missing("no page is at this address: start from the list of runs") })
        .with_state(site.clone())
        .route("/runs/{run}/events", events.clone())
        .route(&format!("{API}/runs/{{run}}/events"), events)
        .merge(sign_in)
        .layer(middleware::from_fn(etag::conditional))
        .layer(middleware::from_fn_with_state(access, guard))
        .layer(middleware::from_fn_with_state(site, failures))
        .layer(middleware::from_fn(measured))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::ETAG, etag::of(text.as_bytes()))];
    (headers, text).into_response()
}

async fn description() -> Response {
    let text = openapi::document().to_string();
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind), (header::ETAG, etag::of(text.as_bytes()))], text).into_response()
}

/// The page of a failure.
#[derive(Serialize)]
struct FailurePage {
    status: u16,
    reason: &'static str,
    message: String,
}

/// Renders failures as pages where a page was requested, and answers of the server's library, such
/// as to a wrong method, in the form of the others.
async fn failures(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let form = Form::of(request.uri().path());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let is_long = path.ends_with("/events") || path.ends_with("/video") || path.ends_with("/upload");
    let limit = if is_long { MAX_ANSWER * 100 } else { MAX_ANSWER };
    let response = tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        Failure::from(Error::transient(format!("the store did not answer within {seconds} s"))).into_response()
    });
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, content) = response.into_parts();
    let message = match parts.extensions.remove::<Failure>() {
        Some(failure) => failure.message,
        None => {
            let bytes = body::to_bytes(content, MAX_MESSAGE_BYTES).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            if text.is_empty() { status.canonical_reason().unwrap_or("it failed").to_lowercase() } else { text }
        }
    };
    if status.is_server_error() {
        tracing::warn!(%method, path = %path.escape_debug(), status = status.as_u16(), message, "a request failed");
    }
    let page = FailurePage { status: status.as_u16(), reason: status.canonical_reason().unwrap_or("Failure"), message };
    let rendered = match form {
        Form::Page => answer::page(&site.templates, "failure.html", &page).ok(),
        Form::Json => None,
    };
    let (kind, text) = match rendered {
        Some(text) => ("text/html; charset=utf-8", text),
        None => ("application/json", serde_json::json!({ "status": page.status, "error": page.message }).to_string()),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        parts.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        parts.headers.insert(header::REFRESH, HeaderValue::from_static("5"));
    }
    Response::from_parts(parts, text.into())
}

/// The sign-in form.
#[derive(Serialize)]
struct SignIn {
    is_wrong: bool,
    is_needed: bool,
}

async fn sign_in_form(State((site, access)): State<(Arc<Site>, Access)>) -> Result<Response, Failure> {
    site.answer(Form::Page, "sign_in.html", &SignIn { is_wrong: false, is_needed: access.has_token() })
}

/// The fields of the form.
#[derive(Deserialize)]
struct Given {
    token: String,
}

async fn sign_in(
    State((site, access)): State<(Arc<Site>, Access)>,
    Fields(given): Fields<Given>,
) -> Result<Response, Failure> {
    if let Some(signed_in) = access.sign_in(&given.token).await {
        return Ok(signed_in);
    }
    let form = SignIn { is_wrong: true, is_needed: access.has_token() };
    let mut response = site.answer(Form::Page, "sign_in.html", &form)?;
    response.headers_mut().remove(header::ETAG);
    Ok(response)
}
