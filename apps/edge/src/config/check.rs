//! From what was typed to what it means: part by part, then the relations between parts.
//!
//! After a fault a part goes on with the default, so that one run tells every fault; what it then
//! made is dropped.

use std::path::PathBuf;

use serde::Deserialize;
use toml::de::{DeTable, Deserializer};

use super::checked::{
    AccessLog, Admin, AdminAddress, Checked, Handshakes, Limits, Listener, Log, LogFormat,
    LogLevel, LogTarget, Server, Store, TransportChoice,
};
use super::fault::{Cause, Fault, Faults};
use super::knobs;
use super::memory::{STAGING_BYTES, store_config};
use super::raw::{self, Cell};
use super::resolve::Resolver;
use super::source::Source;
use super::units::{Bytes, BytesPerSecond, GIB, KIB, Millis};
use super::{listeners, names, shape, sites, store};

/// Checks a config.
///
/// # Errors
/// Everything that is wrong with it. Names are judged before values, so values are only judged in
/// a file whose every key is known.
pub fn check(source: &Source) -> Result<Checked, Faults> {
    let file = parse(source)?;
    let mut resolver = Resolver::new(source);
    let server = server(&mut resolver, &file.server);
    let listeners = listeners::listeners(&mut resolver, &file.listener);
    let store = store::store(&mut resolver, &file.store);
    let limits = limits(&mut resolver, &file.limits, &store);
    let sites = sites::sites(&mut resolver, &file.site, (limits.idle_timeout, limits.object_max));
    let admin = admin(&mut resolver, &file.admin, &listeners);
    let access_log = access_log(&mut resolver, &file.access_log);
    let log = log(&mut resolver, &file.log);
    let Resolver { mut faults, effective, .. } = resolver;
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.place.map(|place| (place.line, place.column)));
        // A site's defaults are judged with each of its rules.
        faults.dedup();
        return Err(Faults(faults));
    }
    let listeners = listeners.into_iter().map(|(listener, _)| listener).collect();
    let checked = Checked {
        file: source.name.clone(),
        server,
        listeners,
        store,
        sites,
        admin,
        access_log,
        log,
        limits,
        effective,
    };
    // The store has the last word on what it can be.
    match store_config(&checked).disk_bytes() {
        Ok(_) => Ok(checked),
        Err(why) => Err(Faults(vec![source.fault(None, "[store]", Cause::NoStore(why))])),
    }
}

/// The stage of shape: TOML, known names, tables where tables belong.
fn parse(source: &Source) -> Result<raw::File, Faults> {
    let syntax = |error: toml::de::Error| Faults(vec![syntax_fault(source, &error)]);
    let table = DeTable::parse(&source.text).map_err(syntax)?;
    let misfits = shape::misfits(table.get_ref());
    if misfits.is_empty() {
        return raw::File::deserialize(Deserializer::from(table)).map_err(syntax);
    }
    let mut faults: Vec<Fault> = misfits
        .into_iter()
        .map(|misfit| source.fault(Some(misfit.span.start), &misfit.key, misfit.cause))
        .collect();
    faults.sort_by_key(|fault| fault.place.map(|place| (place.line, place.column)));
    Err(Faults(faults))
}

fn syntax_fault(source: &Source, error: &toml::de::Error) -> Fault {
    let at = error.span().map(|span| span.start);
    source.fault(at, "", Cause::Syntax(error.message().to_owned()))
}

fn server(resolver: &mut Resolver<'_>, typed: &raw::Server) -> Server {
    resolver.enter("[server]", 0);
    let cores = resolver.source.cores as u64;
    let workers = resolver.number_or(&knobs::SERVER_WORKERS, &typed.workers, cores);
    let connections = &typed.max_connections;
    let max_connections = resolver.number(&knobs::SERVER_MAX_CONNECTIONS, connections);
    if max_connections < workers {
        let cause = Cause::FewerConnectionsThanWorkers { workers };
        let at = start(connections).or(start(&typed.workers));
        resolver.fault(at, knobs::SERVER_MAX_CONNECTIONS.key, cause);
    }
    let transport = transport(resolver, &typed.transport);
    let memory = resolver.number_if(&knobs::SERVER_MEMORY, &typed.memory);
    let drain_timeout = resolver.number(&knobs::SERVER_DRAIN_TIMEOUT, &typed.drain_timeout);
    Server {
        workers: to_usize(workers),
        max_connections: to_u32(max_connections),
        transport,
        memory: memory.map(Bytes),
        drain_timeout: Millis(drain_timeout),
    }
}

fn transport(resolver: &mut Resolver<'_>, typed: &Cell) -> TransportChoice {
    let said = resolver.text(&knobs::SERVER_TRANSPORT, typed);
    match said.as_ref().map(|said| said.text.as_str()) {
        Some("uring") => TransportChoice::Uring,
        Some("epoll") => TransportChoice::Epoll,
        Some(_) | None => TransportChoice::Auto,
    }
}

fn limits(resolver: &mut Resolver<'_>, typed: &raw::Limits, store: &Store) -> Limits {
    resolver.enter("[limits]", 0);
    let head_max = resolver.number(&knobs::LIMITS_HEAD_MAX, &typed.head_max);
    let fields_max = resolver.number(&knobs::LIMITS_FIELDS_MAX, &typed.fields_max);
    let target_max = target_max(resolver, typed, head_max);
    let head_timeout = resolver.number(&knobs::LIMITS_HEAD_TIMEOUT, &typed.head_timeout);
    let body_rate_min = resolver.number(&knobs::LIMITS_BODY_RATE_MIN, &typed.body_rate_min);
    let body_grace = resolver.number(&knobs::LIMITS_BODY_GRACE, &typed.body_grace);
    let idle_timeout = resolver.number(&knobs::LIMITS_IDLE_TIMEOUT, &typed.idle_timeout);
    let buffers_max = resolver.number(&knobs::LIMITS_BUFFERS_MAX, &typed.buffers_max);
    let staging_max = resolver.number(&knobs::LIMITS_STAGING_MAX, &typed.staging_max);
    let object_max = object_max(resolver, typed, store);
    let download_window = download_window(resolver, typed, staging_max);
    let upload_window = resolver.number(&knobs::LIMITS_UPLOAD_WINDOW, &typed.upload_window);
    let unsent_max = resolver.number(&knobs::LIMITS_UNSENT_MAX, &typed.unsent_max);
    let leader_wait = resolver.number(&knobs::LIMITS_LEADER_WAIT, &typed.leader_wait);
    let follower_wait = resolver.number(&knobs::LIMITS_FOLLOWER_WAIT, &typed.follower_wait);
    let hit_for_miss = resolver.number(&knobs::LIMITS_HIT_FOR_MISS, &typed.hit_for_miss);
    let knob = &knobs::LIMITS_TUNNEL_LIFETIME;
    let tunnel_lifetime = resolver.number_or_none(knob, &typed.tunnel_lifetime);
    let log_queue_max = resolver.number(&knobs::LIMITS_LOG_QUEUE_MAX, &typed.log_queue_max);
    let knob = &knobs::LIMITS_CONNECTIONS_PER_SOURCE;
    let connections_per_source = resolver.number_if(knob, &typed.connections_per_source);
    let handshakes = handshakes(resolver, typed);
    Limits {
        head_max: Bytes(head_max),
        fields_max: to_usize(fields_max),
        target_max: Bytes(target_max),
        head_timeout: Millis(head_timeout),
        body_rate_min: BytesPerSecond(body_rate_min),
        body_grace: Millis(body_grace),
        idle_timeout: Millis(idle_timeout),
        buffers_max: to_u32(buffers_max),
        staging_max: to_u32(staging_max),
        object_max: Bytes(object_max),
        download_window: Bytes(download_window),
        upload_window: Bytes(upload_window),
        unsent_max: Bytes(unsent_max),
        leader_wait: Millis(leader_wait),
        follower_wait: Millis(follower_wait),
        hit_for_miss: Millis(hit_for_miss),
        tunnel_lifetime: tunnel_lifetime.map(Millis),
        log_queue_max: to_usize(log_queue_max),
        connections_per_source: connections_per_source.unwrap_or(0),
        handshakes,
    }
}

fn handshakes(resolver: &mut Resolver<'_>, typed: &raw::Limits) -> Handshakes {
    let most = resolver.number(&knobs::LIMITS_HANDSHAKES_MAX, &typed.handshakes_max);
    let knob = &knobs::LIMITS_HANDSHAKES_PER_SOURCE;
    let per_source = resolver.number(knob, &typed.handshakes_per_source);
    let rate = resolver.number_if(&knobs::LIMITS_HANDSHAKE_RATE, &typed.handshake_rate);
    let timeout = resolver.number(&knobs::LIMITS_HANDSHAKE_TIMEOUT, &typed.handshake_timeout);
    Handshakes {
        most: to_u32(most),
        per_source: to_u32(per_source),
        rate: rate.map(to_u32),
        timeout: Millis(timeout),
    }
}

fn target_max(resolver: &mut Resolver<'_>, typed: &raw::Limits, head_max: u64) -> u64 {
    let knob = &knobs::LIMITS_TARGET_MAX;
    let derived = TARGET_BYTES_USUAL.min(head_max);
    let target_max = resolver.number_or(knob, &typed.target_max, derived);
    if target_max > head_max {
        let cause = Cause::TargetBeyondHead { head: Bytes(head_max).to_string() };
        resolver.fault(start(&typed.target_max), knob.key, cause);
    }
    target_max
}

fn object_max(resolver: &mut Resolver<'_>, typed: &raw::Limits, store: &Store) -> u64 {
    let knob = &knobs::LIMITS_OBJECT_MAX;
    // Whole segments, as the store counts.
    let segment = store.segment.0.max(1);
    let sizes = store.devices.iter().map(|device| device.size.0 / segment * segment);
    let half = sizes.max().unwrap_or_default() / 2;
    let object_max = resolver.number_or(knob, &typed.object_max, half.min(OBJECT_BYTES_MOST));
    if object_max > half {
        let cause = Cause::ObjectBeyondDevice { half: Bytes(half).to_string() };
        resolver.fault(start(&typed.object_max), knob.key, cause);
    }
    object_max
}

fn download_window(resolver: &mut Resolver<'_>, typed: &raw::Limits, blocks: u64) -> u64 {
    let knob = &knobs::LIMITS_DOWNLOAD_WINDOW;
    let window = resolver.number(knob, &typed.download_window);
    let staging = Bytes(blocks * STAGING_BYTES);
    if window > staging.0 {
        let at = start(&typed.download_window).or(start(&typed.staging_max));
        resolver.fault(at, knob.key, Cause::WindowBeyondStaging { staging: staging.to_string() });
    }
    window
}

fn admin(
    resolver: &mut Resolver<'_>,
    typed: &raw::Admin,
    listeners: &[(Listener, usize)],
) -> Admin {
    resolver.enter("[admin]", 0);
    let address = admin_address(resolver, &typed.address).unwrap_or(ADMIN_ADDRESS_NONE);
    let token = resolver.secret(&knobs::ADMIN_TOKEN, &typed.token);
    if let Some(said) = &token {
        let visible = said.text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible || !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&said.text.len()) {
            resolver.fault(said.at, knobs::ADMIN_TOKEN.key, Cause::BadToken);
        }
    }
    if let AdminAddress::Tcp(tcp) = address {
        if !tcp.ip().is_loopback() && typed.token.is_none() {
            resolver.fault(start(&typed.address), ADMIN_KEY, Cause::AdminWithoutToken);
        }
        let taken = listeners.iter().find(|(listener, _)| listener.address == tcp);
        if let Some((_, at)) = taken.filter(|_| tcp.port() != 0) {
            let first_line = resolver.source.place(*at).line;
            let cause = Cause::Duplicate { value: tcp.to_string(), first_line };
            resolver.fault(start(&typed.address), ADMIN_KEY, cause);
        }
    }
    Admin { address, token: token.map(|said| said.text) }
}

fn admin_address(resolver: &mut Resolver<'_>, typed: &Cell) -> Option<AdminAddress> {
    let said = resolver.text(&knobs::ADMIN_ADDRESS, typed)?;
    let address = names::admin_address(&said.text, &resolver.source.folder);
    match &address {
        Some(address) => resolver.show_as(&address.to_string()),
        None => {
            let cause = Cause::NotAnAdminAddress(format!("{:?}", said.text));
            resolver.fault(said.at, ADMIN_KEY, cause);
        }
    }
    address
}

fn access_log(resolver: &mut Resolver<'_>, typed: &raw::AccessLog) -> AccessLog {
    resolver.enter("[access_log]", 0);
    let said = resolver.text(&knobs::ACCESS_LOG_PATH, &typed.path);
    let target = match said.as_ref().map(|said| said.text.as_str()) {
        Some("off") => LogTarget::Off,
        Some("stderr") => LogTarget::Stderr,
        Some("stdout") | None => LogTarget::Stdout,
        Some(file) => {
            let path = resolver.source.folder.join(file);
            resolver.show_as(&path.to_string_lossy());
            LogTarget::File(path)
        }
    };
    let format = match resolver.text(&knobs::ACCESS_LOG_FORMAT, &typed.format) {
        Some(said) if said.text == "text" => LogFormat::Text,
        Some(_) | None => LogFormat::Json,
    };
    AccessLog { target, format }
}

fn log(resolver: &mut Resolver<'_>, typed: &raw::Log) -> Log {
    resolver.enter("[log]", 0);
    let format = match resolver.text(&knobs::LOG_FORMAT, &typed.format) {
        Some(said) if said.text == "json" => LogFormat::Json,
        Some(_) | None => LogFormat::Text,
    };
    let level = match resolver.text(&knobs::LOG_LEVEL, &typed.level) {
        Some(said) if said.text == "error" => LogLevel::Error,
        Some(said) if said.text == "warn" => LogLevel::Warn,
        Some(said) if said.text == "debug" => LogLevel::Debug,
        Some(_) | None => LogLevel::Info,
    };
    Log { format, level }
}

/// Where a value stands, if the file says it.
pub(super) fn start(cell: &Cell) -> Option<usize> {
    cell.as_ref().map(|cell| cell.span().start)
}

/// For values whose row bounds them far below the type's greatest.
pub(super) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

pub(super) fn to_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

const ADMIN_KEY: &str = knobs::ADMIN_ADDRESS.key;
/// Stands for an address that was faulty, in a config that is dropped.
const ADMIN_ADDRESS_NONE: AdminAddress = AdminAddress::Unix(PathBuf::new());
const TOKEN_BYTES_MIN: usize = 16;
const TOKEN_BYTES_MAX: usize = 256;
const TARGET_BYTES_USUAL: u64 = 8 * KIB;
/// Larger ones take a saying.
const OBJECT_BYTES_MOST: u64 = GIB;
