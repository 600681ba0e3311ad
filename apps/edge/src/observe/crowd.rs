//! What the admin API says of the connections, and has done to them.

use std::sync::Arc;

use longhold_telemetry::exporter::Registry;
use serde_json::{Map, Value, json};

use crate::admin::{CensusAsk, CloseAsk};
use crate::connections::census::Census;
use crate::connections::close::{self, Closed};
use crate::connections::filter::{Filter, FilterError};
use crate::roster::Member;
use crate::worker::closed_counter;

/// The workers and the listeners.
pub(super) struct Crowd {
    pub(super) roster: Vec<Arc<Member>>,
    /// Addresses and protocols, by the listener's number.
    pub(super) listeners: Vec<(String, &'static str)>,
}

impl Crowd {
    /// `GET /connections.json`
    pub(super) async fn census(
        &self,
        ask: &CensusAsk,
        registry: &Registry,
    ) -> Result<Value, FilterError> {
        let filter = Filter::of(&ask.filter, &self.addresses())?;
        let census =
            Census::take(&self.roster, self.listeners.len(), &filter, ask.listed_max).await;
        let mut said = census.json(&self.listeners);
        said["closed"] = Value::Object(closed(registry));
        said["filter"] = json!(ask.filter);
        Ok(said)
    }

    /// `POST /connections/close`
    pub(super) async fn close(&self, ask: &CloseAsk) -> Result<Closed, FilterError> {
        let filter = Filter::of(&ask.filter, &self.addresses())?;
        let closed = close::close(&self.roster, &filter).await;
        tracing::info!(filter = %json!(ask), closed = closed.closed, "connections closed by order");
        Ok(closed)
    }

    /// The listeners' addresses, in the order of their numbers.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.listeners.iter().map(|(address, _)| address.clone()).collect()
    }
}

/// Connections closed since the start, by reason: the one table of reasons.
fn closed(registry: &Registry) -> Map<String, Value> {
    let snapshot = registry.sum();
    let of = |reason| json!(snapshot.counter(closed_counter(reason)));
    let all = longhold_conn::CloseReason::ALL.iter();
    all.map(|reason| (reason.name().to_owned(), of(*reason))).collect()
}
