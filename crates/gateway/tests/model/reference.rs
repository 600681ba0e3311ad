//! A shared cache as RFC 9111 tells it, slow and plain: it keeps every response that it ever saw
//! and reads their fields anew at each question. It shares no code with the crate.

use std::collections::HashMap;

/// Field lines, names in lower case; at most one line per name.
pub(crate) type Fields = HashMap<&'static str, String>;

/// A request as the origin and the rules see it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) fields: Fields,
}

/// A response of the origin's; its body is its number.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: u64,
}

/// A response that was seen, and when, in seconds.
#[derive(Clone, Debug)]
struct Seen {
    request: Request,
    response: Response,
    time_s: u64,
    /// Something came later for a request that selects it, and was not stored: a cache may take
    /// that for a sign that this one's time is over.
    is_superseded: bool,
}

/// What the rules say of answering a request with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// It must not be used without validation.
    Never,
    /// It may be used though it is stale.
    Stale,
    /// It may be used.
    Fresh,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    seen: Vec<Seen>,
}

impl Reference {
    /// Section 3: what came for a request; if it must not be stored, it is forgotten at once.
    pub(crate) fn see(&mut self, request: &Request, response: &Response, time_s: u64) -> bool {
        // Section 4.4: a successful unsafe request makes stored responses invalid.
        if request.method == "POST" {
            if (200..400).contains(&response.status) {
                self.seen.retain(|seen| seen.request.path != request.path);
            }
            return false;
        }
        let may = may_store(request, response);
        if may {
            let (request, response) = (request.clone(), response.clone());
            self.seen.push(Seen { request, response, time_s, is_superseded: false });
        } else {
            self.supersede(request);
        }
        may
    }

    fn supersede(&mut self, request: &Request) {
        let selected = self.seen.iter_mut().filter(|seen| selects(seen, request));
        selected.for_each(|seen| seen.is_superseded = true);
    }

    /// Section 4.3.4: the response with this body was confirmed by a 304 with these fields. The old
    /// form is no longer used; whether the new one may be is what its fields say.
    pub(crate) fn freshen(&mut self, body: u64, request: &Request, update: &Fields, time_s: u64) {
        let Some(at) = self.seen.iter().rposition(|seen| seen.response.body == body) else {
            panic!("validated what was never stored: {body}");
        };
        let mut seen = self.seen.remove(at);
        seen.response.fields.retain(|name, _| !["age", "date"].contains(name));
        for (name, value) in update {
            seen.response.fields.insert(name, value.clone());
        }
        seen.time_s = time_s;
        if may_store(request, &seen.response) {
            self.seen.push(seen);
        } else {
            self.supersede(request);
        }
    }

    /// Section 4: may the stored response with this body answer the request now? `failed` is
    /// whether the origin was asked and could not answer (RFC 5861 section 4).
    pub(crate) fn reuse(&self, body: u64, request: &Request, now_s: u64, failed: bool) -> Reuse {
        let of_body = |seen: &&Seen| seen.response.body == body && selects(seen, request);
        let reuses =
            self.seen.iter().filter(of_body).map(|seen| reuse(seen, request, now_s, failed));
        reuses.max_by_key(|reuse| *reuse as u8).unwrap_or(Reuse::Never)
    }

    /// Section 4.1: whether the request selects the stored response with this body.
    pub(crate) fn selects(&self, body: u64, request: &Request) -> bool {
        self.seen.iter().any(|seen| seen.response.body == body && selects(seen, request))
    }

    /// The newest stored response that the request selects, unless something came after it.
    pub(crate) fn newest(&self, request: &Request) -> Option<u64> {
        let selected = self.seen.iter().rev().find(|seen| selects(seen, request));
        selected.filter(|seen| !seen.is_superseded).map(|seen| seen.response.body)
    }
}

/// Section 3 for a shared cache.
fn may_store(request: &Request, response: &Response) -> bool {
    let asked = directives(&request.fields);
    let said = directives(&response.fields);
    let is_understood = [200, 203, 302, 404, 410, 500, 503].contains(&response.status);
    let allows_authorised = said.contains_key("public")
        || said.contains_key("must-revalidate")
        || matches!(said.get("s-maxage"), Some(Some(value)) if value.parse::<u64>().is_ok());
    let is_explicit = ["public", "max-age", "s-maxage"].iter().any(|it| said.contains_key(*it))
        || response.fields.contains_key("expires");
    request.method == "GET"
        && !asked.contains_key("no-store")
        && (is_understood || !said.contains_key("must-understand"))
        && (!said.contains_key("no-store") || (said.contains_key("must-understand")))
        && !said.contains_key("private")
        && (!request.fields.contains_key("authorization") || allows_authorised)
        && (is_explicit || [200, 203, 404, 410].contains(&response.status))
}

/// Section 4.1, and the target.
fn selects(seen: &Seen, request: &Request) -> bool {
    let nominated = seen.response.fields.get("vary").map_or("", String::as_str);
    seen.request.path == request.path
        && nominated.split(',').map(str::trim).filter(|name| !name.is_empty()).all(|name| {
            let name = name.to_ascii_lowercase();
            name != "*" && seen.request.fields.get(&*name) == request.fields.get(&*name)
        })
}

fn reuse(seen: &Seen, request: &Request, now_s: u64, failed: bool) -> Reuse {
    let asked = directives(&request.fields);
    let said = directives(&seen.response.fields);
    let pragma = request.fields.get("pragma").is_some_and(|value| value == "no-cache");
    let insists =
        asked.contains_key("no-cache") || (pragma && !request.fields.contains_key("cache-control"));
    if said.contains_key("no-cache") || insists {
        return Reuse::Never;
    }
    let age_s = age_s(seen, now_s);
    let lifetime_s = lifetime_s(seen);
    let is_prohibited = ["must-revalidate", "proxy-revalidate", "s-maxage"];
    let is_prohibited = is_prohibited.iter().any(|it| said.contains_key(*it));
    let stale_s = age_s.saturating_sub(lifetime_s);
    let within = |directives: &Directives, name: &str| {
        number(directives, name).is_some_and(|window_s| stale_s <= window_s)
    };
    // RFC 5861 section 4: regardless of other freshness information.
    let for_errors = within(&said, "stale-if-error") || within(&asked, "stale-if-error");
    if failed && !is_prohibited && for_errors {
        return Reuse::Stale;
    }
    // Section 5.2.1.1; an age of 0 s does not meet a wish for validation.
    if let Some(max_age_s) = number(&asked, "max-age")
        && (max_age_s == 0 || age_s > max_age_s)
    {
        return Reuse::Never;
    }
    // Section 5.2.1.3.
    let min_fresh_s = number(&asked, "min-fresh");
    if lifetime_s > age_s {
        let left_s = lifetime_s - age_s;
        return if min_fresh_s.is_none_or(|wanted_s| left_s >= wanted_s) {
            Reuse::Fresh
        } else {
            Reuse::Never
        };
    }
    // Section 4.2.4.
    if min_fresh_s.is_some() || is_prohibited {
        return Reuse::Never;
    }
    let takes_stale = match asked.get("max-stale") {
        Some(None) => true,
        Some(Some(_)) => within(&asked, "max-stale"),
        None => false,
    };
    if takes_stale || within(&said, "stale-while-revalidate") { Reuse::Stale } else { Reuse::Never }
}

/// Section 4.2.3, for exchanges that take no time.
fn age_s(seen: &Seen, now_s: u64) -> u64 {
    let fields = &seen.response.fields;
    let age_value_s = fields.get("age").and_then(|value| value.parse().ok()).unwrap_or(0);
    let apparent_s = fields.get("date").map_or(0, |date| seen.time_s.saturating_sub(time_of(date)));
    age_value_s.max(apparent_s) + (now_s - seen.time_s)
}

/// Sections 4.2.1 and 4.2.2, with a tenth of the time since the last modification.
fn lifetime_s(seen: &Seen) -> u64 {
    let fields = &seen.response.fields;
    let said = directives(fields);
    for name in ["s-maxage", "max-age"] {
        if let Some(value) = said.get(name) {
            return value.as_ref().and_then(|value| value.parse().ok()).unwrap_or(0);
        }
    }
    let date_s = fields.get("date").map_or(seen.time_s, |date| time_of(date));
    if let Some(expires) = fields.get("expires") {
        return if expires == "0" { 0 } else { time_of(expires).saturating_sub(date_s) };
    }
    let is_heuristic =
        [200, 203, 404, 410].contains(&seen.response.status) || said.contains_key("public");
    match fields.get("last-modified") {
        Some(modified) if is_heuristic => date_s.saturating_sub(time_of(modified)) / 10,
        Some(_) | None => 0,
    }
}

type Directives = HashMap<String, Option<String>>;

fn directives(fields: &Fields) -> Directives {
    let value = fields.get("cache-control").map_or("", String::as_str);
    let members = value.split(',').map(str::trim).filter(|member| !member.is_empty());
    members
        .map(|member| match member.split_once('=') {
            Some((name, value)) => (name.to_ascii_lowercase(), Some(value.to_owned())),
            None => (member.to_ascii_lowercase(), None),
        })
        .collect()
}

fn number(directives: &Directives, name: &str) -> Option<u64> {
    directives.get(name)?.as_ref()?.parse().ok()
}

/// Dates of the model are written by [`date_of`], and lie within one day.
fn time_of(date: &str) -> u64 {
    let clock = date.split(' ').nth(4).expect("a date of the model");
    let parts: Vec<u64> = clock.split(':').map(|part| part.parse().expect("digits")).collect();
    DAY_S + parts[0] * 3600 + parts[1] * 60 + parts[2]
}

/// An IMF-fixdate for a second of the model's day.
pub(crate) fn date_of(time_s: u64) -> String {
    let of_day = time_s - DAY_S;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("Sun, 06 Nov 1994 {hour:02}:{minute:02}:{second:02} GMT")
}

/// Midnight before the model begins, in Unix seconds: 6 November 1994.
pub(crate) const DAY_S: u64 = 784_080_000;
