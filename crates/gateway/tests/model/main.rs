//! The cache against a slow and plain reference written from RFC 9111: random requests, responses,
//! validations, failures and pauses, and after each exchange two questions. Was the cache allowed
//! to answer as it did (PO-4, PO-7, GW-4)? And did it use what it had, where nothing spoke against?

mod cache;
mod reference;

use std::fmt::Write as _;

use cache::{Answer, Answered, Cache};
use proptest::prelude::*;
use reference::{DAY_S, Fields, Reference, Request, Response, Reuse, date_of};

/// A request, what the origin would say to it, and the pause before.
#[derive(Clone, Debug)]
struct Step {
    pause_s: u64,
    request: Request,
    origin: Origin,
}

/// What the origin does when it is asked.
#[derive(Clone, Debug)]
struct Origin {
    /// It cannot be reached.
    is_gone: bool,
    /// It confirms a validation instead of sending anew.
    confirms: bool,
    status: u16,
    /// Fields beside the dates.
    fields: Fields,
    /// How old `Date` is, where there is one.
    date_age_s: Option<u64>,
    /// How long after `Date` it expires, where it says so; `None` inside is a value that is none.
    expires_in_s: Option<Option<u64>>,
    modified_age_s: Option<u64>,
}

impl Origin {
    fn fields_at(&self, now_s: u64, path: &str) -> Fields {
        let mut fields = self.fields.clone();
        if path == "/varies" {
            fields.insert("vary", "X-Wants".to_owned());
        }
        let date_s = now_s - self.date_age_s.unwrap_or(0);
        if self.date_age_s.is_some() {
            fields.insert("date", date_of(date_s));
        }
        match self.expires_in_s {
            Some(Some(expires_in_s)) => {
                fields.insert("expires", date_of(date_s + expires_in_s));
            }
            Some(None) => {
                fields.insert("expires", "0".to_owned());
            }
            None => {}
        }
        if let Some(age_s) = self.modified_age_s {
            fields.insert("last-modified", date_of(date_s - age_s));
        }
        fields
    }
}

fn some_field(name: &'static str, values: &'static [&'static str]) -> BoxedStrategy<Fields> {
    let value = prop::option::of(prop::sample::select(values));
    value
        .prop_map(move |value| {
            value.map(|value| Fields::from([(name, value.to_owned())])).unwrap_or_default()
        })
        .boxed()
}

fn together(parts: Vec<BoxedStrategy<Fields>>) -> BoxedStrategy<Fields> {
    parts.prop_map(|parts| parts.into_iter().flatten().collect()).boxed()
}

fn request() -> impl Strategy<Value = Request> {
    let method = prop::sample::select(vec!["GET", "GET", "GET", "GET", "GET", "GET", "POST"]);
    let path = prop::sample::select(vec!["/plain", "/varies"]);
    let fields = together(vec![
        some_field("cache-control", ASKED),
        some_field("pragma", &["no-cache"]),
        some_field("authorization", &["Basic eDp5"]),
        some_field("x-wants", &["a", "b", ""]),
    ]);
    // Most requests are plain, or little would ever be stored and used.
    let fields = prop_oneof![2 => Just(Fields::new()), 1 => fields];
    (method, path, fields).prop_map(|(method, path, fields)| Request { method, path, fields })
}

fn origin() -> impl Strategy<Value = Origin> {
    let fields = together(vec![
        some_field("cache-control", SAID),
        some_field("etag", &["\"1\"", "W/\"2\""]),
        some_field("age", &["0", "7"]),
    ]);
    let status = prop::sample::select(vec![200_u16, 200, 200, 200, 404, 302, 500, 503, 299]);
    let date_age_s = prop::option::of(prop::sample::select(vec![0_u64, 0, 9]));
    let expires_in_s =
        prop::option::weighted(0.2, prop::option::of(prop::sample::select(vec![0_u64, 20])));
    let modified_age_s = prop::option::weighted(0.3, Just(300_u64));
    let rest = (date_age_s, expires_in_s, modified_age_s);
    (prop::bool::weighted(0.1), any::<bool>(), status, fields, rest).prop_map(
        |(is_gone, confirms, status, fields, (date_age_s, expires_in_s, modified_age_s))| Origin {
            is_gone,
            confirms,
            status,
            fields,
            date_age_s,
            expires_in_s,
            modified_age_s,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let pause_s = prop::sample::select(vec![0_u64, 0, 1, 5, 10, 11, 30]);
    (pause_s, request(), origin()).prop_map(|(pause_s, request, origin)| Step {
        pause_s,
        request,
        origin,
    })
}

/// Both caches, and what the origin did in the exchange at hand.
#[derive(Default)]
struct Play {
    cache: Cache,
    reference: Reference,
    bodies: u64,
}

/// What the origin was asked in one exchange.
#[derive(Debug, Default)]
struct Heard {
    asked: bool,
    /// Whether it confirmed.
    confirmed: Option<Fields>,
    response: Option<Response>,
}

impl Play {
    fn step(&mut self, step: &Step, now_s: u64) {
        let request = &step.request;
        let newest = self.reference.newest(request);
        let before = newest.map(|body| (body, self.reference.reuse(body, request, now_s, false)));
        self.bodies += 1;
        let body = self.bodies;
        let mut heard = Heard::default();
        let mut answer = |sent: &[(String, Vec<u8>)]| heard.answer(step, now_s, body, sent);
        let answered = self.cache.exchange(&bytes_of(request), now_s * 1000, &mut answer);
        self.check(request, answered, &heard, now_s);
        // What is fresh is used without a word to the origin.
        if let Some((body, Reuse::Fresh)) = before
            && request.method == "GET"
        {
            assert_eq!((answered, heard.asked), (Answered::Stored(body), false), "it is fresh");
        }
        if let (Some(update), Some(body)) = (&heard.confirmed, self.cache.confirmed.take()) {
            self.reference.freshen(body, request, update, now_s);
        }
        if let Some(response) = &heard.response {
            self.reference.see(request, response, now_s);
        }
    }

    fn check(&self, request: &Request, answered: Answered, heard: &Heard, now_s: u64) {
        let reuse = |body: u64, failed: bool| self.reference.reuse(body, request, now_s, failed);
        let only_if_cached =
            request.fields.get("cache-control").is_some_and(|value| value == "only-if-cached");
        match answered {
            Answered::Stored(body) => {
                assert_ne!(reuse(body, false), Reuse::Never, "{body} is served");
            }
            Answered::InNeed(body) => {
                assert!(heard.asked);
                assert_ne!(reuse(body, true), Reuse::Never, "{body} is served for an error");
            }
            Answered::Validated(body) => {
                assert!(heard.confirmed.is_some());
                assert!(self.reference.selects(body, request), "{body} is validated");
            }
            Answered::Fetched(body) => {
                assert_eq!(heard.response.as_ref().map(|response| response.body), Some(body));
            }
            Answered::Refused(504) if only_if_cached => assert!(!heard.asked),
            Answered::Refused(status) => assert_eq!((status, heard.asked), (502, true)),
        }
        if only_if_cached && request.method == "GET" {
            assert!(matches!(answered, Answered::Stored(_) | Answered::Refused(504)));
        }
    }
}

impl Heard {
    fn answer(&mut self, step: &Step, now_s: u64, body: u64, sent: &[(String, Vec<u8>)]) -> Answer {
        self.asked = true;
        if step.origin.is_gone {
            return None;
        }
        let fields = step.origin.fields_at(now_s, step.request.path);
        let is_conditional = ["if-none-match", "if-modified-since"]
            .iter()
            .any(|known| sent.iter().any(|(name, _)| name.eq_ignore_ascii_case(known)));
        if is_conditional && step.origin.confirms {
            // Its validators would be those of the stored response; it does not repeat them.
            let mut update = fields;
            update.retain(|name, _| !["etag", "last-modified"].contains(name));
            let lines = lines_of(&update);
            self.confirmed = Some(update);
            return Some((304, lines, 0));
        }
        let lines = lines_of(&fields);
        self.response = Some(Response { status: step.origin.status, fields, body });
        Some((step.origin.status, lines, body))
    }
}

fn lines_of(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect()
}

fn bytes_of(request: &Request) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\nHost: a\r\n", request.method, request.path);
    for (name, value) in &request.fields {
        // Writing to a String cannot fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn nothing_is_used_against_the_rules_nor_left_unused(
        steps in prop::collection::vec(step(), 1..16),
    ) {
        let mut play = Play::default();
        let mut now_s = DAY_S + 3_600;
        for step in &steps {
            now_s += step.pause_s;
            play.step(step, now_s);
        }
    }
}

/// `Cache-Control` of requests.
const ASKED: &[&str] = &[
    "no-cache",
    "no-store",
    "max-age=0",
    "max-age=8",
    "max-stale",
    "max-stale=5",
    "min-fresh=5",
    "only-if-cached",
    "stale-if-error=20",
];

/// `Cache-Control` of responses.
const SAID: &[&str] = &[
    "max-age=10",
    "max-age=10",
    "MAX-AGE=30",
    "max-age=0",
    "max-age=ten",
    "s-maxage=5, max-age=60",
    "max-age=5, stale-while-revalidate=10",
    "max-age=5, stale-if-error=20",
    "max-age=5, must-revalidate, stale-if-error=20",
    "max-age=20, proxy-revalidate",
    "public",
    "public, max-age=20",
    "private, max-age=20",
    "no-cache, max-age=20",
    "no-store",
    "must-understand, no-store, max-age=20",
];
