//! The page at `/`: one file, no network but this address, no data in it: it asks for
//! `/status.json` and shows what comes, whatever its shape.

use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue};

use super::{Reply, reply};

pub(super) fn page() -> Reply {
    let mut reply = reply(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    reply.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    reply
}

const PAGE: &str = include_str!("page.html");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
