//! Runs the given/when/then tables in `tests/cases/`, one file per RFC section.
//!
//! ```text
//! case fresh while younger than max-age [RFC 9111 4.2]
//! given response 200
//! | Cache-Control: max-age=60
//! when GET at 59s
//! then decision Fresh
//! ```
//! Times are relative to one base; the request goes out and the response arrives at 0 unless `given
//! request-time` or `given response-time` say otherwise. In field values `{imf+60}`,
//! `{rfc850+60}` and `{asctime-60}` are dates relative to the base, `\xff` is a byte.
//! `given site` sets a rule of the site's. `EAS` is the Edge Architecture Specification of 2001.
//! A line that is not understood fails the test, as does a case without a clause or a `then`.

use std::fmt::Debug;
use std::path::Path;

use longhold_policy::directives::{RequestDirectives, ResponseDirectives};
use longhold_policy::invalidate::Base;
use longhold_policy::priority::Priority;
use longhold_policy::range::RangeChoice;
use longhold_policy::storable::{Exchange, LifetimeRule, NotStored, Rules};
use longhold_policy::validate::Validators;
use longhold_policy::{
    Field, LifetimeSource, StoredMeta, date, fields, freshen, invalidate, part, range, reuse,
    storable, validate, vary,
};

/// Sunday, 15 June 2025, 15:06:40.
const BASE_S: u64 = 1_750_000_000;
const CASES_MIN: usize = 450;

#[test]
fn tables_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("a folder entry").path())
        .collect();
    paths.sort();
    let (mut cases, mut checks, mut faults) = (0, 0, Vec::new());
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("a readable table");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let report = check(&text);
        println!("{name}: {} cases, {} checks", report.cases, report.checks);
        cases += report.cases;
        checks += report.checks;
        faults.extend(report.faults.iter().map(|fault| format!("{name}:{fault}")));
    }
    println!("{cases} cases with {checks} checks in {} tables", paths.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(cases >= CASES_MIN, "only {cases} cases; has a table been lost?");
}

#[test]
fn malformed_tables_fail() {
    for text in [
        "given request GET",
        "case no clause\ngiven request GET\nthen conditional no",
        "case no then [RFC 9111 3]\ngiven response 200",
        "case typo [RFC 9111 3]\ngiven response 200\nthen sorted",
        "case bad status [RFC 9111 3]\ngiven response two\nthen not stored status",
        "case bad field [RFC 9111 3]\ngiven response 200\n| Cache-Control\nthen not stored status",
        "case bad date [RFC 9111 3]\ngiven response 200\n| Date: {imf}\nthen not stored status",
        "case stray field [RFC 9111 3]\n| A: b\ngiven response 200\nthen not stored status",
        "case bad time [RFC 9111 3]\ngiven response 200\nwhen GET at noon\nthen age 0",
        "case unknown fact [RFC 9111 3]\ngiven response 200\nthen stored colour=red",
        "case no response [RFC 9111 3]\nthen stored",
        "case wrong [RFC 9111 3]\ngiven response 206\nthen not stored private",
    ] {
        assert_eq!(check(text).faults.len(), 1, "{text}");
    }
}

/// What running a table gave. Each fault starts with its line number.
#[derive(Default)]
struct Report {
    cases: usize,
    checks: usize,
    faults: Vec<String>,
}

/// Runs one table. After a fault the rest of its case is skipped.
fn check(text: &str) -> Report {
    let mut report = Report::default();
    let mut play: Option<Play> = None;
    let mut is_broken = false;
    for statement in statements(text) {
        let outcome = match statement.text.strip_prefix("case ") {
            Some(title) => {
                let finished = play.take().map_or(Ok(()), |play| play.finish(is_broken));
                is_broken = false;
                report.cases += 1;
                finished.and(Play::new(title).map(|new| play = Some(new)))
            }
            None if is_broken => Ok(()),
            None => match &mut play {
                Some(play) => play.step(&statement),
                None => Err("stands before the first case".to_owned()),
            },
        };
        if let Err(fault) = outcome {
            is_broken = true;
            report.faults.push(format!("{}: {}: {fault}", statement.line, statement.text));
        }
        report.checks += usize::from(statement.text.starts_with("then "));
    }
    if let Some(Err(fault)) = play.map(|play| play.finish(is_broken)) {
        report.faults.push(format!("end: {fault}"));
    }
    report
}

/// One line with the field lines behind it.
struct Statement {
    line: usize,
    text: String,
    fields: Vec<(usize, String)>,
}

fn statements(text: &str) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        let text = text.trim_end();
        match (text.strip_prefix('|'), statements.last_mut()) {
            (Some(field), Some(last)) => last.fields.push((line, field.to_owned())),
            _ if text.is_empty() || text.starts_with('#') => {}
            _ => statements.push(Statement { line, text: text.to_owned(), fields: Vec::new() }),
        }
    }
    statements
}

type OwnedFields = Vec<(String, Vec<u8>)>;
type Outcome = Result<(), String>;

#[derive(Default)]
struct Play {
    checks: usize,
    method: String,
    request: OwnedFields,
    response: Option<(u16, OwnedFields)>,
    rules: Rules,
    update: Option<OwnedFields>,
    later: Option<(String, OwnedFields, u64)>,
    request_ms: u64,
    response_ms: u64,
    value: Option<Vec<u8>>,
    tags: Option<(Vec<u8>, Vec<u8>)>,
    body_len: Option<u64>,
    target: String,
}

impl Play {
    fn new(title: &str) -> Result<Self, String> {
        let clause = title.strip_suffix(']').and_then(|title| title.rsplit_once('['));
        match clause {
            Some((_, clause)) if clause.starts_with("RFC ") || clause.starts_with("EAS ") => {
                Ok(Self { method: "GET".to_owned(), ..Self::default() })
            }
            _ => Err("has no clause".to_owned()),
        }
    }

    fn finish(self, is_broken: bool) -> Outcome {
        if self.checks == 0 && !is_broken {
            Err("a case without a then".to_owned())
        } else {
            Ok(())
        }
    }

    fn step(&mut self, statement: &Statement) -> Outcome {
        let fields = statement
            .fields
            .iter()
            .map(|(line, text)| field(text).map_err(|fault| format!("line {line}: {fault}")))
            .collect::<Result<OwnedFields, String>>()?;
        let (verb, rest) = statement.text.split_once(' ').ok_or("is one word")?;
        match verb {
            "given" => self.given(rest, fields),
            "when" => self.when(rest, fields),
            "then" => {
                self.checks += 1;
                self.then(rest, &fields)
            }
            _ => Err("is neither given, when nor then".to_owned()),
        }
    }

    fn given(&mut self, text: &str, fields: OwnedFields) -> Outcome {
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        match what {
            "request" => (self.method, self.request) = (rest.to_owned(), fields),
            "response" => self.response = Some((number(rest)?, fields)),
            "update" => self.update = Some(fields),
            "request-time" => self.request_ms = time_ms(rest)?,
            "response-time" => self.response_ms = time_ms(rest)?,
            "site" => self.rules = rules(rest, self.rules)?,
            "target" => self.target = rest.to_owned(),
            "value" => self.value = Some(bytes(rest)?),
            "length" => self.body_len = Some(number(rest)?),
            "tags" => {
                let (left, right) = rest.split_once(' ').ok_or("needs two tags")?;
                self.tags = Some((bytes(left)?, bytes(right)?));
            }
            _ => return Err("gives something unknown".to_owned()),
        }
        Ok(())
    }

    fn when(&mut self, text: &str, fields: OwnedFields) -> Outcome {
        let (method, at) = text.split_once(" at ").unwrap_or((text, "0s"));
        self.later = Some((method.to_owned(), fields, BASE_S * 1000 + time_ms(at)?));
        Ok(())
    }

    fn then(&self, text: &str, fields: &OwnedFields) -> Outcome {
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        match what {
            "stored" => self.is_stored(rest),
            "not" => same(rest, &format!("stored {}", self.refusal()?)),
            "decision" | "age" | "ttl" | "on-error" => self.reuses(what, rest),
            "precondition" | "conditional" | "for-origin" | "sends" | "range" => {
                self.validates(what, rest, fields)
            }
            "about" | "by-head" | "combines" | "merged" | "storable" | "withheld"
            | "invalidates" | "also-invalidates" => self.updates(what, rest, fields),
            "vary" | "nominated" | "same-variant" => self.varies(what, rest),
            "content-range" | "date" | "normal" | "priority" | "strong" | "weak" => {
                self.compares(what, rest)
            }
            _ => Err("expects something unknown".to_owned()),
        }
    }

    fn evaluate(&self) -> Result<Result<StoredMeta, NotStored>, String> {
        let (status, response) = self.response.as_ref().ok_or("needs a response")?;
        let (request, response) = (borrow(&self.request), borrow(response));
        let exchange = Exchange {
            method: &self.method,
            request: &request,
            status: *status,
            response: &response,
            request_time_ms: BASE_S * 1000 + self.request_ms,
            response_time_ms: BASE_S * 1000 + self.response_ms,
        };
        let rules = &self.rules;
        Ok(match (self.method.as_str(), *status) {
            ("POST", _) => storable::evaluate_post(&exchange, &self.base(), rules),
            ("GET", 206) => storable::evaluate_part(&exchange, rules),
            _ => storable::evaluate(&exchange, rules),
        })
    }

    /// The request's target, without its scheme.
    fn base(&self) -> Base<'_> {
        let target = if self.target.is_empty() { "host/a/b?c" } else { &self.target };
        let (authority, path_and_query) = target.split_at(target.find('/').unwrap_or(target.len()));
        Base { scheme: "http", authority, path_and_query }
    }

    fn meta(&self) -> Result<StoredMeta, String> {
        self.evaluate()?.map_err(|reason| format!("is not stored: {}", reason.name()))
    }

    fn refusal(&self) -> Result<&'static str, String> {
        match self.evaluate()? {
            Ok(meta) => Err(format!("is stored: {meta:?}")),
            Err(reason) => Ok(reason.name()),
        }
    }

    fn is_stored(&self, facts: &str) -> Outcome {
        let meta = self.meta()?;
        for fact in facts.split_whitespace() {
            let (name, expected) = fact.split_once('=').ok_or("has a fact without a value")?;
            let found = match name {
                "part" => meta.part.map_or("none".to_owned(), |part| {
                    format!("{}-{}/{}", part.range().start, part.range().end, part.complete_len())
                }),
                "lifetime" => meta.lifetime_s.to_string(),
                "age" => meta.initial_age_s.to_string(),
                "swr" => meta.stale_while_revalidate_s.to_string(),
                "sie" => meta.stale_if_error_s.to_string(),
                "date" => (i128::from(meta.date_s) - i128::from(BASE_S)).to_string(),
                "heuristic" => yes_no(matches!(
                    meta.lifetime_source,
                    LifetimeSource::Heuristic | LifetimeSource::Nothing
                )),
                "source" => meta.lifetime_source.name().replace(' ', "-"),
                "immutable" => yes_no(meta.immutable),
                "must-revalidate" => yes_no(meta.must_revalidate),
                "no-cache" => yes_no(meta.no_cache),
                "etag" => yes_no(meta.has_etag),
                "last-modified" => yes_no(meta.has_last_modified),
                _ => return Err(format!("asks for an unknown fact, {name}")),
            };
            same(expected, &found).map_err(|fault| format!("{name}: {fault}"))?;
        }
        Ok(())
    }

    fn later(&self) -> Result<(&str, Vec<Field<'_>>, u64), String> {
        let (method, fields, at_ms) = self.later.as_ref().ok_or("needs a when")?;
        Ok((method, borrow(fields), *at_ms))
    }

    fn reuses(&self, what: &str, expected: &str) -> Outcome {
        let meta = self.meta()?;
        let (_, request, now_ms) = self.later()?;
        let request = RequestDirectives::from_fields(&request);
        let found = match what {
            "decision" => debug(reuse::decide(&request, &meta, now_ms)),
            "age" => reuse::age_s(&meta, now_ms).to_string(),
            "ttl" => reuse::ttl_s(&meta, now_ms).to_string(),
            _ => yes_no(reuse::may_serve_on_error(&request, &meta, now_ms)),
        };
        same(expected, &found)
    }

    fn validates(&self, what: &str, expected: &str, fields: &OwnedFields) -> Outcome {
        if what == "conditional" {
            return same(expected, &yes_no(validate::is_conditional(&borrow(&self.request))));
        }
        if what == "for-origin" {
            return same(expected, &yes_no(validate::is_for_origin(&borrow(&self.request))));
        }
        let (status, response) = self.response.as_ref().ok_or("needs a response")?;
        let response = borrow(response);
        let stored = Validators::of(&response);
        let request = borrow(&self.request);
        match what {
            "precondition" => {
                let found = validate::evaluate(&self.method, &request, &stored, *status);
                same(expected, &debug(found))
            }
            "range" => {
                let body_len = self.body_len.ok_or("needs a length")?;
                same(expected, &shown(&range::select(&request, &self.method, body_len, &stored)))
            }
            _ => {
                let mut sent = OwnedFields::new();
                validate::conditional_fields(&stored, &mut collect(&mut sent));
                same_fields(fields, &sent)
            }
        }
    }

    fn updates(&self, what: &str, expected: &str, fields: &OwnedFields) -> Outcome {
        let (status, response) = self.response.as_ref().ok_or("needs a response")?;
        let response = borrow(response);
        if what == "invalidates" {
            return same(expected, &yes_no(invalidate::applies(&self.method, *status)));
        }
        if what == "also-invalidates" {
            let mut targets = Vec::new();
            let mut add = |target: &str| targets.push(target.to_owned());
            invalidate::targets(&self.base(), &response, &mut add);
            return same(expected, &targets.join(" "));
        }
        if matches!(what, "storable" | "withheld") {
            let (name, expected) = expected.split_once(' ').ok_or("needs a name and yes or no")?;
            if what == "withheld" {
                let directives = ResponseDirectives::from_fields(&response);
                return same(expected, &yes_no(directives.withholds(name)));
            }
            return same(expected, &yes_no(fields::is_storable(&response, name)));
        }
        let update = borrow(self.update.as_ref().ok_or("needs an update")?);
        if what == "by-head" {
            let body_len = self.body_len.ok_or("needs a length")?;
            let stored = Validators::of(&response);
            let found = freshen::by_head(&stored, body_len, 200, &update);
            return same(expected, &debug(found));
        }
        if what == "combines" {
            let found = part::may_combine(&Validators::of(&response), &Validators::of(&update));
            return same(expected, &yes_no(found));
        }
        if what == "about" {
            return same(expected, &yes_no(freshen::is_about(&Validators::of(&response), &update)));
        }
        let mut merged = OwnedFields::new();
        freshen::merge(&response, &update, &mut collect(&mut merged));
        same_fields(fields, &merged)
    }

    fn varies(&self, what: &str, expected: &str) -> Outcome {
        let (_, response) = self.response.as_ref().ok_or("needs a response")?;
        let response = borrow(response);
        let mut names = Vec::new();
        vary::nominated(&response, &mut |name| names.push(name.to_owned()));
        let found = match what {
            "vary" => debug(vary::of(&response)),
            "nominated" => names.join(","),
            _ => {
                let key = |request: &[Field<'_>]| {
                    let mut key = Vec::new();
                    vary::write_key(names.iter().map(String::as_str), request, &mut key);
                    key
                };
                let (_, later, _) = self.later()?;
                yes_no(key(&borrow(&self.request)) == key(&later))
            }
        };
        same(expected, &found)
    }

    fn compares(&self, what: &str, expected: &str) -> Outcome {
        if what == "content-range" {
            let value = self.value.as_ref().ok_or("needs a value")?;
            let found = part::parse(value).map_or("none".to_owned(), |part| {
                format!("{}-{}/{}", part.range().start, part.range().end, part.complete_len())
            });
            return same(expected, &found);
        }
        if what == "normal" {
            let lines = self.request.iter().map(|(_, value)| value.as_slice());
            let (name, _) = self.request.first().ok_or("needs a request")?;
            let mut normal = Vec::new();
            let found = vary::normalise(name, lines, &mut normal);
            let normal = String::from_utf8_lossy(&normal);
            return same(expected, if found { &normal } else { "none" });
        }
        if what == "priority" {
            let mut found = Priority::of_request(&borrow(&self.request));
            if let Some((_, response)) = &self.response {
                found = found.merged(&borrow(response));
            }
            let incremental = if found.incremental { ",i" } else { "" };
            return same(expected, &format!("u={}{incremental}", found.urgency));
        }
        if what == "date" {
            let value = self.value.as_ref().ok_or("needs a value")?;
            let found = date::parse_at(value, BASE_S);
            return same(expected, &found.map_or("none".to_owned(), |found| found.to_string()));
        }
        let (left, right) = self.tags.as_ref().ok_or("needs tags")?;
        let is_match = match what {
            "strong" => validate::is_strong_match(left, right),
            _ => validate::is_weak_match(left, right),
        };
        same(expected, &yes_no(is_match))
    }
}

fn borrow(fields: &OwnedFields) -> Vec<Field<'_>> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

fn collect(into: &mut OwnedFields) -> impl FnMut(&str, &[u8]) {
    |name, value| into.push((name.to_owned(), value.to_vec()))
}

fn same(expected: &str, found: &str) -> Outcome {
    if expected == found { Ok(()) } else { Err(format!("found {found}")) }
}

fn same_fields(expected: &OwnedFields, found: &OwnedFields) -> Outcome {
    let shown = |fields: &OwnedFields| -> Vec<String> {
        fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect()
    };
    if expected == found { Ok(()) } else { Err(format!("found {:?}", shown(found))) }
}

fn shown(choice: &RangeChoice) -> String {
    match choice {
        RangeChoice::Whole => "whole".to_owned(),
        RangeChoice::Single(range) => format!("{}-{}", range.start, range.end - 1),
        RangeChoice::Multiple(ranges) => {
            let ranges = ranges.as_slice().iter();
            let shown: Vec<String> =
                ranges.map(|range| format!("{}-{}", range.start, range.end - 1)).collect();
            shown.join(",")
        }
        RangeChoice::Unsatisfiable => "unsatisfiable".to_owned(),
    }
}

/// One rule, `name=value`, over those before it.
fn rules(text: &str, rules: Rules) -> Result<Rules, String> {
    let (name, value) = text.split_once('=').ok_or("has a rule without a value")?;
    Ok(match name {
        "default" => Rules { lifetime: LifetimeRule::Default(number(value)?), ..rules },
        "override" => Rules { lifetime: LifetimeRule::Override(number(value)?), ..rules },
        "negative" => Rules { negative_s: Some(number(value)?), ..rules },
        "grace" => Rules { grace_s: number(value)?, ..rules },
        "set-cookie" => Rules { store_set_cookie: value == "yes", ..rules },
        "s-maxage-revalidates" => Rules { s_maxage_revalidates: value == "yes", ..rules },
        _ => return Err(format!("has an unknown rule, {name}")),
    })
}

fn debug(value: impl Debug) -> String {
    format!("{value:?}")
}

fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not the number that it should be"))
}

fn time_ms(text: &str) -> Result<u64, String> {
    match text.strip_suffix("ms") {
        Some(text) => number(text),
        None => number::<u64>(text.strip_suffix('s').ok_or("has a time without a unit")?)
            .map(|seconds| seconds * 1000),
    }
}

fn field(text: &str) -> Result<(String, Vec<u8>), String> {
    let (name, value) = text.split_once(':').ok_or("is no field")?;
    Ok((name.trim().to_owned(), bytes(value.trim())?))
}

/// Expands dates in braces and `\x` escapes.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '\\']) {
        let (before, special) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        if let Some(date) = special.strip_prefix('{') {
            let (date, behind) = date.split_once('}').ok_or("has an open brace")?;
            out.extend_from_slice(expand(date)?.as_bytes());
            rest = behind;
        } else if let Some(hex) = special.strip_prefix("\\x") {
            let (hex, behind) = hex.split_at_checked(2).ok_or("has a short escape")?;
            out.push(u8::from_str_radix(hex, 16).map_err(|_| "has a bad escape")?);
            rest = behind;
        } else {
            out.push(b'\\');
            rest = special.split_at(1).1;
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

fn expand(text: &str) -> Result<String, String> {
    let at = text.find(['+', '-']).ok_or("has a date without an offset")?;
    let (form, offset) = text.split_at(at);
    let unix_s = BASE_S.checked_add_signed(number(offset)?).ok_or("has a date out of bounds")?;
    let fixed = String::from_utf8_lossy(&date::format(unix_s)).into_owned();
    let parts: Vec<&str> = fixed.split([' ', ',']).filter(|part| !part.is_empty()).collect();
    let [day_name, day, month, year, time, zone] = parts.as_slice() else {
        return Err("has a date that does not format".to_owned());
    };
    let long = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let long_name = long.iter().find(|name| name.starts_with(day_name)).unwrap_or(&"");
    match form {
        "imf" => Ok(fixed.clone()),
        "rfc850" => Ok(format!("{long_name}, {day}-{month}-{} {time} {zone}", &year[2..])),
        "asctime" => {
            Ok(format!("{day_name} {month} {:>2} {time} {year}", day.trim_start_matches('0')))
        }
        _ => Err("has a date in no known form".to_owned()),
    }
}
