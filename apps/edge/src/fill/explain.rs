//! `edge explain`: what is known of a request's key, what is stored under it, and what the next
//! such request would do. Here, because this thread knows what is being fetched and what was not
//! shared.

use longhold_gateway::explain::{self, Act, Because, Found};
use longhold_gateway::outcome::Fwd;
use longhold_gateway::plan;
use longhold_gateway::recent::Unstored;
use longhold_gateway::stored::{self, RecordHead, StoredHead};
use longhold_gateway::{deliver, key, tags};
use longhold_http1::{self as http1, RequestHead};
use longhold_policy::reuse;
use longhold_policy::storable::NotStored;
use longhold_store::Record;
use serde_json::{Map, Value, json};

use super::lead::unix_ms;
use super::plane::Plane;
use super::{FillJob, parts};
use crate::stored::response_of;

/// What lies under a request's key.
struct Shelf {
    /// The key of the record that the request selects, or would.
    key: Vec<u8>,
    /// The nominated fields, if it varies.
    nominated: Option<String>,
    record: Option<Record>,
    missed: Fwd,
}

impl Plane {
    /// Explains a request that is not made. `None` when its head is none. Waits for the device
    /// where a head is not in memory.
    pub(super) fn explain(&self, job: &FillJob) -> Option<Value> {
        let request = http1::parse_request(&job.head, &self.parts.limits).ok()??;
        let now_ms = unix_ms();
        let (plan, facts) = plan::plan(&request);
        let shelf = self.shelf(job, &request);
        let record = shelf.record.as_ref();
        let response = record.and_then(|record| response_of(record, now_ms));
        let has_it = match (record, &response) {
            (Some(record), Some(response)) => parts::covers(record, response, &request),
            (Some(_), None) | (None, _) => false,
        };
        let found = Found {
            stored: response.as_ref().filter(|_| has_it),
            missed: if record.is_some() { Fwd::Partial } else { shelf.missed },
            is_soft_purged: record.is_some_and(Record::is_soft_purged),
        };
        let rule = self.rule(job);
        let next = rule
            .and_then(|rule| explain::by_rule(rule, plan))
            .unwrap_or_else(|| explain::next((plan, &facts), found, now_ms));
        let mut said = Map::new();
        said.insert("at_ms".to_owned(), json!(now_ms));
        said.insert("method".to_owned(), json!(request.method));
        said.insert("key".to_owned(), json!(text(&job.key)));
        said.insert("vary".to_owned(), vary_json(&shelf, &request));
        said.insert(
            "stored".to_owned(),
            match (record, &response) {
                (Some(record), Some(response)) => record_json(record, response, now_ms),
                (Some(_) | None, _) => Value::Null,
            },
        );
        let asked = (&request, response.is_some());
        said.insert("not_stored".to_owned(), self.unstored_json((&job.key, &shelf.key), asked));
        let is_filling = self.table.borrow().is_filling(&shelf.key);
        said.insert("being_fetched".to_owned(), json!(is_filling));
        let mut next_json = because_json(next.because);
        next_json.insert("act".to_owned(), json!(next.act.word()));
        next_json.insert("cache".to_owned(), json!(next.word));
        match (next.act, found.stored, record) {
            (Act::Answer(status), _, _) => {
                next_json.insert("status".to_owned(), json!(status));
            }
            (Act::Serve | Act::ServeAndRefresh, Some(stored), Some(record)) => {
                let fields: &[(&str, &[u8])] = &request.fields;
                let (_, body_len) = stored.held(record.body_len());
                let shape = deliver::shape(request.method, fields, stored, body_len);
                let status = shape.status(stored.meta.status);
                next_json.insert("status".to_owned(), json!(status));
                let form = because_json(explain::shaped(&shape));
                next_json.insert("form".to_owned(), Value::Object(form));
            }
            (Act::Validate | Act::Fetch, Some(stored), _) => {
                let otherwise = explain::on_error(&facts.directives, stored, now_ms);
                let otherwise = Value::Object(because_json(otherwise));
                next_json.insert("on_error".to_owned(), otherwise);
            }
            (Act::Serve | Act::ServeAndRefresh | Act::Validate | Act::Fetch | Act::Pass, _, _) => {}
        }
        if matches!(next.act, Act::Validate | Act::Fetch) {
            let joins = next.shares && is_filling && rule.is_none_or(|rule| !rule.alone);
            next_json.insert("joins".to_owned(), json!(joins));
        }
        said.insert("next".to_owned(), Value::Object(next_json));
        Some(Value::Object(said))
    }

    fn shelf(&self, job: &FillJob, request: &RequestHead<'_>) -> Shelf {
        let (reader, rules) = (&self.parts.reader, &self.parts.rules);
        let mut shelf =
            Shelf { key: job.key.clone(), nominated: None, record: None, missed: Fwd::UriMiss };
        let Some(record) = reader.lookup(&job.key) else { return shelf };
        let base = match stored::decode(record.head()) {
            Some(RecordHead::Vary(base)) => Some((base.id, base.nominated.to_owned())),
            Some(RecordHead::Response(_)) | None => None,
        };
        // What was stored under other rules answers nobody.
        let nominated = base.as_ref().map_or("", |(_, nominated)| nominated);
        if !rules.fits(job.site.rule, nominated) {
            return shelf;
        }
        let Some((id, nominated)) = base else {
            shelf.record = Some(record);
            return shelf;
        };
        key::append_variant(&mut shelf.key, id, &nominated, &request.fields);
        shelf.record = reader.lookup(&shelf.key);
        shelf.nominated = Some(nominated);
        shelf.missed = Fwd::VaryMiss;
        shelf
    }

    /// Why the last response was not stored, where that is remembered. What keeps requests from
    /// waiting for each other counts before what was so once.
    fn unstored_json(
        &self,
        (primary, fetch_key): (&[u8], &[u8]),
        (request, is_stored): (&RequestHead<'_>, bool),
    ) -> Value {
        let recent = self.recent.borrow().find(primary);
        // Remembered of what is stored, too, where each use must be validated.
        let unshared = self.unshared_reason(fetch_key, request);
        let unshared = unshared.filter(|reason| *reason != NotStored::NoUse || !is_stored);
        let (reason, clause) = match (unshared, recent) {
            (Some(reason), _) => (reason.name(), reason.clause()),
            (None, Some(unstored)) => (unstored.reason, unstored.clause),
            (None, None) => return Value::Null,
        };
        let clause = if clause.is_empty() { Value::Null } else { json!(spelled(clause)) };
        json!({ "reason": reason, "clause": clause })
    }

    /// Remembers why a response was not stored.
    pub(super) fn note_unstored(&self, job: &FillJob, reason: &'static str, clause: &'static str) {
        let unstored = Unstored { reason, clause, at_ms: unix_ms() };
        self.recent.borrow_mut().note(&job.key, unstored);
    }
}

/// The nominated fields with what this request has in them.
fn vary_json(shelf: &Shelf, request: &RequestHead<'_>) -> Value {
    let Some(nominated) = &shelf.nominated else { return Value::Null };
    let value_of = |name: &str| {
        let value = key::nominated_value(name, &request.fields);
        value.map_or(Value::Null, |value| json!(text(&value)))
    };
    let names = nominated.split(',').filter(|name| !name.is_empty());
    Value::Object(names.map(|name| (name.to_owned(), value_of(name))).collect())
}

fn record_json(record: &Record, response: &StoredHead<'_>, now_ms: u64) -> Value {
    let meta = &response.meta;
    let fields: Vec<(&str, &[u8])> = response.fields().collect();
    let words: Vec<String> = tags::words(&fields).map(text).collect();
    let fields: Vec<Value> =
        fields.iter().map(|(name, value)| json!([name, text(value)])).collect();
    let missing = record.missing(0..record.body_len());
    let validators = response.validators();
    json!({
        "status": meta.status,
        "body_bytes": response.held(record.body_len()).1,
        "part": meta.part.map(|part| [part.range().start, part.range().end]),
        "missing": missing.map(|range| [range.start, range.end]),
        "stored_at_ms": record.stored_at_ms(),
        "storing": because_json(explain::storing(response)),
        "soft_purged": record.is_soft_purged(),
        "tags": words,
        "etag": validators.etag.map(text),
        "last_modified": validators.last_modified.map(text),
        "fields": fields,
        "freshness": freshness_json(response, now_ms),
    })
}

fn freshness_json(response: &StoredHead<'_>, now_ms: u64) -> Value {
    let meta = &response.meta;
    let ttl_s = reuse::ttl_s(meta, now_ms);
    let mut said = because_json(explain::lifetime(response));
    said.insert("age_s".to_owned(), json!(reuse::age_s(meta, now_ms)));
    said.insert("initial_age_s".to_owned(), json!(meta.initial_age_s));
    said.insert("lifetime_s".to_owned(), json!(meta.lifetime_s));
    said.insert("ttl_s".to_owned(), json!(ttl_s));
    said.insert("stale_while_revalidate_s".to_owned(), json!(meta.stale_while_revalidate_s));
    said.insert("stale_if_error_s".to_owned(), json!(meta.stale_if_error_s));
    said.insert("must_revalidate".to_owned(), json!(meta.must_revalidate));
    said.insert("no_cache".to_owned(), json!(meta.no_cache));
    Value::Object(said)
}

fn because_json(because: Because) -> Map<String, Value> {
    let mut said = Map::new();
    said.insert("because".to_owned(), json!(because.what));
    if !because.clause.is_empty() {
        said.insert("clause".to_owned(), json!(spelled(because.clause)));
    }
    said
}

/// `RFC 9111 4.2.1` as it is written elsewhere: `RFC 9111 section 4.2.1`.
fn spelled(clause: &str) -> String {
    match clause.rsplit_once(' ') {
        Some((document, section)) if !document.ends_with("section") => {
            format!("{document} section {section}")
        }
        Some(_) | None => clause.to_owned(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
