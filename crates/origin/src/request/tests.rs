//! What goes out, and which heads are believed.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};

use super::{OriginRequest, RequestBody, Verdict, judge};
use crate::body::Upload;
use crate::error::FetchError;

fn request(method: Method, target: &str, body: RequestBody) -> OriginRequest {
    let mut fields = HeaderMap::new();
    // Whatever the caller left in, the body decides.
    fields.insert(CONTENT_LENGTH, HeaderValue::from_static("77"));
    fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("gzip"));
    OriginRequest { method, path_and_query: target.to_owned(), fields, body, on_interim: None }
}

fn stream(length: Option<u64>) -> RequestBody {
    RequestBody::Stream { body: Arc::new(Upload::new(1, Arc::new(|| {}))), length }
}

#[test]
fn the_body_decides_the_framing() {
    // (method, body, Content-Length, Transfer-Encoding)
    let rows = [
        (Method::GET, RequestBody::Empty, None, None),
        (Method::DELETE, RequestBody::Empty, None, None),
        (Method::POST, RequestBody::Empty, Some("0"), None),
        (Method::PUT, RequestBody::Empty, Some("0"), None),
        (Method::PATCH, RequestBody::Empty, Some("0"), None),
        (Method::POST, stream(Some(0)), Some("0"), None),
        (Method::GET, stream(Some(9)), Some("9"), None),
        (Method::GET, stream(None), None, Some("chunked")),
        (Method::POST, stream(None), None, Some("chunked")),
    ];
    for (method, body, length, coding) in rows {
        let checked = request(method.clone(), "/", body).check().ok().unwrap();
        let fields = checked.message.headers();
        let field = |name| fields.get(name).map(|value: &HeaderValue| value.to_str().unwrap());
        assert_eq!((field(CONTENT_LENGTH), field(TRANSFER_ENCODING)), (length, coding), "{method}");
    }
}

#[test]
fn targets_are_origin_form() {
    for target in ["/", "/a?b=c&d", "/%20", "//x", "/?", "*", "/a;b=c:d@e"] {
        let checked = request(Method::GET, target, RequestBody::Empty).check().ok().unwrap();
        assert_eq!(checked.message.uri().to_string(), target);
    }
    for target in ["", "a", "http://x/", "/a#b", "/a b", "/\r\n", "?a", "**"] {
        let refused = request(Method::GET, target, RequestBody::Empty).check().err();
        assert_eq!(refused, Some(FetchError::BadTarget), "{target:?}");
    }
}

#[test]
fn a_refused_request_abandons_its_upload() {
    let upload = Arc::new(Upload::new(1, Arc::new(|| {})));
    let body = RequestBody::Stream { body: Arc::clone(&upload), length: None };
    let refused = request(Method::CONNECT, "/", body).check().err();
    assert_eq!(refused, Some(FetchError::TunnelUnsupported));
    assert!(upload.is_abandoned());
}

#[test]
fn heads_that_contradict_themselves_are_refused() {
    type Judged = Result<Verdict, FetchError>;
    const OK: Judged = Ok(Verdict::Reusable);
    const CLOSE: Judged = Ok(Verdict::CloseAfter);
    const BAD: Judged = Err(FetchError::BadResponse);
    let (old, new) = (Version::HTTP_10, Version::HTTP_11);
    type Row = (u16, Version, &'static [(&'static str, &'static str)], Judged);
    let rows: &[Row] = &[
        (200, new, &[], OK),
        (200, new, &[("content-length", "5")], OK),
        (200, new, &[("transfer-encoding", "chunked")], OK),
        (200, new, &[("transfer-encoding", "Chunked")], OK),
        (200, old, &[("transfer-encoding", "chunked")], BAD),
        (200, new, &[("transfer-encoding", "chunked"), ("content-length", "5")], BAD),
        (200, new, &[("transfer-encoding", "gzip, chunked")], BAD),
        (200, new, &[("transfer-encoding", "gzip")], BAD),
        (200, new, &[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")], BAD),
        (200, new, &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], BAD),
        (200, new, &[("transfer-encoding", "")], BAD),
        (304, new, &[("content-length", "5")], OK),
        (304, new, &[("transfer-encoding", "chunked")], OK),
        (204, new, &[], OK),
        (204, new, &[("content-length", "0")], OK),
        (204, new, &[("content-length", "5")], CLOSE),
        (204, new, &[("transfer-encoding", "chunked")], CLOSE),
        (600, new, &[], BAD),
        (999, new, &[], BAD),
        (599, new, &[], OK),
        (101, new, &[], BAD),
    ];
    for (status, version, lines, expected) in rows {
        let mut fields = HeaderMap::new();
        for (name, value) in *lines {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let verdict = judge(StatusCode::from_u16(*status).unwrap(), *version, &fields);
        assert_eq!(verdict, *expected, "OR-6: {status} {lines:?}");
    }
}
