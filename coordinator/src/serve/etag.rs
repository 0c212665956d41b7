//! Conditional answers: an answer with an ETag that the client has is sent without its body.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use jhalak_common::hash;

/// Returns the ETag of these bytes.
pub fn of(bytes: &[u8]) -> HeaderValue {
    named(&hash::of_bytes(bytes).short())
}

/// Returns the ETag of content with this name: hexadecimal digits, letters, `-` and `_`.
pub fn named(name: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{name}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Answers 304 where the client has the content already.
pub async fn conditional(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let known: Vec<HeaderValue> = request.headers().get_all(header::IF_NONE_MATCH).iter().cloned().collect();
    let mut response = next.run(request).await;
    let Some(tag) = response.headers().get(header::ETAG).filter(|_| response.status() == StatusCode::OK) else {
        return response;
    };
    let is_known = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(',').any(|one| one.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes())
    };
    if is_read && known.iter().any(is_known) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}
