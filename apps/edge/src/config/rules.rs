//! Sites' rules: each laid over the site's defaults, and refused where its parts contradict each
//! other, or where it could never hold.
//!
//! A key of a rule takes the place of the same key of `[site.defaults]`. What would then have no
//! meaning is not inherited: a rule that bypasses inherits nothing of caching, a redirect nothing
//! at all.

use longhold_gateway::coding::{Coding, Compress};
use longhold_gateway::rules::{
    Edits, Glob, Matcher, QueryRule, Redirect, Rule, SiteRules, key_names,
};
use longhold_http1::{Target, TargetForm, target};
use longhold_policy::fields;
use longhold_policy::storable::{self, LifetimeRule};
use toml::Spanned;

use super::check::start;
use super::contradictions::contradictions;
use super::fault::Cause;
use super::knobs::{self, Knob};
use super::raw::{self, Cell, Typed};
use super::resolve::{Resolver, Said};
use super::units::Bytes;
use super::{RULE_ITEMS_MAX, RULES_MAX};

/// Reads the rules of one site; `None` when it has none. `count` is the number of rules before.
pub(super) fn site(
    resolver: &mut Resolver<'_>,
    table: &raw::Site,
    (index, count): (usize, &mut usize),
    object_max: Bytes,
) -> Option<SiteRules> {
    if table.defaults.is_none() && table.rule.is_empty() {
        return None;
    }
    let defaults = table.defaults.as_ref().map(Spanned::get_ref);
    let otherwise = defaults.map(|defaults| {
        resolver.enter("[site.defaults]", index);
        let first = resolver.faults.len();
        for (knob, cell) in [(&knobs::RULE_PATH, &defaults.path), (METHODS, &defaults.methods)] {
            if let Some(at) = start(cell) {
                resolver.fault(Some(at), knob.key, Cause::MatcherInDefaults);
            }
        }
        let rule = rule(resolver, defaults, object_max);
        for fault in resolver.faults.iter_mut().skip(first) {
            fault.key = fault.key.replacen("site.rule", "site.defaults", 1);
        }
        rule
    });
    if let Some(beyond) = table.rule.get(RULES_MAX) {
        let cause = Cause::TooMany { most: RULES_MAX };
        resolver.fault(Some(beyond.span().start), HEADER, cause);
    }
    let none = raw::Rule::default();
    let mut rules: Vec<(Matcher, Rule)> = Vec::new();
    for typed in table.rule.iter().take(RULES_MAX) {
        resolver.enter(HEADER, *count);
        *count += 1;
        let matcher = matcher(resolver, typed.get_ref());
        if let Some(earlier) = rules.iter().position(|(earlier, _)| earlier.covers(&matcher)) {
            let at = table.rule.get(earlier).map_or(0, |earlier| earlier.span().start);
            let cause = Cause::NeverHolds { line: resolver.source.place(at).line };
            resolver.fault(Some(typed.span().start), HEADER, cause);
        }
        let merged = inherit(typed.get_ref(), defaults.unwrap_or(&none));
        rules.push((matcher, rule(resolver, &merged, object_max)));
    }
    Some(SiteRules { rules, otherwise })
}

fn matcher(resolver: &mut Resolver<'_>, typed: &raw::Rule) -> Matcher {
    let form = Form { what: "a path pattern in its normal form", example: "\"/static/*\"" };
    let paths = read_list(resolver, &knobs::RULE_PATH, &typed.path, &form, path_glob);
    let form = Form { what: "a method", example: "\"GET\"" };
    let methods = read_list(resolver, METHODS, &typed.methods, &form, token);
    Matcher { paths, methods }
}

/// What a rule says over what the site's defaults say.
fn inherit(rule: &raw::Rule, defaults: &raw::Rule) -> raw::Rule {
    let mut merged = rule.clone();
    if rule.redirect.is_some() {
        return merged;
    }
    let from = defaults.clone();
    let or = |mine: &mut Cell, theirs: Cell| *mine = mine.take().or(theirs);
    or(&mut merged.request_remove, from.request_remove);
    or(&mut merged.request_set, from.request_set);
    or(&mut merged.response_remove, from.response_remove);
    or(&mut merged.response_set, from.response_set);
    if is_true(&rule.bypass) {
        return merged;
    }
    or(&mut merged.bypass, from.bypass);
    or(&mut merged.negative_lifetime, from.negative_lifetime);
    or(&mut merged.grace, from.grace);
    or(&mut merged.store_set_cookie, from.store_set_cookie);
    or(&mut merged.s_maxage_revalidates, from.s_maxage_revalidates);
    or(&mut merged.collapse, from.collapse);
    or(&mut merged.key_fields, from.key_fields);
    or(&mut merged.key_cookies, from.key_cookies);
    or(&mut merged.object_max, from.object_max);
    if !matches!(word(&rule.freshness), Some("origin" | "ignore")) {
        or(&mut merged.lifetime, from.lifetime);
    }
    or(&mut merged.freshness, from.freshness);
    if !matches!(word(&rule.query), Some("all" | "none")) {
        or(&mut merged.query_fields, from.query_fields);
    }
    or(&mut merged.query, from.query);
    if !says_none(&rule.compress) {
        or(&mut merged.compress_types, from.compress_types);
        or(&mut merged.compress_min, from.compress_min);
    }
    or(&mut merged.compress, from.compress);
    merged
}

fn rule(resolver: &mut Resolver<'_>, typed: &raw::Rule, object_max: Bytes) -> Rule {
    contradictions(resolver, typed);
    let redirect = redirect(resolver, typed);
    let bypass = resolver.flag_if(&knobs::RULE_BYPASS, &typed.bypass).unwrap_or(false);
    let collapse = resolver.flag_if(&knobs::RULE_COLLAPSE, &typed.collapse).unwrap_or(true);
    let query = query(resolver, typed);
    let key_names = keys(resolver, typed);
    let request = edits(resolver, &REQUEST, (&typed.request_remove, &typed.request_set));
    let response = edits(resolver, &RESPONSE, (&typed.response_remove, &typed.response_set));
    let storing = storing(resolver, typed);
    let object_bytes_max = self::object_max(resolver, typed, object_max);
    let compress = compress(resolver, typed);
    Rule {
        redirect,
        bypass,
        alone: !collapse,
        query,
        key_names,
        request,
        response,
        storing,
        object_bytes_max,
        compress,
    }
}

fn storing(resolver: &mut Resolver<'_>, typed: &raw::Rule) -> storable::Rules {
    let preset = storable::Rules::default();
    let freshness = resolver.text_if(&knobs::RULE_FRESHNESS, &typed.freshness);
    let mut seconds = |knob, cell| {
        let ms = resolver.number_if(knob, cell);
        ms.map(|ms| u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX))
    };
    let lifetime_s = seconds(&knobs::RULE_LIFETIME, &typed.lifetime).unwrap_or(0);
    let negative_s = seconds(&knobs::RULE_NEGATIVE_LIFETIME, &typed.negative_lifetime);
    let grace_s = seconds(&knobs::RULE_GRACE, &typed.grace).unwrap_or(preset.grace_s);
    let knob = &knobs::RULE_STORE_SET_COOKIE;
    let store_set_cookie = resolver.flag_if(knob, &typed.store_set_cookie);
    let knob = &knobs::RULE_S_MAXAGE_REVALIDATES;
    let s_maxage_revalidates = resolver.flag_if(knob, &typed.s_maxage_revalidates);
    storable::Rules {
        lifetime: match freshness.as_ref().map(|said| said.text.as_str()) {
            Some("default") => LifetimeRule::Default(lifetime_s),
            Some("override") => LifetimeRule::Override(lifetime_s),
            Some("ignore") => LifetimeRule::Override(0),
            Some(_) | None => LifetimeRule::Origin,
        },
        negative_s,
        grace_s,
        store_set_cookie: store_set_cookie.unwrap_or(preset.store_set_cookie),
        s_maxage_revalidates: s_maxage_revalidates.unwrap_or(preset.s_maxage_revalidates),
    }
}

fn redirect(resolver: &mut Resolver<'_>, typed: &raw::Rule) -> Option<Redirect> {
    let said = resolver.text_if(&knobs::RULE_REDIRECT, &typed.redirect);
    let status = resolver.number_if(&knobs::RULE_REDIRECT_STATUS, &typed.redirect_status);
    let status = status.unwrap_or(REDIRECT_STATUS);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let (what, example) = ("a status with which to redirect", "302");
        let cause = Cause::NotA { typed: status.to_string(), what, example };
        let at = start(&typed.redirect_status);
        resolver.fault(at, knobs::RULE_REDIRECT_STATUS.key, cause);
    }
    let said = said?;
    let redirect = Redirect::parse(status as u16, &said.text);
    if redirect.is_none() {
        let form = Form {
            what: "a URL that a redirect can name",
            example: "\"https://www.example.com{path}{query}\"",
        };
        form.fault(resolver, &knobs::RULE_REDIRECT, &said);
    }
    redirect
}

fn query(resolver: &mut Resolver<'_>, typed: &raw::Rule) -> QueryRule {
    let said = resolver.text_if(&knobs::RULE_QUERY, &typed.query);
    let form = Form { what: "the name of a query field", example: "\"utm_*\"" };
    let knob = &knobs::RULE_QUERY_FIELDS;
    let names = read_list(resolver, knob, &typed.query_fields, &form, |text| {
        let is_name = |byte: u8| byte.is_ascii_graphic() && !b"&=#?".contains(&byte);
        text.bytes().all(is_name).then(|| Glob::new(text))
    });
    match said.as_ref().map(|said| said.text.as_str()) {
        Some("none") => QueryRule::Nothing,
        Some("only") => QueryRule::Only(names),
        Some("without") => QueryRule::Without(names),
        Some(_) | None => QueryRule::All,
    }
}

fn keys(resolver: &mut Resolver<'_>, typed: &raw::Rule) -> String {
    let form = Form { what: "the name of a request field", example: "\"X-Device\"" };
    let knob = &knobs::RULE_KEY_FIELDS;
    let fields = read_list(resolver, knob, &typed.key_fields, &form, |text| {
        token(text).filter(|name| !is_in(&KEY_NEVER, name))
    });
    let form = Form { what: "the name of a cookie", example: "\"session\"" };
    let cookies = read_list(resolver, &knobs::RULE_KEY_COOKIES, &typed.key_cookies, &form, token);
    key_names(fields.iter().map(String::as_str), cookies.iter().map(String::as_str))
}

/// One direction of edits.
pub(super) struct Side {
    pub(super) remove: &'static Knob,
    pub(super) set: &'static Knob,
    /// Beside those that end at one hop.
    protected: &'static [&'static str],
}

impl Side {
    /// Whether a field is the edge's own affair.
    fn protects(&self, name: &str) -> bool {
        is_in(self.protected, name) || fields::is_hop_by_hop(name)
    }
}

fn edits(resolver: &mut Resolver<'_>, side: &Side, (remove, set): (&Cell, &Cell)) -> Edits {
    let form = Form { what: "the name of a field", example: "\"X-Powered-By\"" };
    let mut checked = Edits::default();
    for said in resolver.list(side.remove, remove, RULE_ITEMS_MAX) {
        match token(&said.text) {
            None => form.fault(resolver, side.remove, &said),
            Some(name) if side.protects(&name) => {
                resolver.fault(said.at, side.remove.key, Cause::ProtectedField(name));
            }
            Some(name) => checked.remove.push(name),
        }
    }
    let form = Form { what: "a field line", example: "\"X-Edge: longhold\"" };
    for said in resolver.list(side.set, set, RULE_ITEMS_MAX) {
        match field_line(&said.text) {
            None => form.fault(resolver, side.set, &said),
            Some((name, _)) if side.protects(&name) => {
                resolver.fault(said.at, side.set.key, Cause::ProtectedField(name));
            }
            Some(line) => checked.set.push(line),
        }
    }
    checked
}

fn object_max(resolver: &mut Resolver<'_>, typed: &raw::Rule, most: Bytes) -> Option<u64> {
    let knob = &knobs::RULE_OBJECT_MAX;
    let bytes = resolver.number_if(knob, &typed.object_max)?;
    if bytes > most.0 {
        let cause = Cause::ObjectBeyondLimit { limit: most.to_string() };
        resolver.fault(start(&typed.object_max), knob.key, cause);
    }
    Some(bytes)
}

fn compress(resolver: &mut Resolver<'_>, typed: &raw::Rule) -> Option<Compress> {
    let form = Form { what: "a coding that can be applied", example: "\"br\"" };
    let off = says_none(&typed.compress);
    let codings = read_list(resolver, &knobs::RULE_COMPRESS, &typed.compress, &form, |text| {
        let coding = Coding::of(text.as_bytes()).map(Some);
        coding.or((off && text == "none").then_some(None))
    });
    let form = Form { what: "a media type", example: "\"text/*\"" };
    let knob = &knobs::RULE_COMPRESS_TYPES;
    let types = read_list(resolver, knob, &typed.compress_types, &form, |text| {
        let is_type = |byte: u8| byte.is_ascii_graphic() && byte != b';';
        let fits = text.bytes().all(is_type) && (text.contains('/') || text.contains('*'));
        fits.then(|| Glob::new(&text.to_ascii_lowercase()))
    });
    let knob = &knobs::RULE_COMPRESS_MIN;
    let body_bytes_min = resolver.number_if(knob, &typed.compress_min);
    let codings: Vec<Coding> = codings.into_iter().flatten().collect();
    let usual = || TYPES_USUAL.iter().map(|text| Glob::new(text)).collect();
    (!codings.is_empty()).then(|| Compress {
        codings,
        types: if types.is_empty() { usual() } else { types },
        body_bytes_min: body_bytes_min.unwrap_or(COMPRESS_BYTES_MIN),
    })
}

/// What form a text must have, for the fault when it has not.
struct Form {
    what: &'static str,
    example: &'static str,
}

impl Form {
    fn fault(&self, resolver: &mut Resolver<'_>, knob: &'static Knob, said: &Said) {
        let typed = format!("{:?}", said.text);
        let cause = Cause::NotA { typed, what: self.what, example: self.example };
        resolver.fault(said.at, knob.key, cause);
    }
}

fn read_list<V>(
    resolver: &mut Resolver<'_>,
    knob: &'static Knob,
    cell: &Cell,
    form: &Form,
    read: impl Fn(&str) -> Option<V>,
) -> Vec<V> {
    let mut values = Vec::new();
    for said in resolver.list(knob, cell, RULE_ITEMS_MAX) {
        match read(&said.text) {
            Some(value) => values.push(value),
            None => form.fault(resolver, knob, &said),
        }
    }
    values
}

/// A pattern in the form in which paths are compared: what is not could never match.
fn path_glob(text: &str) -> Option<Glob> {
    let rooted = if text.starts_with('*') { format!("/{text}") } else { text.to_owned() };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
    if !rooted.starts_with('/') || !rooted.bytes().all(is_plain) {
        return None;
    }
    let asked = Target {
        raw: &rooted,
        form: TargetForm::Origin,
        scheme: None,
        authority: "",
        path_and_query: &rooted,
    };
    let mut normal = Vec::new();
    target::normalise_path(&asked, &mut normal).ok()?;
    (normal == rooted.as_bytes()).then(|| Glob::new(text))
}

fn token(text: &str) -> Option<String> {
    fields::is_token(text.as_bytes()).then(|| text.to_owned())
}

/// A line that cannot end or split the head that it is put into.
fn field_line(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    let value = value.trim();
    let is_safe = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    is_safe.then(|| token(name).map(|name| (name, value.to_owned())))?
}

/// The names in a list of names or field lines, lower case, with their places.
pub(super) fn names(cell: &Cell) -> Vec<(String, usize)> {
    let Some(Typed::List(items)) = cell.as_ref().map(Spanned::get_ref) else { return Vec::new() };
    let name = |item: &Spanned<Typed>| {
        let Typed::Text(text) = item.get_ref() else { return None };
        let name = text.split(':').next().unwrap_or(text);
        Some((name.to_ascii_lowercase(), item.span().start))
    };
    items.iter().filter_map(name).collect()
}

pub(super) fn word(cell: &Cell) -> Option<&str> {
    match cell.as_ref().map(Spanned::get_ref) {
        Some(Typed::Text(text)) => Some(text),
        Some(Typed::Integer(_) | Typed::List(_) | Typed::Flag(_) | Typed::Other(_)) | None => None,
    }
}

pub(super) fn is_true(cell: &Cell) -> bool {
    matches!(cell.as_ref().map(Spanned::get_ref), Some(Typed::Flag(true)))
}

/// `["none"]`: what the site's defaults say of compression does not hold here.
pub(super) fn says_none(cell: &Cell) -> bool {
    let Some(Typed::List(items)) = cell.as_ref().map(Spanned::get_ref) else { return false };
    matches!(&items[..], [only] if matches!(only.get_ref(), Typed::Text(text) if text == "none"))
}

fn is_in(table: &[&str], name: &str) -> bool {
    table.iter().any(|known| known.eq_ignore_ascii_case(name))
}

const HEADER: &str = "[[site.rule]]";
const METHODS: &Knob = &knobs::RULE_METHODS;

pub(super) const REQUEST: Side = Side {
    remove: &knobs::RULE_REQUEST_REMOVE,
    set: &knobs::RULE_REQUEST_SET,
    protected: &[
        "content-encoding",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "max-forwards",
        "via",
        "x-forwarded-for",
        "x-forwarded-proto",
    ],
};

pub(super) const RESPONSE: Side = Side {
    remove: &knobs::RULE_RESPONSE_REMOVE,
    set: &knobs::RULE_RESPONSE_SET,
    protected: &["age", "content-encoding", "content-length", "content-range", "via"],
};

/// Fields that differ from request to request, or that the edge answers by itself.
const KEY_NEVER: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "if-match",
    "if-none-match",
    "if-range",
    "range",
    "transfer-encoding",
    "via",
];

/// What is text, or compresses like it.
const TYPES_USUAL: [&str; 10] = [
    "text/*",
    "*+json",
    "*+xml",
    "application/javascript",
    "application/json",
    "application/wasm",
    "application/x-javascript",
    "application/xml",
    "font/otf",
    "font/ttf",
];

const COMPRESS_BYTES_MIN: u64 = 1024;
const REDIRECT_STATUS: u64 = 302;
