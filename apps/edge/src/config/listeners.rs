//! `[[listener]]`: where clients connect, and with `tls` by which certificates.

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;

use longhold_gateway::rules::Redirect;
use longhold_tls::Acceptor;
use toml::Spanned;

use super::check::start;
use super::checked::{
    CertificateFiles, ClientAuth, Listener, ListenerTls, RecordLayer, TlsVersion,
};
use super::fault::Cause;
use super::knobs::{self, Knob};
use super::raw::{self, Cell};
use super::resolve::Resolver;
use super::units::Millis;
use super::{CERTIFICATES_MAX, LISTENERS_MAX};
use crate::secure;

/// The listeners with the byte where each address stands.
pub(super) fn listeners(
    resolver: &mut Resolver<'_>,
    typed: &[Spanned<raw::Listener>],
) -> Vec<(Listener, usize)> {
    let key = knobs::LISTENER_ADDRESS.key;
    if typed.is_empty() {
        resolver.fault(None, "[[listener]]", Cause::NoTable);
    }
    if let Some(beyond) = typed.get(LISTENERS_MAX) {
        let cause = Cause::TooMany { most: LISTENERS_MAX };
        resolver.fault(Some(beyond.span().start), "[[listener]]", cause);
    }
    let mut first: HashMap<SocketAddr, usize> = HashMap::new();
    let mut listeners = Vec::new();
    for (index, table) in typed.iter().take(LISTENERS_MAX).enumerate() {
        resolver.enter("[[listener]]", index);
        let raw::Listener { address, redirect, tls } = table.get_ref();
        if address.is_none() {
            resolver.fault(Some(table.span().start), key, Cause::Missing);
        }
        let address = address_of(resolver, address, &mut first);
        let redirect = redirect_of(resolver, redirect);
        let tls = tls.as_ref().map(|table| secured(resolver, table, index));
        if let Some((address, at)) = address {
            listeners.push((Listener { address, redirect, tls }, at));
        }
    }
    listeners
}

/// An address with the byte where it stands.
fn address_of(
    resolver: &mut Resolver<'_>,
    typed: &Cell,
    first: &mut HashMap<SocketAddr, usize>,
) -> Option<(SocketAddr, usize)> {
    let key = knobs::LISTENER_ADDRESS.key;
    let said = resolver.text(&knobs::LISTENER_ADDRESS, typed)?;
    let at = said.at?;
    let Ok(address) = said.text.parse::<SocketAddr>() else {
        resolver.fault(Some(at), key, Cause::NotAnAddress(format!("{:?}", said.text)));
        return None;
    };
    // Port 0 is a new port each time.
    if address.port() != 0
        && let Some(before) = first.insert(address, at)
    {
        let first_line = resolver.source.place(before).line;
        let cause = Cause::Duplicate { value: address.to_string(), first_line };
        resolver.fault(Some(at), key, cause);
    }
    Some((address, at))
}

fn redirect_of(resolver: &mut Resolver<'_>, typed: &Cell) -> Option<Redirect> {
    let knob = &knobs::LISTENER_REDIRECT;
    let said = resolver.text_if(knob, typed)?;
    let redirect = Redirect::parse(PERMANENTLY, &said.text);
    if redirect.is_none() {
        let (what, example) = ("a URL that a redirect can name", "\"https://{name}{path}{query}\"");
        let cause = Cause::NotA { typed: format!("{:?}", said.text), what, example };
        resolver.fault(said.at, knob.key, cause);
    }
    redirect
}

/// `tls = { … }` of a listener.
fn secured(resolver: &mut Resolver<'_>, table: &Spanned<raw::Tls>, listener: usize) -> ListenerTls {
    resolver.enter("[listener.tls]", listener);
    let typed = table.get_ref();
    let faults_before = resolver.faults.len();
    let mut certificates = Vec::new();
    if typed.certificates.is_empty() {
        let one = (&typed.certificate, &typed.key, &typed.ocsp);
        certificates.extend(certificate(resolver, &SINGLE, one, table.span().start));
    } else {
        named_once(resolver, typed);
    }
    let client_ca = readable(resolver, &knobs::LISTENER_TLS_CLIENT_CA, &typed.client_ca);
    let client_auth = client_auth(resolver, typed);
    let min_version = match resolver.text(&knobs::LISTENER_TLS_MIN_VERSION, &typed.min_version) {
        Some(said) if said.text == "1.3" => TlsVersion::Tls13,
        Some(_) | None => TlsVersion::Tls12,
    };
    let record_layer = match resolver.text(&knobs::LISTENER_TLS_RECORD_LAYER, &typed.record_layer) {
        Some(said) if said.text == "rustls" => RecordLayer::Rustls,
        Some(_) | None => RecordLayer::Own,
    };
    let knob = &knobs::LISTENER_TLS_TICKET_ROTATION;
    let ticket_rotation = match resolver.is_nothing(knob, &typed.ticket_rotation) {
        true => None,
        false => Some(Millis(resolver.number(knob, &typed.ticket_rotation))),
    };
    // They stand in tables of their own, which must come last in a file.
    if let Some(beyond) = typed.certificates.get(CERTIFICATES_MAX) {
        let cause = Cause::TooMany { most: CERTIFICATES_MAX };
        resolver.fault(Some(beyond.span().start), "listener.tls.certificates", cause);
    }
    for (index, table) in typed.certificates.iter().take(CERTIFICATES_MAX).enumerate() {
        resolver.enter("[[listener.tls.certificates]]", index);
        let raw::Certificate { certificate: chain, key, ocsp } = table.get_ref();
        let at = table.span().start;
        certificates.extend(certificate(resolver, &LISTED, (chain, key, ocsp), at));
    }
    let tls = ListenerTls {
        certificates,
        client_ca,
        client_auth,
        min_version,
        record_layer,
        ticket_rotation,
    };
    // What can be read is tried: a start that fails for a bad key says so too late.
    if resolver.faults.len() == faults_before
        && let Err(why) = Acceptor::new(secure::settings(&tls))
    {
        let cause = Cause::BadCertificate { file: why.path, why: why.reason };
        resolver.fault(Some(table.span().start), "listener.tls", cause);
    }
    tls
}

/// The rows of one certificate.
struct Rows {
    chain: &'static Knob,
    key: &'static Knob,
    ocsp: &'static Knob,
}

fn certificate(
    resolver: &mut Resolver<'_>,
    rows: &Rows,
    (chain, key, ocsp): (&Cell, &Cell, &Cell),
    at: usize,
) -> Option<CertificateFiles> {
    for (knob, cell) in [(rows.chain, chain), (rows.key, key)] {
        if cell.is_none() {
            resolver.fault(Some(at), knob.key, Cause::Missing);
        }
    }
    let chain = readable(resolver, rows.chain, chain);
    let key = readable(resolver, rows.key, key);
    let ocsp = readable(resolver, rows.ocsp, ocsp);
    Some(CertificateFiles { certificate: chain?, key: key?, ocsp })
}

/// A file that must be readable now: at start nobody may be there to see that it is not.
fn readable(resolver: &mut Resolver<'_>, knob: &'static Knob, typed: &Cell) -> Option<PathBuf> {
    let path = resolver.path(knob, typed)?;
    if let Err(why) = File::open(&path) {
        resolver.fault(start(typed), knob.key, Cause::FileUnreadable(why.kind().to_string()));
    }
    Some(path)
}

/// A list of certificates and a single one cannot both be the listener's.
fn named_once(resolver: &mut Resolver<'_>, typed: &raw::Tls) {
    let list_at = typed.certificates.first().map_or(0, |table| table.span().start);
    let line = resolver.source.place(list_at).line;
    for (knob, cell) in
        [(SINGLE.chain, &typed.certificate), (SINGLE.key, &typed.key), (SINGLE.ocsp, &typed.ocsp)]
    {
        if let Some(at) = start(cell) {
            let key = "listener.tls.certificates";
            resolver.fault(Some(at), knob.key, Cause::Contradicts { key, line });
        }
    }
}

fn client_auth(resolver: &mut Resolver<'_>, typed: &raw::Tls) -> ClientAuth {
    let knob = &knobs::LISTENER_TLS_CLIENT_AUTH;
    if let (Some(at), None) = (start(&typed.client_auth), &typed.client_ca) {
        let cause = Cause::Without { key: knobs::LISTENER_TLS_CLIENT_CA.key };
        resolver.fault(Some(at), knob.key, cause);
    }
    match resolver.text_if(knob, &typed.client_auth) {
        Some(said) if said.text == "optional" => ClientAuth::Optional,
        Some(_) => ClientAuth::Required,
        None if typed.client_ca.is_some() => ClientAuth::Required,
        None => ClientAuth::Off,
    }
}

/// RFC 9110 section 15.4.9: for good, and with the method that was used.
const PERMANENTLY: u16 = 308;

const SINGLE: Rows = Rows {
    chain: &knobs::LISTENER_TLS_CERTIFICATE,
    key: &knobs::LISTENER_TLS_KEY,
    ocsp: &knobs::LISTENER_TLS_OCSP,
};
const LISTED: Rows = Rows {
    chain: &knobs::LISTENER_TLS_CERTIFICATES_CERTIFICATE,
    key: &knobs::LISTENER_TLS_CERTIFICATES_KEY,
    ocsp: &knobs::LISTENER_TLS_CERTIFICATES_OCSP,
};
