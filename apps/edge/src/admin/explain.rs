//! `GET /explain?url=…&field=Name: value&method=GET`: what would become of a request, and why.

use http::StatusCode;

use super::{Handles, Reply, json_reply, query, refusal};

/// A request that is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainAsk {
    /// The URL as clients ask for it.
    pub url: String,
    /// Field lines that it has, such as `Accept-Language: de`.
    pub fields: Vec<String>,
    /// The method.
    pub method: String,
}

/// Why nothing is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The URL is no absolute `http` or `https` URL.
    #[error("the URL is not an absolute http or https URL")]
    BadUrl,
    /// No client could send such fields or such a method.
    #[error("the method and the fields make no request")]
    BadRequest,
    /// No site answers for the URL's host.
    #[error("no site answers for the URL's host")]
    NoSite,
    /// The fill plane is not there: starting or draining.
    #[error("the edge explains nothing now")]
    Unavailable,
}

impl ExplainError {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadUrl | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NoSite => StatusCode::NOT_FOUND,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::BadUrl => "write it as clients ask for it, like http://www.example.com/page?q=1",
            Self::BadRequest => "write each field as Name: value, without Host",
            Self::NoSite => "compare the host with the hosts of the config's sites",
            Self::Unavailable => "try again when /readyz says ready",
        }
    }
}

impl ExplainAsk {
    /// From a query; `None` unless it names one URL, at most one method, fields, and no more.
    pub(super) fn from_query(text: &str) -> Option<Self> {
        let (mut url, mut method, mut fields) = (None, None, Vec::new());
        for (name, value) in query::pairs(text.as_bytes())? {
            match name.as_str() {
                "url" if url.is_none() => url = Some(value),
                "method" if method.is_none() => method = Some(value),
                "field" => fields.push(value),
                _ => return None,
            }
        }
        Some(Self { url: url?, fields, method: method.unwrap_or_else(|| "GET".to_owned()) })
    }

    /// The same as a query.
    pub(super) fn query(&self) -> String {
        let mut text = String::new();
        query::push(&mut text, "url", &self.url);
        query::push(&mut text, "method", &self.method);
        for field in &self.fields {
            query::push(&mut text, "field", field);
        }
        text
    }
}

pub(super) async fn carry_out(handles: &Handles, text: Option<&str>) -> Reply {
    let Some(ask) = text.and_then(ExplainAsk::from_query) else {
        let remedy = "ask /explain?url=http://host/path, with field=Name:%20value where it matters";
        return refusal(StatusCode::BAD_REQUEST, "the query names no request", remedy);
    };
    match (handles.explain)(ask).await {
        Ok(said) => json_reply(StatusCode::OK, &said),
        Err(error) => refusal(error.status(), &error.to_string(), error.remedy()),
    }
}
