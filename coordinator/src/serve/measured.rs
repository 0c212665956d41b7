//! The figures of the page for Prometheus: requests by address and answer, and their times.

use std::time::Instant;

use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jhalak_common::telemetry::list::{PAGE_DURATION, PAGE_REQUESTS};
use jhalak_common::telemetry::metric::{OTHER, Program};
use jhalak_common::telemetry::server::{EXPOSITION_TYPE, exposition};

use super::answer::API;

/// Counts a request and takes its time.
pub async fn measured(request: Request, next: Next) -> Response {
    let address = address(request.uri().path());
    let began = Instant::now();
    let response = next.run(request).await;
    PAGE_DURATION.observe(&[address], began.elapsed().as_secs_f64());
    let answer = match response.status().as_u16() {
        ..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    };
    PAGE_REQUESTS.increment(&[address, answer]);
    response
}

/// Answers with the metrics of this process.
pub async fn metrics() -> Response {
    ([(header::CONTENT_TYPE, EXPOSITION_TYPE)], exposition(Program::Page)).into_response()
}

/// The value of the label for a path: no id of a visitor becomes a label.
fn address(path: &str) -> &'static str {
    let parts: Vec<&str> = path.strip_prefix(API).unwrap_or(path).trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["runs"] => "runs",
        ["runs", _] => "run",
        ["runs", _, "live" | "events"] => "live",
        ["runs", _, "report" | "report.json"] => "report",
        ["runs", _, "compare"] => "compare",
        ["runs", _, "quarantine"] => "quarantine",
        ["runs", _, "try"] => "try",
        ["runs", _, "try", "upload"] => "upload",
        ["runs", _, "trailers"] => "trailers",
        ["runs", _, "trailers", _] => "trailer",
        ["runs", _, "trailers", _, "neighbours"] => "neighbours",
        ["runs", _, "trailers", _, "audience"] => "audience",
        ["runs", _, "trailers", _, "video"] => "video",
        ["runs", _, "trailers", _, "poster.jpg"] | ["runs", _, "trailers", _, "keyframes", ..] | ["uploads", ..] => {
            "picture"
        }
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_named_and_ids_are_not() {
        for (path, name) in [
            ("/runs", "runs"),
            ("/api/v1/runs/a", "run"),
            ("/runs/a/events", "live"),
            ("/runs/a/trailers/b", "trailer"),
            ("/runs/a/trailers/b/keyframes/c/0.jpg", "picture"),
            ("/runs/a/try/upload", "upload"),
            ("/", OTHER),
            ("/secret", OTHER),
            ("/runs/a/secret", OTHER),
        ] {
            assert_eq!(address(path), name, "{path}");
        }
    }
}
