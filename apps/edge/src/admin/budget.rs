//! `POST /budget`: another memory budget while the edge runs.

use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::timeout;

use super::{Handles, Reply, json_reply, refusal};
use crate::config::units::{Bytes, MIB, parse_bytes};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// A size such as `"4GiB"`; null for what the config says.
    memory: Option<String>,
}

pub(super) async fn set(handles: &Handles, body: Incoming) -> Reply {
    let read = timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let Ok(Ok(body)) = read else {
        let error = "the body is too large, too slow, or broke off";
        return refusal(StatusCode::BAD_REQUEST, error, "send it again");
    };
    let ask = serde_json::from_slice::<Ask>(&body.to_bytes()).ok();
    let Some(bytes) =
        ask.and_then(|ask| ask.memory.map(|text| parse_bytes(&text)).transpose().ok())
    else {
        return refusal(StatusCode::BAD_REQUEST, "the body is no budget", WHAT_TO_SEND);
    };
    if bytes.is_some_and(|bytes| bytes < LEAST.0) {
        let error = "with so little memory nothing works";
        return refusal(StatusCode::BAD_REQUEST, error, "send 4MiB or more");
    }
    json_reply(StatusCode::OK, &(handles.budget)(bytes))
}

const WHAT_TO_SEND: &str = "send {\"memory\": \"4GiB\"}, or null for what the config says";
const LEAST: Bytes = Bytes(4 * MIB);
const BODY_BYTES_MAX: usize = 4096;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
