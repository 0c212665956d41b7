//! Admits or refuses requests: the Host header, the token, the origin of a POST; and the headers of
//! every answer.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use jhalak_common::{Error, Result};

use super::failure::Failure;
use super::token::Token;

/// The name of the cookie that the sign-in form sets.
const COOKIE: &str = "jhalak_session";

/// The address of the sign-in form.
pub const SIGN_IN: &str = "/sign-in";

/// Delay of the answer to a wrong token.
const WRONG_TOKEN: Duration = Duration::from_millis(300);

/// Scripts, styles, pictures and sound of this origin alone, and no frame around the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The access rules of a server.
#[derive(Clone, Debug, Default)]
pub struct Access {
    token: Option<Token>,
    /// Names in addition to `localhost` and addresses under which the server is known.
    hosts: Vec<String>,
}

impl Access {
    /// Returns the access rules of a server that listens on `listen`.
    ///
    /// # Errors
    /// Usage for an address other than loopback without a token.
    pub fn new(listen: &SocketAddr, token: Option<Token>, hosts: Vec<String>) -> Result<Access> {
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(Error::usage(format!(
                "anyone who can reach {listen} could read the store: name a file with a token by --token-file, or \
                 listen on 127.0.0.1"
            )));
        }
        let hosts = hosts.iter().map(|host| host.trim().to_ascii_lowercase()).collect();
        Ok(Access { token, hosts })
    }

    /// Whether the Host header names this server. A page of another site that makes its own name
    /// resolve to this machine (DNS rebinding) sends that name. An address cannot be rebound.
    fn knows_host(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.to_ascii_lowercase();
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.hosts.contains(&name)
    }

    fn is_signed_in(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
        let bearer = headers.get(header::AUTHORIZATION).map(text);
        if let Some(given) = bearer.as_deref().and_then(|value| value.strip_prefix("Bearer ")) {
            return token.is(given);
        }
        let cookies = headers.get_all(header::COOKIE).iter().map(text).collect::<Vec<_>>().join(";");
        let ours = cookies.split(';').filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        ours.into_iter().any(|value| token.is_cookie(value))
    }

    /// Returns the answer to a token from the sign-in form: the cookie, or None for a wrong token.
    pub async fn sign_in(&self, given: &str) -> Option<Response> {
        let token = self.token.as_ref()?;
        if !token.is(given) {
            tokio::time::sleep(WRONG_TOKEN).await;
            return None;
        }
        let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", token.cookie());
        Some(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
    }

    /// Whether a token is asked for.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }
}

/// Lets a request through that may be answered, and sets the headers of the answer.
pub async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let refusal = refuse(&access, &request);
    let mut response = match refusal {
        Some(refused) => refused,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    let mut set = |name, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::CACHE_CONTROL, "private, no-cache");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    response
}

fn refuse(access: &Access, request: &Request) -> Option<Response> {
    let headers = request.headers();
    let path = request.uri().path();
    // A probe of the kubelet sends the address of the pod, and gets nothing but `ok`.
    if path == "/livez" {
        return None;
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !access.knows_host(host) {
        let message = format!(
            "this server is not known as `{}`: use localhost or its address, or start it with --host NAME",
            host.escape_debug()
        );
        return Some(Failure::new(StatusCode::MISDIRECTED_REQUEST, message).into_response());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let origin = text(header::ORIGIN);
        let is_other = origin.is_some_and(|origin| origin.split_once("://").map(|(_, host)| host) != Some(host));
        let site = text(header::HeaderName::from_static("sec-fetch-site"));
        if is_other || site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
            return Some(Failure::new(StatusCode::FORBIDDEN, "a page of another site sent this").into_response());
        }
    }
    let is_open = path == SIGN_IN || path.starts_with("/assets/");
    if is_open || access.is_signed_in(headers) {
        return None;
    }
    let wants_page = *request.method() == Method::GET && !path.starts_with("/api/");
    Some(match wants_page && headers.get(header::AUTHORIZATION).is_none() {
        true => Redirect::to(SIGN_IN).into_response(),
        false => {
            let advice = "send the token of this server: `Authorization: Bearer TOKEN`";
            let failure = Failure::new(StatusCode::UNAUTHORIZED, advice).into_response();
            ([(header::WWW_AUTHENTICATE, "Bearer")], failure).into_response()
        }
    })
}
