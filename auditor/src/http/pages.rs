//! What each path answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::timeout;

use super::rendering::{Renderer, body};
use crate::control::Source;
use crate::metrics;

/// No request of ours has a body; one that is announced is not read beyond this.
const MAX_BODY: usize = 16 << 10;
/// Longest wait for a text to be made: they are made one at a time.
const PATIENCE: Duration = Duration::from_secs(5);
const PLAIN: &str = "text/plain; charset=utf-8";

const LANDING: &str = "<!doctype html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>auditor</title></head>
<body>
<h1>auditor</h1>
<p>What the seccomp profiles of this host's containers deny, and what they allow for nothing.</p>
<ul>
<li><a href=\"/metrics\">/metrics</a>: for Prometheus</li>
<li><a href=\"/healthz\">/healthz</a>: the daemon answers</li>
<li><a href=\"/readyz\">/readyz</a>: it sees every container, or why not</li>
</ul>
</body>
</html>
";

#[derive(Clone)]
struct Pages {
    source: Source,
    renderer: Arc<Renderer>,
}

/// All paths.
pub(super) fn router(source: Source, renderer: Renderer) -> Router {
    Router::new()
        .route("/", get(async || ([(CONTENT_TYPE, "text/html; charset=utf-8")], LANDING)))
        .route("/metrics", get(scrape))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(async || text(StatusCode::NOT_FOUND, "not found; see /\n".to_owned()))
        .layer(from_fn(only_reads))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Pages { source, renderer: Arc::new(renderer) })
}

fn text(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, PLAIN)], body).into_response()
}

/// Any method but GET and HEAD is refused on every path, those that are not there among them.
async fn only_reads(request: Request, next: Next) -> Response {
    let mut response = if matches!(*request.method(), Method::GET | Method::HEAD) {
        next.run(request).await
    } else {
        let refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        ([(ALLOW, "GET, HEAD")], refusal).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, axum::http::HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    response
}

async fn scrape(State(pages): State<Pages>) -> Response {
    let began = Instant::now();
    let snapshot = match pages.source.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => return text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    };
    match timeout(PATIENCE, pages.renderer.render(snapshot, began.elapsed())).await {
        Ok(Ok(rendered)) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], body(rendered)).into_response(),
        Ok(Err(error)) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes at once\n".to_owned()),
    }
}

async fn healthz(State(pages): State<Pages>) -> Response {
    match pages.source.snapshot().await {
        Ok(_) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

async fn readyz(State(pages): State<Pages>) -> Response {
    match pages.source.snapshot().await {
        Ok(snapshot) if snapshot.health.not_ready.is_empty() => text(StatusCode::OK, "ok\n".to_owned()),
        Ok(snapshot) => {
            let reasons: String = snapshot
                .health
                .not_ready
                .iter()
                .map(|reason| crate::report::escape::printable(reason) + "\n")
                .collect();
            text(StatusCode::SERVICE_UNAVAILABLE, reasons)
        }
        Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}
