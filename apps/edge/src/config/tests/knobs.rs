//! The table walked: each row is sound in itself, read by the check, and told in the pages.

use std::collections::HashSet;

use toml::{Table, Value};

use super::super::checked::{ClientAuth, RecordLayer, TlsVersion};
use super::super::dump;
use longhold_policy::storable::LifetimeRule;

use super::super::fault::Cause;
use super::super::knobs::{ALL, Knob, Preset, Unit, help, markdown};
use super::super::units::Millis;
use super::{BASE, check_text};

const DEVICE: &str = "path = \"a\"\nsize = \"1GiB\"";

/// `BASE` with one knob said, its tables made where they are missing.
fn with(knob: &Knob, value: Value) -> String {
    let mut file: Table = BASE.parse().unwrap();
    let (path, name) = knob.key.rsplit_once('.').unwrap();
    let mut table = &mut file;
    for part in path.split('.') {
        let inner = table.entry(part).or_insert_with(|| match part {
            // Another value of the same table must be there, too.
            "devices" => Value::Array(vec![Value::Table(DEVICE.parse().unwrap())]),
            "rule" => Value::Array(vec![Value::Table(Table::new())]),
            _ => Value::Table(Table::new()),
        });
        let inner = if let Value::Array(items) = inner { &mut items[0] } else { inner };
        table = inner.as_table_mut().unwrap();
    }
    table.insert(name.to_owned(), value);
    file.to_string()
}

fn number(knob: &Knob, value: u64) -> Value {
    if knob.unit == Unit::Count {
        Value::Integer(i64::try_from(value).unwrap())
    } else {
        Value::String(knob.unit.show(value))
    }
}

/// The causes of a text's faults, without those of relations to other knobs.
fn bounds_broken(text: &str) -> Vec<&'static str> {
    let faults = check_text(text).err().map_or_else(Vec::new, |faults| faults.0);
    faults
        .iter()
        .filter_map(|fault| {
            let below = matches!(fault.cause, Cause::Below { .. }).then_some("below");
            below.or(matches!(fault.cause, Cause::Above { .. }).then_some("above"))
        })
        .collect()
}

#[test]
fn rows_are_sound() {
    let mut keys = HashSet::new();
    for knob in ALL {
        assert!(keys.insert(knob.key), "{} stands twice", knob.key);
        assert!(knob.doc.ends_with('.') && !knob.doc.contains("  "), "{}", knob.key);
        if !knob.unit.is_number() {
            assert!(!matches!(knob.preset, Preset::Number(_)), "{}", knob.key);
            continue;
        }
        assert!(knob.least < knob.most && knob.least > 0, "{}", knob.key);
        assert!(!matches!(knob.preset, Preset::Text(_)), "{}", knob.key);
        let preset = if let Preset::Number(value) = knob.preset { value } else { knob.least };
        assert!((knob.least..=knob.most).contains(&preset), "{}", knob.key);
        for value in [knob.least, knob.most, preset] {
            if knob.unit != Unit::Count {
                assert_eq!(knob.unit.parse(&knob.unit.show(value)), Ok(value), "{}", knob.key);
            }
        }
    }
}

/// CF-2: the check reads every row.
#[test]
fn every_row_is_read_and_shown() {
    let config = check_text(BASE).unwrap();
    let shown: HashSet<&str> = config.effective.iter().map(|value| value.knob.key).collect();
    // Rules' values need each other; `every_row_of_a_rule_is_read` has them.
    let alone =
        |knob: &Knob| !knob.key.starts_with("site.rule.") && !knob.key.starts_with("listener.tls.");
    for knob in ALL.iter().filter(|knob| alone(knob)) {
        let value = match (knob.unit, knob.preset) {
            (_, Preset::Number(value)) => number(knob, value),
            (_, Preset::Text(text)) => Value::String(text.to_owned()),
            (Unit::List(_), _) => continue,
            (unit, Preset::Absent) if unit.is_number() => number(knob, knob.least),
            (_, Preset::Required) => continue,
            (Unit::Text(_), _) if knob.key == "admin.token" => "0123456789abcdef".into(),
            // A CA needs a file that is there; its rules have their own rows.
            (Unit::Text(_), _) => continue,
            (_, _) => config
                .effective
                .iter()
                .find(|value| value.knob.key == knob.key)
                .map(|value| Value::try_from(&value.value).unwrap())
                .unwrap(),
        };
        let unsaid = [
            "site.requests_max",
            "limits.handshake_rate",
            "server.memory",
            "limits.connections_per_source",
        ];
        let is_shown = shown.contains(knob.key) || unsaid.contains(&knob.key);
        assert!(is_shown, "{} is not shown", knob.key);
        let said = check_text(&with(knob, value)).unwrap_or_else(|faults| panic!("{faults}"));
        let found = said.effective.iter().find(|value| value.knob.key == knob.key).unwrap();
        assert!(found.set, "{} is not read", knob.key);
    }
}

/// CF-2, and CF-3 for rules.
#[test]
fn every_row_of_a_rule_is_read() {
    let config = check_text(&format!("{BASE}{RULES}")).unwrap_or_else(|faults| panic!("{faults}"));
    let values = |config: &super::Checked, header: &str| -> Vec<_> {
        let shown = config.effective.iter().filter(|value| value.header == header);
        shown.map(|value| (value.index, value.knob.key, value.value.clone())).collect()
    };
    for knob in ALL.iter().filter(|knob| knob.key.starts_with("site.rule.")) {
        let said = config.effective.iter().find(|value| value.knob.key == knob.key);
        assert!(said.is_some_and(|value| value.set), "{} is not read", knob.key);
    }
    let again = check_text(&dump::text(&config)).unwrap_or_else(|faults| panic!("{faults}"));
    for header in ["[[site]]", "[site.defaults]", "[[site.rule]]"] {
        assert_eq!(values(&config, header), values(&again, header));
    }
    let rules = config.sites[0].rules.clone().unwrap();
    let all = &rules.rules[0].1;
    assert_eq!(all.key_names, ",x-device,cookie:tier");
    assert_eq!(all.request.remove, ["Cookie-2"]);
    assert_eq!(all.storing.lifetime, LifetimeRule::Override(3600));
    assert_eq!((all.storing.negative_s, all.storing.grace_s), (Some(10), 60));
    assert!(!all.storing.store_set_cookie && !all.storing.s_maxage_revalidates);
    assert_eq!(rules.rules[3].1.storing.lifetime, LifetimeRule::Override(0));
    let compress = all.compress.as_ref().unwrap();
    assert_eq!((compress.codings.len(), compress.body_bytes_min), (3, 512));
    // Of the defaults a rule has what it does not say, and nothing that it could not use.
    assert!(rules.rules[1].1.bypass);
    assert_eq!(rules.rules[1].1.response.set.len(), 1);
    assert!(rules.rules[2].1.redirect.is_some());
    assert_eq!(rules.rules[2].1.response.set.len(), 0);
    assert_eq!(rules.rules[3].1.compress, None);
    assert!(rules.otherwise.unwrap().compress.is_some());
}

/// CF-2, and CF-3 for certificates.
#[test]
fn every_row_of_a_secured_listener_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    // RFC 6960 section 4.2.1: a response that says successful, and no more than is looked at.
    let ocsp = [0x30, 0x03, 0x0a, 0x01, 0x00];
    for (name, bytes) in [
        ("a.pem", chain.as_bytes()),
        ("a.key", key.as_bytes()),
        ("a.ocsp", &ocsp),
        ("ca.pem", chain.as_bytes()),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let text = SECURED.replace("DIR", &folder.path().display().to_string());
    let config = check_text(&format!("{BASE}{text}")).unwrap_or_else(|faults| panic!("{faults}"));
    for knob in ALL.iter().filter(|knob| knob.key.starts_with("listener.tls.")) {
        let said = config.effective.iter().any(|value| value.knob.key == knob.key && value.set);
        assert!(said, "{} is not read", knob.key);
    }
    let again = check_text(&dump::text(&config)).unwrap_or_else(|faults| panic!("{faults}"));
    let of = |config: &super::Checked| format!("{:?}", config.listeners);
    assert_eq!(of(&config), of(&again));
    let [plain, one, many] = &config.listeners[..] else { panic!("{:?}", config.listeners) };
    assert_eq!((plain.scheme(), one.scheme(), many.scheme()), ("http", "https", "https"));
    let (one, many) = (one.tls.as_ref().unwrap(), many.tls.as_ref().unwrap());
    assert_eq!((one.client_auth, one.min_version), (ClientAuth::Optional, TlsVersion::Tls13));
    assert_eq!(one.record_layer, RecordLayer::Rustls);
    assert_eq!((one.ticket_rotation, many.ticket_rotation), (Some(Millis(3_600_000)), None));
    assert_eq!((many.client_auth, many.min_version), (ClientAuth::Required, TlsVersion::Tls12));
    assert_eq!((many.certificates.len(), many.certificates[0].ocsp.is_some()), (2, true));
}

const SECURED: &str = r#"
[[listener]]
address = "127.0.0.1:1443"
[listener.tls]
certificate = "DIR/a.pem"
key = "DIR/a.key"
ocsp = "DIR/a.ocsp"
client_ca = "DIR/ca.pem"
client_auth = "optional"
min_version = "1.3"
record_layer = "rustls"
ticket_rotation = "1h"
[[listener]]
address = "127.0.0.1:2443"
[listener.tls]
client_ca = "DIR/ca.pem"
ticket_rotation = 0
[[listener.tls.certificates]]
certificate = "DIR/a.pem"
key = "DIR/a.key"
ocsp = "DIR/a.ocsp"
[[listener.tls.certificates]]
certificate = "DIR/a.pem"
key = "DIR/a.key"
"#;

const RULES: &str = r#"
requests_max = 100
[site.defaults]
freshness = "default"
lifetime = "5m"
response_set = ["X-Edge: yes"]
compress = ["gzip"]
compress_min = "2KiB"
[[site.rule]]
path = ["/all/*"]
methods = ["GET", "POST"]
freshness = "override"
lifetime = "1h"
negative_lifetime = "10s"
grace = "1m"
store_set_cookie = false
s_maxage_revalidates = false
collapse = false
query = "without"
query_fields = ["utm_*"]
key_fields = ["X-Device"]
key_cookies = ["tier"]
request_remove = ["Cookie-2"]
request_set = ["X-Tenant: blue"]
response_remove = ["Server"]
object_max = "1MiB"
compress = ["br", "zstd", "gzip"]
compress_types = ["text/*"]
compress_min = "512B"
[[site.rule]]
path = ["/live/*"]
bypass = true
[[site.rule]]
path = ["/old/*"]
redirect = "https://a.example{path}"
redirect_status = 301
[[site.rule]]
path = ["*.png"]
freshness = "ignore"
compress = ["none"]
"#;

#[test]
fn every_bound_holds() {
    for knob in ALL.iter().filter(|knob| knob.unit.is_number()) {
        for value in [knob.least, knob.most] {
            let text = with(knob, number(knob, value));
            assert!(bounds_broken(&text).is_empty(), "{} = {value}", knob.key);
        }
        let below = with(knob, number(knob, knob.least - 1));
        assert_eq!(bounds_broken(&below), ["below"], "{}", knob.key);
        let above = with(knob, number(knob, knob.most + 1));
        assert_eq!(bounds_broken(&above), ["above"], "{}", knob.key);
    }
}

#[test]
fn help_tells_every_row_in_a_hundred_columns() {
    let help = help();
    for knob in ALL {
        assert!(help.contains(&format!("\n  {}  (", knob.key)), "{}", knob.key);
    }
    for line in help.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

/// To write the page anew, say `LONGHOLD_BLESS=1`.
#[test]
fn page_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/knobs.md");
    if std::env::var_os("LONGHOLD_BLESS").is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), markdown());
}
