//! The edge's cache without sockets, threads and files: the crate's functions in the order in which
//! workers and the fill plane call them, over a map in place of the store.

use std::collections::BTreeMap;

use longhold_gateway::fetch::{self, Disposition};
use longhold_gateway::forward::{self, Client, Purpose};
use longhold_gateway::lookup::{self, Served, Verdict};
use longhold_gateway::outcome::Fwd;
use longhold_gateway::plan::{self, Facts, Plan};
use longhold_gateway::stored::{self, RecordHead, StoredHead, VaryBase};
use longhold_gateway::{Field, key};
use longhold_http1::{Limits, RequestHead, parse_request};
use longhold_policy::storable::{Exchange, Rules};
use longhold_policy::{freshen, invalidate, reuse, storable};

/// What the origin says; nothing when it cannot be reached.
pub(crate) type Answer = Option<(u16, Vec<(String, Vec<u8>)>, u64)>;

/// The origin, asked with the fields that would be sent to it.
pub(crate) type Origin<'a> = dyn FnMut(&[(String, Vec<u8>)]) -> Answer + 'a;

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// From the store, without a word to the origin; the body's number.
    Stored(u64),
    /// From the store, confirmed by the origin.
    Validated(u64),
    /// From the store, for want of an origin.
    InNeed(u64),
    /// By the origin.
    Fetched(u64),
    /// By the edge itself.
    Refused(u16),
}

/// Records by key: head and body.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    records: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
    base_id: u64,
    /// The body that the origin has just confirmed, in the background or not.
    pub(crate) confirmed: Option<u64>,
}

/// One request on its way.
struct Asking<'a> {
    head: &'a RequestHead<'a>,
    facts: Facts,
    primary: Vec<u8>,
    now_ms: u64,
}

impl Cache {
    /// Answers one request.
    pub(crate) fn exchange(
        &mut self,
        bytes: &[u8],
        now_ms: u64,
        origin: &mut Origin<'_>,
    ) -> Answered {
        let head = parse_request(bytes, &Limits::default()).unwrap().unwrap();
        let (plan, facts) = plan::plan(&head);
        let mut primary = Vec::new();
        key::write_primary(&mut primary, "http", &head.target).unwrap();
        let asking = Asking { head: &head, facts, primary, now_ms };
        match plan {
            Plan::Lookup => self.look_up(&asking, origin),
            Plan::Pass(_) => self.pass(&asking, origin),
            Plan::AnswerOptions => Answered::Refused(204),
            Plan::Reject(status) => Answered::Refused(status),
            Plan::Connect => Answered::Refused(501),
        }
    }

    /// The key of the record that the request selects, if there may be one.
    fn record_key(&self, asking: &Asking<'_>) -> (Vec<u8>, Fwd) {
        let mut key = asking.primary.clone();
        let Some((head, _)) = self.records.get(&key) else { return (key, Fwd::UriMiss) };
        match stored::decode(head).unwrap() {
            RecordHead::Response(_) => (key, Fwd::UriMiss),
            RecordHead::Vary(base) => {
                key::append_variant(&mut key, base.id, base.nominated, &asking.head.fields);
                (key, Fwd::VaryMiss)
            }
        }
    }

    fn look_up(&mut self, asking: &Asking<'_>, origin: &mut Origin<'_>) -> Answered {
        let (record_key, missed) = self.record_key(asking);
        let record = self.records.get(&record_key).cloned();
        let stored = record.as_ref().map(|(head, body)| (response_of(head), *body));
        let head = stored.as_ref().map(|(head, _)| head);
        let verdict = lookup::judge(&asking.facts, head, missed, asking.now_ms);
        let validate = match (verdict, &stored) {
            (Verdict::Serve(served), Some((head, body))) => {
                if served == Served::WhileRevalidate {
                    let validators = head.validators();
                    let purpose = background(head, &validators);
                    self.fetch(asking, (&record_key, stored.as_ref()), purpose, origin);
                }
                return Answered::Stored(*body);
            }
            (Verdict::Serve(_), None) => panic!("serves what is not there"),
            (Verdict::GatewayTimeout, _) => return Answered::Refused(504),
            (Verdict::Fetch { validate, .. }, _) => validate,
        };
        let validators = stored.as_ref().filter(|_| validate).map(|(head, _)| head.validators());
        let purpose = validators.as_ref().map_or(Purpose::Fill, Purpose::Validate);
        self.fetch(asking, (&record_key, stored.as_ref()), purpose, origin)
    }

    fn fetch(
        &mut self,
        asking: &Asking<'_>,
        (record_key, stored): (&[u8], Option<&(StoredHead<'_>, u64)>),
        purpose: Purpose<'_>,
        origin: &mut Origin<'_>,
    ) -> Answered {
        let in_need = |status: u16| match stored {
            Some((head, body))
                if reuse::may_serve_on_error(
                    &asking.facts.directives,
                    &head.meta,
                    asking.now_ms,
                ) =>
            {
                Answered::InNeed(*body)
            }
            Some(_) | None => Answered::Refused(status),
        };
        let answer = origin(&sent(asking, purpose));
        let Some((status, fields, body)) = answer else { return in_need(502) };
        let fields: Vec<Field<'_>> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        if status == 304 {
            let (head, body) = stored.expect("a 304 answers a validation");
            assert!(freshen::is_about(&head.validators(), &fields));
            self.confirmed = Some(*body);
            self.freshen(asking, record_key, (head, *body), &fields);
            return Answered::Validated(*body);
        }
        match fetch::dispose(&exchange(asking, status, &fields), &Rules::default()) {
            Disposition::Store { meta, nominated } => {
                let mut head = Vec::new();
                stored::encode_response(&meta, &fields, Some("1.1"), &mut head);
                let key = self.place(asking, &nominated);
                self.records.insert(key, (head, body));
            }
            Disposition::Alone(reason) => {
                if fetch::ends_reuse(reason, status) {
                    self.records.remove(record_key);
                }
            }
        }
        match (status, in_need(status)) {
            (500 | 502 | 503 | 504, Answered::InNeed(body)) => Answered::InNeed(body),
            _ => Answered::Fetched(body),
        }
    }

    /// The key under which a response goes; writes the base of its variants.
    fn place(&mut self, asking: &Asking<'_>, nominated: &str) -> Vec<u8> {
        let mut key = asking.primary.clone();
        if nominated.is_empty() {
            return key;
        }
        let known = self.records.get(&key).and_then(|(head, _)| match stored::decode(head)? {
            RecordHead::Vary(base) if base.nominated == nominated => Some(base.id),
            RecordHead::Vary(_) | RecordHead::Response(_) => None,
        });
        let id = known.unwrap_or_else(|| {
            self.base_id += 1;
            let mut head = Vec::new();
            stored::encode_vary(&VaryBase { id: self.base_id, nominated }, &mut head);
            self.records.insert(key.clone(), (head, 0));
            self.base_id
        });
        key::append_variant(&mut key, id, nominated, &asking.head.fields);
        key
    }

    fn freshen(
        &mut self,
        asking: &Asking<'_>,
        record_key: &[u8],
        (old, body): (&StoredHead<'_>, u64),
        update: &[Field<'_>],
    ) {
        let before: Vec<Field<'_>> = old.fields().collect();
        let mut merged: Vec<(String, Vec<u8>)> = Vec::new();
        freshen::merge(&before, update, &mut |name, value| {
            merged.push((name.to_owned(), value.to_vec()));
        });
        let fields: Vec<Field<'_>> =
            merged.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let evaluated =
            storable::evaluate(&exchange(asking, old.meta.status, &fields), &Rules::default());
        match evaluated {
            Ok(meta) => {
                let mut head = Vec::new();
                stored::encode_response(&meta, &fields, None, &mut head);
                self.records.insert(record_key.to_vec(), (head, body));
            }
            Err(_) => {
                self.records.remove(record_key);
            }
        }
    }

    fn pass(&mut self, asking: &Asking<'_>, origin: &mut Origin<'_>) -> Answered {
        let answer = origin(&sent(asking, Purpose::Pass));
        let Some((status, _, body)) = answer else { return Answered::Refused(502) };
        if invalidate::applies(asking.head.method, status) {
            self.records.remove(&asking.primary);
        }
        Answered::Fetched(body)
    }
}

fn response_of(head: &[u8]) -> StoredHead<'_> {
    match stored::decode(head) {
        Some(RecordHead::Response(stored)) => stored,
        other => panic!("not a response: {other:?}"),
    }
}

fn background<'a>(
    head: &StoredHead<'_>,
    validators: &'a longhold_policy::validate::Validators<'a>,
) -> Purpose<'a> {
    if head.can_validate() { Purpose::Validate(validators) } else { Purpose::Fill }
}

fn sent(asking: &Asking<'_>, purpose: Purpose<'_>) -> Vec<(String, Vec<u8>)> {
    let client = Client { peer: ([127, 0, 0, 1], 9).into(), scheme: "http", node: "model" };
    forward::collect(asking.head, purpose, &client)
}

fn exchange<'a>(asking: &'a Asking<'a>, status: u16, response: &'a [Field<'a>]) -> Exchange<'a> {
    Exchange {
        method: asking.head.method,
        request: &asking.head.fields,
        status,
        response,
        request_time_ms: asking.now_ms,
        response_time_ms: asking.now_ms,
    }
}
