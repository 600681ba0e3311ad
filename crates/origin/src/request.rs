//! One exchange with an origin as the caller sees it: the request that goes out, the head that
//! comes back, and the rules that decide whether that head may be believed.

use std::fmt;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};

use crate::body::Upload;
use crate::error::FetchError;
use crate::exchange::OriginBody;
use crate::outgoing::{OutgoingBody, Pace};

/// A request to an origin. Hop-by-hop fields are the caller's to remove; `Content-Length` and
/// `Transfer-Encoding` are set here from the body, whatever `fields` say.
#[derive(Debug)]
pub struct OriginRequest {
    /// The method; CONNECT is refused.
    pub method: Method,
    /// The target in origin-form, or `*` for OPTIONS (RFC 9112 section 3.2).
    pub path_and_query: String,
    /// All fields, `Host` included, as they should go out.
    pub fields: HeaderMap,
    /// The body.
    pub body: RequestBody,
    /// Who hears of interim responses (RFC 9110 section 15.2), if anyone does.
    pub on_interim: Option<OnInterim>,
}

/// Called with the status and the fields of each interim response that comes before the final one;
/// 101 is none. It must not block.
#[derive(Clone)]
pub struct OnInterim(Arc<TellInterim>);

type TellInterim = dyn Fn(u16, &HeaderMap) + Send + Sync;

impl OnInterim {
    /// Tells by this function.
    pub fn new(tell: impl Fn(u16, &HeaderMap) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, status: u16, fields: &HeaderMap) {
        (self.0)(status, fields);
    }
}

impl fmt::Debug for OnInterim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnInterim")
    }
}

/// The body of a request.
#[derive(Debug)]
pub enum RequestBody {
    /// None.
    Empty,
    /// Bytes that a worker pushes while they are sent.
    Stream {
        /// The queue between them. It is abandoned when the fetch ends before the body does.
        body: Arc<Upload>,
        /// The exact length, or `None` for a chunked body. A body that contradicts it fails the
        /// exchange with [`FetchError::UploadAborted`].
        length: Option<u64>,
    },
}

/// The final response of an origin; interim ones went to [`OriginRequest::on_interim`].
#[derive(Debug)]
pub struct OriginResponse {
    /// The status, never 1xx.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All fields as received, `Connection` and `Transfer-Encoding` included.
    pub fields: HeaderMap,
    /// The body, without its framing.
    pub body: OriginBody,
    /// Wall clock in milliseconds when the request was sent (RFC 9111 section 4.2.3).
    pub request_time_ms: u64,
    /// Wall clock in milliseconds when the head had come.
    pub response_time_ms: u64,
    /// Whether the exchange ran on a connection that had served another before.
    pub reused: bool,
}

/// A request that was checked, in the form that hyper sends, and the pace of its body.
pub(crate) struct Checked {
    pub(crate) message: Request<OutgoingBody>,
    pub(crate) pace: Pace,
}

impl OriginRequest {
    /// Checks the request and lays out its framing (RFC 9112 section 6.1, RFC 9110 section 8.6).
    pub(crate) fn check(self) -> Result<Checked, FetchError> {
        let pace = Pace::new();
        // Taken first, so that a refusal below abandons the upload.
        let (body, framing) = match self.body {
            RequestBody::Empty => (OutgoingBody::empty(&pace), Framing::None),
            RequestBody::Stream { body, length } => {
                let framing = length.map_or(Framing::Chunked, Framing::Length);
                (OutgoingBody::stream(body, length, &pace), framing)
            }
        };
        if self.method == Method::CONNECT {
            return Err(FetchError::TunnelUnsupported);
        }
        let uri = origin_form(self.path_and_query)?;
        let mut message = Request::new(body);
        *message.method_mut() = self.method;
        *message.uri_mut() = uri;
        *message.headers_mut() = self.fields;
        frame(&mut message, framing);
        if let Some(OnInterim(tell)) = self.on_interim {
            hyper::ext::on_informational(&mut message, move |interim| {
                tell(interim.status().as_u16(), interim.headers());
            });
        }
        Ok(Checked { message, pace })
    }
}

enum Framing {
    None,
    Length(u64),
    Chunked,
}

fn frame(message: &mut Request<OutgoingBody>, framing: Framing) {
    // RFC 9110 section 8.6: methods that anticipate content say that there is none.
    let anticipates = matches!(*message.method(), Method::POST | Method::PUT | Method::PATCH);
    let fields = message.headers_mut();
    fields.remove(CONTENT_LENGTH);
    fields.remove(TRANSFER_ENCODING);
    match framing {
        Framing::Length(length) => {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Framing::Chunked => {
            fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Framing::None if anticipates => {
            fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Framing::None => {}
    }
}

/// `path_and_query` as a target. A fragment would be cut off silently by the parser, so it is
/// refused before.
fn origin_form(path_and_query: String) -> Result<Uri, FetchError> {
    let star = path_and_query == "*";
    if path_and_query.contains('#') || !(star || path_and_query.starts_with('/')) {
        return Err(FetchError::BadTarget);
    }
    let target = PathAndQuery::from_maybe_shared(path_and_query.into_bytes());
    target.map(Uri::from).map_err(|_| FetchError::BadTarget)
}

/// What a response head allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The connection may serve another exchange once this one is complete.
    Reusable,
    /// The message is usable, but the origin's framing is not to be trusted beyond it.
    CloseAfter,
}

/// Judges a response head beyond what hyper refuses by itself: hyper takes Transfer-Encoding over
/// Content-Length, reads an unknown coding until close, and would switch protocols. We asked for
/// none of it, and an origin (or something before it) that sends it may be splitting responses.
pub(crate) fn judge(
    status: StatusCode,
    version: Version,
    fields: &HeaderMap,
) -> Result<Verdict, FetchError> {
    // RFC 9110 section 7.8: a switch that was not asked for.
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(FetchError::BadResponse);
    }
    // RFC 9110 section 15: no class has it; as good as a failure of the origin's.
    if status.as_u16() > STATUS_MAX {
        return Err(FetchError::BadResponse);
    }
    let encoded = fields.contains_key(TRANSFER_ENCODING);
    // RFC 9112 section 6.1: a server must not frame a 204 at all; many send a length of zero.
    if status == StatusCode::NO_CONTENT {
        let zero = fields.get_all(CONTENT_LENGTH).iter().all(|length| length == "0");
        return Ok(if zero && !encoded { Verdict::Reusable } else { Verdict::CloseAfter });
    }
    if !encoded {
        return Ok(Verdict::Reusable);
    }
    // RFC 9112 section 6.1: HTTP/1.0 has no transfer codings. Section 6.3 item 3: both at once
    // ought to be handled as an error. Section 7: we announced no coding but chunked (no TE).
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    let chunked = codings.next().is_some_and(|c| c.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let alone = codings.next().is_none() && !fields.contains_key(CONTENT_LENGTH);
    if chunked && alone && version == Version::HTTP_11 {
        Ok(Verdict::Reusable)
    } else {
        Err(FetchError::BadResponse)
    }
}

/// The last status of the last class.
const STATUS_MAX: u16 = 599;

#[cfg(test)]
mod tests;
