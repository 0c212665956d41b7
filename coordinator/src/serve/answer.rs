//! The two forms of every answer: a page, or the same value as JSON.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use minijinja::value::Serde;
use serde::Serialize;

use super::etag;
use super::failure::Failure;
use super::templates::Templates;

/// The address below which every page is JSON.
pub const API: &str = "/api/v1";

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// HTML.
    Page,
    /// The value of the page as JSON.
    Json,
}

impl Form {
    /// Returns the form that this path asks for.
    pub fn of(path: &str) -> Form {
        if path.starts_with("/api/") { Form::Json } else { Form::Page }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Form, Infallible> {
        Ok(Form::of(parts.uri.path()))
    }
}

/// The variables of a template.
#[derive(Serialize)]
struct Context<'a, T> {
    page: &'a T,
    version: &'static str,
}

/// Answers with `value`, rendered by `template` where a page was requested.
pub fn answer<T: Serialize>(templates: &Templates, form: Form, template: &str, value: &T) -> Result<Response, Failure> {
    let (kind, text) = match form {
        Form::Json => {
            let bug = |e| jhalak_common::Error::bug("a page does not serialise").with_source(e);
            ("application/json", serde_json::to_string(value).map_err(bug)?)
        }
        Form::Page => ("text/html; charset=utf-8", page(templates, template, value)?),
    };
    let tag = etag::of(text.as_bytes());
    Ok(([(header::CONTENT_TYPE, axum::http::HeaderValue::from_static(kind)), (header::ETAG, tag)], text)
        .into_response())
}

/// Renders `value`.
pub fn page<T: Serialize>(templates: &Templates, template: &str, value: &T) -> Result<String, Failure> {
    Ok(templates.render(template, Serde(&Context { page: value, version: env!("CARGO_PKG_VERSION") }))?)
}
