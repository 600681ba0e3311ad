//! `GET /connections.json?state=…&list=20` and `POST /connections/close`: who there is, and whom to
//! close.

use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Handles, Reply, json_reply, query, refusal};
use crate::connections::filter::{FilterAsk, FilterError};

/// What is to be counted and listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CensusAsk {
    /// Which connections.
    pub filter: FilterAsk,
    /// How many of each kind that stands out.
    pub listed_max: usize,
}

/// Which connections are to be closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CloseAsk {
    /// All that the filter takes. A filter that names nothing takes all only with `all`.
    #[serde(flatten)]
    pub filter: FilterAsk,
    /// Every connection.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

impl CensusAsk {
    /// From a query; `None` when it has anything else than the parts of a filter and `list`.
    fn from_query(text: &str) -> Option<Self> {
        let mut ask = Self { filter: FilterAsk::default(), listed_max: LISTED_USUAL };
        for (name, value) in query::pairs(text.as_bytes())? {
            if name == "list" {
                ask.listed_max = value.parse().ok().filter(|most| *most <= LISTED_MAX)?;
            } else {
                *ask.filter.part_mut(&name)? = Some(value);
            }
        }
        Some(ask)
    }

    /// The same as a query.
    pub(super) fn query(&self) -> String {
        let mut text = String::new();
        query::push(&mut text, "list", &self.listed_max.to_string());
        for (name, value) in self.filter.parts() {
            if let Some(value) = value {
                query::push(&mut text, name, value);
            }
        }
        text
    }
}

impl CloseAsk {
    fn names_something(&self) -> bool {
        self.filter.is_empty() == self.all
    }
}

pub(super) async fn list(handles: &Handles, text: Option<&str>) -> Reply {
    let Some(ask) = CensusAsk::from_query(text.unwrap_or_default()) else {
        let error = "the query is no filter";
        return refusal(StatusCode::BAD_REQUEST, error, FILTER_REMEDY);
    };
    match (handles.census)(ask).await {
        Ok(said) => json_reply(StatusCode::OK, &said),
        Err(error) => bad_filter(error),
    }
}

pub(super) async fn close(handles: &Handles, body: Incoming) -> Reply {
    let read = timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let Ok(Ok(body)) = read else {
        let error = "the body is too large, too slow, or broke off";
        return refusal(StatusCode::BAD_REQUEST, error, "send it again");
    };
    let ask = serde_json::from_slice::<CloseAsk>(&body.to_bytes());
    let Some(ask) = ask.ok().filter(CloseAsk::names_something) else {
        let error = "the body says not, or not clearly, which connections";
        return refusal(StatusCode::BAD_REQUEST, error, CLOSE_REMEDY);
    };
    match (handles.close)(ask).await {
        Ok(closed) => {
            let said = serde_json::to_value(closed).unwrap_or_default();
            json_reply(StatusCode::OK, &said)
        }
        Err(error) => bad_filter(error),
    }
}

fn bad_filter(error: FilterError) -> Reply {
    refusal(StatusCode::BAD_REQUEST, &error.to_string(), FILTER_REMEDY)
}

const FILTER_REMEDY: &str = "filter by state, protocol, listener, source, idle_over and \
                             older_than, like ?state=parked&idle_over=10m; list=N, up to 200, \
                             are listed";
const CLOSE_REMEDY: &str = "send a filter such as {\"state\": \"parked\", \"idle_over\": \"1h\"}, \
                            or {\"all\": true} alone";
/// Connections listed of each kind, by default and at most.
pub(crate) const LISTED_USUAL: usize = 5;
pub(crate) const LISTED_MAX: usize = 200;
const BODY_BYTES_MAX: usize = 4096;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
