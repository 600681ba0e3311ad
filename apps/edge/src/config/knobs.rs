//! The one table of everything that the config file can say.
//!
//! One row per knob: key, unit, default, bounds, what a change needs, and what it does. `--help`,
//! the dump of `edge check` and the page `knobs.md` are written from it, the names that the file
//! may use are checked against it, and a test walks it.

use std::fmt::{self, Write as _};

use super::units::{
    Bytes, BytesPerSecond, GIB, HOUR, KIB, MIB, MINUTE, Millis, SECOND, TIB, UnitFault,
    parse_bytes, parse_millis, parse_rate,
};

/// One row of the table.
#[derive(Debug)]
pub struct Knob {
    /// Path in the file, with dots: `site.origin.urls`. `listener` and `site` repeat.
    pub key: &'static str,
    /// What kind of value it takes.
    pub unit: Unit,
    /// What holds when the file says nothing.
    pub preset: Preset,
    /// Least value in base units; only for numbers.
    pub least: u64,
    /// Greatest value in base units; only for numbers.
    pub most: u64,
    /// What a change of the value needs.
    pub change: Change,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
}

/// What kind of value a knob takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A whole number without a unit.
    Count,
    /// A size; base unit bytes.
    Bytes,
    /// A duration; base unit milliseconds.
    Time,
    /// Bytes per second.
    Rate,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text, described by the word given.
    Text(&'static str),
    /// A list of texts, each described by the word given.
    List(&'static str),
    /// `true` or `false`.
    Flag,
}

/// What holds when the file says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// This number, in base units.
    Number(u64),
    /// This text or word.
    Text(&'static str),
    /// A value that follows from something else, as described.
    Derived(&'static str),
    /// Nothing: the knob is off unless set.
    Absent,
    /// The file must say it.
    Required,
}

/// What a change of a knob needs in order to take hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A restart of the process.
    Restart,
}

impl Unit {
    /// Reads text in this unit into base units; for the number-like units with a suffix.
    ///
    /// # Errors
    /// What is wrong with the text. [`UnitFault::NoNumber`] for the units that are not numbers.
    pub fn parse(self, text: &str) -> Result<u64, UnitFault> {
        match self {
            Self::Bytes => parse_bytes(text),
            Self::Time => parse_millis(text),
            Self::Rate => parse_rate(text),
            Self::Count | Self::Choice(_) | Self::Text(_) | Self::List(_) | Self::Flag => {
                Err(UnitFault::NoNumber)
            }
        }
    }

    /// Writes a number of base units so that it can be typed back.
    #[must_use]
    pub fn show(self, value: u64) -> String {
        match self {
            Self::Bytes => Bytes(value).to_string(),
            Self::Time => Millis(value).to_string(),
            Self::Rate => BytesPerSecond(value).to_string(),
            Self::Count | Self::Choice(_) | Self::Text(_) | Self::List(_) | Self::Flag => {
                value.to_string()
            }
        }
    }

    /// Whether values are numbers, with bounds.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Count | Self::Bytes | Self::Time | Self::Rate)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => out.write_str("count"),
            Self::Bytes => out.write_str("size"),
            Self::Time => out.write_str("duration"),
            Self::Rate => out.write_str("size per second"),
            Self::Choice(words) => out.write_str(&words.join(" | ")),
            Self::Text(what) => out.write_str(what),
            Self::List(what) => write!(out, "list of {what}"),
            Self::Flag => out.write_str("true or false"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart => out.write_str("restart"),
        }
    }
}

impl Knob {
    /// The last part of the key: what stands before the `=`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.key.rsplit('.').next().unwrap_or(self.key)
    }

    /// The default as text for people.
    #[must_use]
    pub fn preset_text(&self) -> String {
        match self.preset {
            Preset::Number(value) => self.unit.show(value),
            Preset::Text(text) | Preset::Derived(text) => text.to_owned(),
            Preset::Absent => "not set".to_owned(),
            Preset::Required => "must be set".to_owned(),
        }
    }

    /// The bounds as text for people; empty for what is no number.
    #[must_use]
    pub fn bounds_text(&self) -> String {
        if self.unit.is_number() {
            format!("{} to {}", self.unit.show(self.least), self.unit.show(self.most))
        } else {
            String::new()
        }
    }
}

/// The table as text for a terminal, at most 100 columns wide.
#[must_use]
pub fn help() -> String {
    let mut text = String::from("Config keys (sizes: 64MiB, durations: 10s, lists: [\"a\"]):\n");
    for knob in ALL {
        let bounds = knob.bounds_text();
        let between = if bounds.is_empty() { "" } else { ", " };
        let unit = knob.unit;
        let default = if knob.preset == Preset::Required { "" } else { "default: " };
        let (key, preset) = (knob.key, knob.preset_text());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n  {key}  ({unit}{between}{bounds}; {default}{preset})");
        for line in wrap(knob.doc, 92) {
            let _ = writeln!(text, "      {line}");
        }
    }
    text
}

/// The table as a Markdown page: `knobs.md` beside this file is this text, and a test says so.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "| key | value | default | bounds | change needs | what it does |\n\
         |---|---|---|---|---|---|\n",
    );
    for knob in ALL {
        let unit = knob.unit.to_string().replace('|', "or");
        let (preset, bounds) = (knob.preset_text(), knob.bounds_text());
        let Knob { key, change, doc, .. } = knob;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{key}` | {unit} | {preset} | {bounds} | {change} | {doc} |");
    }
    text
}

fn wrap(text: &str, columns_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().filter(|line| line.len() + 1 + word.len() <= columns_max);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

macro_rules! knobs {
    ($($name:ident = $key:literal, $unit:expr, $preset:expr, $least:expr, $most:expr,
        $doc:literal;)*) => {
        $(
            #[doc = concat!("`", $key, "`: ", $doc)]
            pub static $name: Knob = Knob {
                key: $key,
                unit: $unit,
                preset: $preset,
                least: $least,
                most: $most,
                change: Change::Restart,
                doc: $doc,
            };
        )*
        /// Every row, in the order in which the file would say them.
        pub static ALL: &[&Knob] = &[$(&$name),*];
    };
}

use Preset::{Absent, Derived, Number, Required};
use Unit::{Choice, Count, Flag, List, Rate, Time};

knobs! {
    SERVER_WORKERS = "server.workers", Count, Derived("the number of cores"), 1, 512,
        "Threads that serve clients, each with its own ring and its own share of the connections.";
    SERVER_MAX_CONNECTIONS = "server.max_connections", Count, Number(20_000), 64, 8_388_608,
        "Connections held at once, parked ones included, in all workers together. Memory is \
         computed from it.";
    SERVER_TRANSPORT = "server.transport", Choice(&["auto", "uring", "epoll"]),
        Preset::Text("auto"), 0, 0,
        "How sockets are driven: io_uring, or epoll and no ring anywhere. `auto` takes io_uring \
         where the host allows it; the log and `/status.json` say what it is, and why.";
    SERVER_MEMORY = "server.memory", Unit::Bytes, Absent, 4 * MIB, 1024 * TIB,
        "Memory that the edge may use, the kernel's for its sockets included. From 80 % of it the \
         edge saves in stages, up to closing the connections parked for longest. The bounds of the \
         cgroup and the machine hold besides.";
    SERVER_DRAIN_TIMEOUT = "server.drain_timeout", Time, Number(30 * SECOND), SECOND, HOUR,
        "After the first SIGTERM: how long exchanges that have begun may take before they are cut.";

    LISTENER_ADDRESS = "listener.address", Unit::Text("IP:port"), Required, 0, 0,
        "Where clients connect. Port 0 lets the kernel choose; the choice is said at start.";

    LISTENER_REDIRECT = "listener.redirect", Unit::Text("URL template"), Absent, 0, 0,
        "Answer every request there with a redirect (308) to this URL, such as \
         \"https://{name}{path}{query}\"; {name} is the request's host without its port, the rest \
         as in site.rule.redirect.";
    LISTENER_TLS_CERTIFICATE = "listener.tls.certificate", Unit::Text("file"), Absent, 0, 0,
        "PEM file of the listener's certificate, with the chain behind it: it then serves https. \
         Relative to the folder of the config file, as the other files; all are read again on \
         SIGHUP and when they have changed, without touching connections.";
    LISTENER_TLS_KEY = "listener.tls.key", Unit::Text("file"), Absent, 0, 0,
        "PEM file of the certificate's private key.";
    LISTENER_TLS_OCSP = "listener.tls.ocsp", Unit::Text("file"), Absent, 0, 0,
        "DER file of an OCSP response for the certificate, which clients are given with it until \
         it is to be replaced (nextUpdate).";
    LISTENER_TLS_CLIENT_CA = "listener.tls.client_ca", Unit::Text("file"), Absent, 0, 0,
        "PEM file of the authorities that client certificates are checked against.";
    LISTENER_TLS_CLIENT_AUTH = "listener.tls.client_auth", Choice(&["optional", "required"]),
        Derived("required where client_ca is set"), 0, 0,
        "Whether a client may or must show a certificate.";
    LISTENER_TLS_MIN_VERSION = "listener.tls.min_version", Choice(&["1.2", "1.3"]),
        Preset::Text("1.2"), 0, 0,
        "Lowest version of TLS that is spoken.";
    LISTENER_TLS_RECORD_LAYER = "listener.tls.record_layer", Choice(&["own", "rustls"]),
        Preset::Text("own"), 0, 0,
        "Who protects the records of TLS 1.3: with own a resting connection keeps 128B, with \
         rustls some KiB. TLS 1.2 is always rustls' own.";
    LISTENER_TLS_TICKET_ROTATION = "listener.tls.ticket_rotation", Time, Number(6 * HOUR), MINUTE,
        84 * HOUR,
        "How often the key of session tickets changes: a client that comes back within one to two \
         of these resumes its session. 0 for no tickets.";
    LISTENER_TLS_CERTIFICATES_CERTIFICATE = "listener.tls.certificates.certificate",
        Unit::Text("file"), Required, 0, 0,
        "The same in a list of several certificates, of which the client's server name chooses; \
         the first answers for names that none of them has.";
    LISTENER_TLS_CERTIFICATES_KEY = "listener.tls.certificates.key", Unit::Text("file"), Required,
        0, 0,
        "PEM file of this certificate's private key.";
    LISTENER_TLS_CERTIFICATES_OCSP = "listener.tls.certificates.ocsp", Unit::Text("file"), Absent,
        0, 0,
        "DER file of an OCSP response for this certificate.";

    STORE_PATH = "store.path", Unit::Text("folder"), Preset::Text("cache"), 0, 0,
        "Folder of a store on one device; made when missing. Relative to the folder of the config \
         file.";
    STORE_SIZE = "store.size", Unit::Bytes, Number(GIB), 16 * MIB, 64 * TIB,
        "Bytes for records, taken from the disk at the first start and never changed after. The \
         file is larger by the areas in front of the segments; `edge check` prints how large.";
    STORE_SEGMENT = "store.segment", Unit::Bytes,
        Derived("64MiB, or less so that 16 fit the smallest device"), MIB, 64 * MIB,
        "Size of one segment on disk: the unit in which old objects give way to new ones. Larger \
         objects are cut into slices. Whole MiB, and each device must hold at least 8.";
    STORE_OBJECTS_MAX = "store.objects_max", Count,
        Derived("one for each 8KiB on all devices"), 1024, 12_000_000_000,
        "Objects that the index has room for; each takes 16 B of memory and a third more, so that \
         none is displaced.";
    STORE_MEMORY = "store.memory", Unit::Bytes,
        Derived("a tenth of all devices, at most 256MiB"), MIB, 16 * TIB,
        "Size of the memory tier, where new objects begin; those that are asked for again reach a \
         disk when they leave it. Its pages are taken as they are used. 0 for none.";
    STORE_SHORT_LIFETIME = "store.short_lifetime", Time, Number(10 * MINUTE), SECOND, 24 * HOUR,
        "Objects of no use after this time share segments, which are dropped whole when the last \
         has expired.";
    STORE_WRITE_PATIENCE = "store.write_patience", Time, Number(100), 1, HOUR,
        "How long an answer may wait for the store, and a disk may take for one write. One that \
         takes longer is spared, and what comes is served without being stored, until it answers \
         in time again.";
    STORE_DEVICES_PATH = "store.devices.path", Unit::Text("folder"), Required, 0, 0,
        "Folder of one device of a store on several, instead of store.path. A device that is \
         added is made and filled; what lay on one that is left out is fetched again.";
    STORE_DEVICES_SIZE = "store.devices.size", Unit::Bytes, Required, 16 * MIB, 64 * TIB,
        "Bytes for records on this device, as store.size.";

    LIMITS_HEAD_MAX = "limits.head_max", Unit::Bytes, Number(32 * KIB), KIB, 256 * KIB,
        "Size of a request's head; beyond it 431.";
    LIMITS_FIELDS_MAX = "limits.fields_max", Count, Number(100), 8, 100,
        "Field lines in a request's head; beyond them 431.";
    LIMITS_TARGET_MAX = "limits.target_max", Unit::Bytes,
        Derived("8KiB, or limits.head_max if that is less"), 256, 64 * KIB,
        "Size of a request's target; beyond it 414.";
    LIMITS_HEAD_TIMEOUT = "limits.head_timeout", Time, Number(10 * SECOND), 100, 10 * MINUTE,
        "How long a head may take from its first byte to its end; beyond it 408.";
    LIMITS_BODY_RATE_MIN = "limits.body_rate_min", Rate, Number(KIB), 1, GIB,
        "Least rate of a request body, and of a client that takes a response; below it the \
         connection is closed.";
    LIMITS_BODY_GRACE = "limits.body_grace", Time, Number(5 * SECOND), 100, 10 * MINUTE,
        "How long a body may lag behind that rate before it counts.";
    LIMITS_IDLE_TIMEOUT = "limits.idle_timeout", Time, Number(75 * SECOND), SECOND, 24 * HOUR,
        "How long a connection may rest between two exchanges, and before its first.";
    LIMITS_BUFFERS_MAX = "limits.buffers_max", Count, Number(1024), 16, 1_048_576,
        "Receive buffers of 16KiB in each worker. Only connections with bytes in hand hold one.";
    LIMITS_STAGING_MAX = "limits.staging_max", Count, Number(64), 4, 65_536,
        "Staging blocks of 256KiB through which bodies reach the store, and the bound of all \
         response windows together; a response that finds none left is served unstored.";
    LIMITS_OBJECT_MAX = "limits.object_max", Unit::Bytes,
        Derived("1GiB, or half the largest device if less"), KIB, 32 * TIB,
        "Largest body that is stored, at most half of the largest device; larger ones are \
         streamed through.";
    LIMITS_DOWNLOAD_WINDOW = "limits.download_window", Unit::Bytes, Number(MIB), 64 * KIB, 64 * MIB,
        "Bytes of one response from an origin held in memory while its slowest reader lags; then \
         the origin waits.";
    LIMITS_UPLOAD_WINDOW = "limits.upload_window", Unit::Bytes, Number(256 * KIB), 16 * KIB,
        16 * MIB,
        "Bytes of one request body held in memory while the origin lags; then the client waits.";
    LIMITS_UNSENT_MAX = "limits.unsent_max", Unit::Bytes, Number(256 * KIB), 16 * KIB, 1024 * MIB,
        "Bytes of an answer that the kernel takes for one connection beyond what it may send at \
         once (TCP_NOTSENT_LOWAT). A client that does not read holds no more than that, and what \
         its own window takes.";
    LIMITS_LEADER_WAIT = "limits.leader_wait", Time, Number(10 * SECOND), 10, HOUR,
        "How long requests for the same thing wait for the head that one of them has asked for; \
         then the one that has waited longest asks the origin, too, twice at most.";
    LIMITS_FOLLOWER_WAIT = "limits.follower_wait", Time, Number(30 * SECOND), 10, HOUR,
        "How long one request waits for a head that another has asked for; then it asks for \
         itself alone.";
    LIMITS_HIT_FOR_MISS = "limits.hit_for_miss", Time, Number(2 * MINUTE), 10, 24 * HOUR,
        "How long it is remembered that a response could not be shared: requests for it do not \
         wait for each other.";
    LIMITS_TUNNEL_LIFETIME = "limits.tunnel_lifetime", Time, Absent, SECOND, 365 * 24 * HOUR,
        "How long a tunnel, or an endless response, may last, however busy it is.";
    LIMITS_LOG_QUEUE_MAX = "limits.log_queue_max", Count, Number(8192), 16, 1_048_576,
        "Access log lines that may wait in each worker; beyond them lines are dropped and counted.";
    LIMITS_HANDSHAKES_MAX = "limits.handshakes_max", Count, Number(4096), 1, 1_048_576,
        "TLS handshakes in flight at once, in all workers together; what comes beyond them waits \
         in line, without memory of its own.";
    LIMITS_CONNECTIONS_PER_SOURCE = "limits.connections_per_source", Count, Absent, 1, 8_388_608,
        "Connections at once from one address, or one IPv6 network of 64 bits; each worker has an \
         equal part of them. What comes beyond is closed.";
    LIMITS_HANDSHAKES_PER_SOURCE = "limits.handshakes_per_source", Count, Number(256), 1,
        1_048_576,
        "TLS handshakes in flight at once from one address, or one IPv6 network of 64 bits, in \
         each worker; what comes beyond them is closed.";
    LIMITS_HANDSHAKE_RATE = "limits.handshake_rate", Count, Absent, 1, 1_000_000,
        "TLS handshakes begun per second in each worker; what comes beyond them waits in line.";
    LIMITS_HANDSHAKE_TIMEOUT = "limits.handshake_timeout", Time, Number(10 * SECOND), 100,
        10 * MINUTE,
        "How long a client may take from its connection to the end of its handshake, and later \
         for the rest of a record that has begun.";

    SITE_HOSTS = "site.hosts", List("host names"), Required, 0, 0,
        "Hosts that the site answers for: \"www.example.com\", \"*.example.com\" for all below \
         it, or \"*\" for every other.";
    SITE_IDLE_TIMEOUT = "site.idle_timeout", Time, Derived("limits.idle_timeout"), SECOND,
        24 * HOUR,
        "How long a client's connection may rest between two exchanges after it has asked for \
         this site.";
    SITE_REQUESTS_MAX = "site.requests_max", Count, Absent, 1, 8_388_608,
        "Requests for the site in progress at once, hits and uploads included; beyond them 503 \
         with Retry-After.";
    SITE_TUNNEL = "site.tunnel", List("protocols"), Derived("[\"websocket\"]"), 0, 0,
        "Protocols to which a connection may change, as Upgrade names them, \"*\" for all but \
         HTTP and TLS; \"connect\" for the method CONNECT; or none alone. Each takes two of \
         server.max_connections.";
    SITE_TUNNEL_IDLE = "site.tunnel_idle", Time, Number(HOUR), SECOND, 365 * 24 * HOUR,
        "How long a tunnel, or an endless response, may be silent both ways.";
    SITE_ORIGIN_URLS = "site.origin.urls", List("URLs"), Required, 0, 0,
        "Where the site's content comes from: http:// or https://, host, and port if it is not \
         the usual one.";
    SITE_ORIGIN_CA = "site.origin.ca", Unit::Text("file"), Absent, 0, 0,
        "PEM file of the authorities that https origins are checked against, instead of the \
         platform's. Relative to the folder of the config file.";
    SITE_ORIGIN_CONNECT_TIMEOUT = "site.origin.connect_timeout", Time, Number(5 * SECOND), 10,
        10 * MINUTE,
        "How long a connection to the origin may take to open, TLS included.";
    SITE_ORIGIN_FIRST_BYTE_TIMEOUT = "site.origin.first_byte_timeout", Time, Number(30 * SECOND),
        10, HOUR,
        "How long the origin may take from the end of the request to the head of its response.";
    SITE_ORIGIN_BETWEEN_BYTES_TIMEOUT = "site.origin.between_bytes_timeout", Time,
        Number(30 * SECOND), 10, HOUR,
        "How long the origin may be silent within a body.";
    SITE_ORIGIN_CONNECTIONS_MAX = "site.origin.connections_max", Count, Number(256), 1, 65_536,
        "Connections to the site's origin at once.";
    SITE_ORIGIN_SOURCE_ADDRESSES = "site.origin.source_addresses", List("IP addresses"),
        Derived("the system's choice"), 0, 0,
        "Addresses of this host from which the origin is connected to, in turn, tunnels included. \
         One has ports for some 28,000 connections to one address of the origin \
         (net.ipv4.ip_local_port_range). One that the host does not have, or that is of another \
         family than all urls, is refused.";
    SITE_ORIGIN_QUEUE_MAX = "site.origin.queue_max", Count, Number(1024), 1, 1_048_576,
        "Fetches that may wait for such a connection; the next one is answered 503 with \
         Retry-After.";
    SITE_ORIGIN_IDLE_TIMEOUT = "site.origin.idle_timeout", Time, Number(60 * SECOND), SECOND, HOUR,
        "How long an unused connection to the origin is kept for the next fetch.";

    RULE_PATH = "site.rule.path", List("path patterns"), Absent, 0, 0,
        "Paths for which the rule holds, in their normal form and without a query; `*` stands for \
         any characters, also for `/`. Every path when not set. The first rule of a site that \
         matches holds, with what `[site.defaults]` says beneath it; a key of the rule takes the \
         place of the same key there.";
    RULE_METHODS = "site.rule.methods", List("methods"), Absent, 0, 0,
        "Methods for which the rule holds; GET stands for HEAD, too. Every method when not set.";
    RULE_FRESHNESS = "site.rule.freshness", Choice(&["origin", "default", "override", "ignore"]),
        Derived("origin"), 0, 0,
        "How long responses are fresh: as the origin says; for `lifetime` where it says nothing; \
         for `lifetime` whatever it says; or, with ignore, not at all.";
    RULE_LIFETIME = "site.rule.lifetime", Time, Absent, SECOND, 8760 * HOUR,
        "The lifetime for freshness = \"default\" and \"override\".";
    RULE_NEGATIVE_LIFETIME = "site.rule.negative_lifetime", Time, Absent, SECOND, 24 * HOUR,
        "How long an error is fresh of which the origin says nothing: 404, 405, 410, 414, 451 and \
         501.";
    RULE_GRACE = "site.rule.grace", Time, Absent, SECOND, 8760 * HOUR,
        "How long a stale response may still be served: while it is fetched anew, and when the \
         origin fails. Added to what the origin allows.";
    RULE_STORE_SET_COOKIE = "site.rule.store_set_cookie", Flag, Derived("true"), 0, 0,
        "Whether responses with Set-Cookie are stored, as RFC 9111 section 7.3 has it.";
    RULE_S_MAXAGE_REVALIDATES = "site.rule.s_maxage_revalidates", Flag, Derived("true"), 0, 0,
        "Whether s-maxage forbids stale answers, as RFC 9111 section 5.2.2.10 has it. Many an \
         origin sends it beside stale-while-revalidate and means the latter.";
    RULE_BYPASS = "site.rule.bypass", Flag, Derived("false"), 0, 0,
        "Forward requests as they are and store nothing.";
    RULE_COLLAPSE = "site.rule.collapse", Flag, Derived("true"), 0, 0,
        "Whether requests that miss at the same time share one fetch.";
    RULE_QUERY = "site.rule.query", Choice(&["all", "none", "only", "without"]), Derived("all"),
        0, 0,
        "Which fields of a query belong to the target, in the key and towards the origin: all, \
         none, only those of `query_fields`, or all but those. GET and HEAD only.";
    RULE_QUERY_FIELDS = "site.rule.query_fields", List("query fields"), Absent, 0, 0,
        "Names of query fields; `*` stands for any characters, as in \"utm_*\".";
    RULE_KEY_FIELDS = "site.rule.key_fields", List("request fields"), Absent, 0, 0,
        "Request fields by which responses are kept apart, as if each named them in Vary.";
    RULE_KEY_COOKIES = "site.rule.key_cookies", List("cookies"), Absent, 0, 0,
        "Cookies by which responses are kept apart.";
    RULE_REQUEST_REMOVE = "site.rule.request_remove", List("field names"), Absent, 0, 0,
        "Fields taken out of requests before anything looks at them.";
    RULE_REQUEST_SET = "site.rule.request_set", List("field lines"), Absent, 0, 0,
        "Fields put into requests in place of those of their name, as \"Name: value\".";
    RULE_RESPONSE_REMOVE = "site.rule.response_remove", List("field names"), Absent, 0, 0,
        "Fields taken out of the origin's responses before anything looks at them. What is stored \
         already stays as it is.";
    RULE_RESPONSE_SET = "site.rule.response_set", List("field lines"), Absent, 0, 0,
        "Fields put into the origin's responses in place of those of their name; Cache-Control \
         set here counts as the origin's.";
    RULE_REDIRECT = "site.rule.redirect", Unit::Text("URL template"), Absent, 0, 0,
        "Answer with a redirect to this URL, in which {host}, {path} and {query} (with its `?`) \
         stand for the request's, and {name} for its host without the port.";
    RULE_REDIRECT_STATUS = "site.rule.redirect_status", Count, Number(302), 301, 308,
        "Status of the redirect: 301, 302, 303, 307 or 308.";
    RULE_OBJECT_MAX = "site.rule.object_max", Unit::Bytes, Derived("limits.object_max"), KIB,
        32 * TIB,
        "Largest body that is stored; larger ones are streamed through.";
    RULE_COMPRESS = "site.rule.compress", List("codings"), Absent, 0, 0,
        "Codings for responses that the origin sends plain, the preferred first: br, zstd, gzip; \
         or none alone. Each coding is stored beside the others; entity tags become weak.";
    RULE_COMPRESS_TYPES = "site.rule.compress_types", List("media types"),
        Derived("text and the like"), 0, 0,
        "Media types that are compressed; `*` stands for any characters, as in \"text/*\".";
    RULE_COMPRESS_MIN = "site.rule.compress_min", Unit::Bytes, Number(KIB), 1, GIB,
        "Shorter bodies stay plain, where the origin says their length.";

    ADMIN_ADDRESS = "admin.address", Unit::Text("IP:port or unix:PATH"),
        Preset::Text("127.0.0.1:9900"), 0, 0,
        "Where the admin API listens. An address that is not loopback needs admin.token.";
    ADMIN_TOKEN = "admin.token", Unit::Text("16 to 256 visible characters"), Absent, 0, 0,
        "Secret that admin requests carry as \"Authorization: Bearer …\"; /healthz, /readyz and \
         the page itself need none.";

    ACCESS_LOG_PATH = "access_log.path", Unit::Text("stdout, stderr, off, or a file"),
        Preset::Text("stdout"), 0, 0,
        "Where one line per exchange goes. A file is opened anew on SIGHUP. Relative to the \
         folder of the config file.";
    ACCESS_LOG_FORMAT = "access_log.format", Choice(&["json", "text"]), Preset::Text("json"), 0, 0,
        "Form of the line.";

    LOG_FORMAT = "log.format", Choice(&["text", "json"]), Preset::Text("text"), 0, 0,
        "Form of the log of starts, faults and drains, which goes to stderr.";
    LOG_LEVEL = "log.level", Choice(&["error", "warn", "info", "debug"]), Preset::Text("info"),
        0, 0,
        "Least weight of what is logged. Single requests are the access log's.";
}
