//! The rows of `table`, and what a config means that breaks no rule.

use proptest::prelude::*;

use super::super::checked::{
    AdminAddress, HostPattern, LogFormat, LogLevel, LogTarget, TransportChoice,
};
use super::super::{dump, memory};
use super::table::ROWS;
use super::{BASE, check_text, faults};

#[test]
fn each_fault_says_where_what_and_what_to_do() {
    for (typed, said) in ROWS {
        assert_eq!(faults(&format!("{BASE}{typed}\n")), *said, "for:\n{typed}");
    }
}

#[test]
fn file_without_listener_and_site_needs_both() {
    assert_eq!(
        faults(""),
        "edge.toml: [[listener]]: must stand in the file at least once\n  \
         remedy: add it; `edge check --help` shows all keys\n\
         edge.toml: [[site]]: must stand in the file at least once\n  \
         remedy: add it; `edge check --help` shows all keys"
    );
}

#[test]
fn faults_come_together_in_the_order_of_the_file() {
    let text =
        format!("{BASE}[limits]\nfields_max = 0\n[server]\nworkers = 0\n[store]\nsize = 1\n");
    let faults = check_text(&text).unwrap_err();
    let keys: Vec<&str> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["limits.fields_max", "server.workers", "store.size"]);
}

#[test]
fn columns_count_characters() {
    let text =
        format!("{BASE}[[site]]\nhosts = [\"ä\"]\norigin = {{ urls = [\"http://ä\", 1] }}\n");
    let faults = check_text(&text).unwrap_err();
    let places: Vec<_> = faults.0.iter().map(|fault| fault.place.unwrap()).collect();
    assert_eq!((places[0].line, places[0].column), (7, 10));
    assert_eq!((places[1].line, places[1].column), (8, 32));
}

#[test]
fn fault_as_json_has_place_cause_and_remedy() {
    let faults = check_text(&format!("{BASE}[server]\nworkers = 0\n")).unwrap_err();
    assert_eq!(
        faults.json(),
        serde_json::json!({ "valid": false, "faults": [{
            "file": "edge.toml", "line": 7, "column": 11, "key": "server.workers",
            "cause": "0 is below the least, 1", "remedy": "use 1 or more",
        }]})
    );
}

/// A file that says all that can be said comes out as it was meant.
#[test]
fn full_config_is_read_as_it_is_meant() {
    let config = check_text(FULL).unwrap();
    assert_eq!(config.server.workers, 4);
    assert_eq!(config.server.transport, TransportChoice::Uring);
    assert_eq!(config.server.drain_timeout.0, 1500);
    assert_eq!(config.listeners[1].address, "[::]:0".parse().unwrap());
    let devices: Vec<_> =
        config.store.devices.iter().map(|one| (one.path.to_str().unwrap(), one.size.0)).collect();
    let expected = [("/var/cache/longhold", 2_000_000_000), ("/etc/longhold/second", 1 << 30)];
    assert_eq!(devices, expected);
    assert_eq!(config.store.segment.0, 32 << 20);
    assert_eq!((config.store.memory.0, config.store.short_lifetime.0), (96 << 20, 300_000));
    let hosts = &config.sites[0].hosts;
    assert_eq!(hosts[0], HostPattern::Exact("www.example.com".to_owned()));
    assert_eq!(hosts[1], HostPattern::Below(".static.example.com".to_owned()));
    assert_eq!(config.sites[0].idle_timeout.0, 2 * 3_600_000);
    assert_eq!(config.sites[0].origin.urls[1].to_string(), "https://[2001:db8::1]:8443");
    assert_eq!(config.sites[1].hosts, [HostPattern::Any]);
    assert_eq!(config.sites[1].idle_timeout.0, 90_000);
    let socket = AdminAddress::Unix("/etc/longhold/admin.sock".into());
    assert_eq!(config.admin.address, socket);
    assert_eq!(config.admin.token.as_deref(), Some("not-to-be-printed"));
    assert_eq!(config.access_log.target, LogTarget::File("/var/log/longhold".into()));
    assert_eq!(config.access_log.format, LogFormat::Text);
    assert_eq!((config.log.format, config.log.level), (LogFormat::Json, LogLevel::Warn));
    assert_eq!(config.limits.body_rate_min.0, 2048);
}

#[test]
fn memory_tier_is_a_tenth_up_to_a_bound_unless_said() {
    for (said, memory_mib) in [
        ("size = \"16MiB\"", 1),
        ("", 102),
        ("size = \"10GiB\"", 256),
        ("memory = 0", 0),
        ("memory = \"0\"", 0),
        ("memory = \"0B\"", 0),
        ("memory = \"3MiB\"", 3),
        ("devices = [{ path = \"a\", size = \"1GiB\" }, { path = \"b\", size = \"1GiB\" }]", 204),
    ] {
        let config = check_text(&format!("{BASE}[store]\n{said}\n")).unwrap();
        assert_eq!(config.store.memory.0 >> 20, memory_mib, "{said}");
        let again = check_text(&dump::text(&config)).unwrap();
        assert_eq!(again.store.memory, config.store.memory, "{said}");
    }
}

#[test]
fn compressors_are_planned_where_a_rule_asks_for_them() {
    for (rules, planned) in [
        ("", false),
        ("[site.defaults]\ncompress = [\"none\"]", false),
        ("[site.defaults]\ncompress = [\"gzip\"]", true),
        ("[[site.rule]]\ncompress = [\"br\"]", true),
    ] {
        let config = check_text(&format!("{BASE}{rules}\n")).unwrap();
        let plan = memory::MemoryPlan::of(&config);
        let found = plan.parts.iter().any(|part| part.name == "compressors");
        assert_eq!(found, planned, "{rules}");
    }
}

/// What is printed is what the store takes.
#[test]
fn plan_of_the_store_is_the_stores_own() {
    for text in [BASE, FULL] {
        let config = check_text(text).unwrap();
        let store = memory::store_config(&config);
        let ours = [
            "store index",
            "keys that have left",
            "segment pins",
            "verified bits",
            "pages known in memory",
            "memory tier",
            "purges on record",
            "bodies of unknown length",
        ];
        let plan = memory::MemoryPlan::of(&config);
        let parts = plan.parts.iter().filter(|part| ours.contains(&part.name));
        let bytes: u64 = parts.map(memory::Part::bytes).sum();
        assert_eq!(bytes, store.memory_bytes().unwrap());
        let disk = memory::DiskPlan::of(&config);
        assert_eq!(disk.total().0, store.disk_bytes().unwrap());
    }
}

/// CF-3
#[test]
fn dump_reads_back_as_the_same_config() {
    for text in [BASE, FULL] {
        let config = check_text(text).unwrap();
        let again = check_text(&dump::text(&config)).unwrap();
        let values = |config: &super::Checked| -> Vec<_> {
            let shown = config.effective.iter().filter(|value| value.knob.name() != "token");
            shown.map(|value| (value.header, value.index, value.value.clone())).collect()
        };
        assert_eq!(values(&config), values(&again));
    }
}

/// CF-4
#[test]
fn token_is_never_printed() {
    let config = check_text(FULL).unwrap();
    for printed in
        [dump::text(&config), dump::json(&config).to_string(), format!("{:?}", config.admin)]
    {
        assert!(!printed.contains("not-to-be-printed"), "{printed}");
    }
}

/// To write the expected text anew, say `LONGHOLD_BLESS=1`.
#[test]
fn check_prints_values_and_memory() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/tests/check.txt");
    let printed = dump::text(&check_text(FULL).unwrap());
    if std::env::var_os("LONGHOLD_BLESS").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    assert_eq!(printed, std::fs::read_to_string(path).unwrap());
}

#[test]
fn check_as_json_sums_its_parts() {
    let json = dump::json(&check_text(BASE).unwrap());
    assert_eq!(json["valid"], true);
    let start = json["memory"]["parts"].as_array().unwrap().iter();
    let sum: u64 = start
        .filter(|part| part["when"] == "start")
        .map(|part| part["count"].as_u64().unwrap() * part["each_bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(json["memory"]["start_bytes"], sum);
    let connections = json["values"].as_array().unwrap().iter();
    let row = connections.into_iter().find(|row| row["key"] == "server.max_connections").unwrap();
    assert_eq!((&row["value"], &row["default"]), (&20_000.into(), &true.into()));
}

proptest! {
    #[test]
    fn no_text_breaks_the_check(text in "[\\[\\]a-z=\"\n .{}0-9]{0,200}") {
        let _ = check_text(&text);
    }

    #[test]
    fn no_value_breaks_the_check(value in "\\PC{0,40}") {
        let quoted = serde_json::Value::from(value);
        let text = format!(
            "[[listener]]\naddress = {quoted}\n[store]\nsize = {quoted}\n\
             [[site]]\nhosts = [{quoted}]\norigin = {{ urls = [{quoted}] }}\n\
             [admin]\naddress = {quoted}\ntoken = {quoted}\n"
        );
        prop_assert!(check_text(&text).is_err());
    }
}

const FULL: &str = r#"
[server]
workers = 4
max_connections = 100000
transport = "uring"
drain_timeout = "1500ms"
[[listener]]
address = "0.0.0.0:80"
[[listener]]
address = "[::]:0"
[store]
devices = [
    { path = "/var/cache/longhold", size = "2GB" },
    { path = "second", size = "1GiB" },
]
memory = "96MiB"
short_lifetime = "5m"
segment = "32MiB"
objects_max = 1000000
[[site]]
hosts = ["WWW.example.com", "*.static.example.com"]
idle_timeout = "2h"
[site.origin]
urls = ["http://10.0.0.1", "https://[2001:DB8::1]:8443/"]
connect_timeout = "1s"
connections_max = 32
[[site]]
hosts = ["*"]
origin = { urls = ["https://origin.example.net"] }
requests_max = 5000
[site.defaults]
response_remove = ["Server"]
[[site.rule]]
path = ["/static/*"]
query = "none"
[[site.rule]]
path = ["/live/*"]
methods = ["GET"]
bypass = true
[admin]
address = "unix:admin.sock"
token = "not-to-be-printed"
[access_log]
path = "/var/log/longhold"
format = "text"
[log]
format = "json"
level = "warn"
[limits]
idle_timeout = "90s"
body_rate_min = "2KiB/s"
"#;
