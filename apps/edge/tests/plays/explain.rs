//! `edge explain` and `edge cache get`: what they say is what happens.

use serde_json::Value;

use crate::stage::{Client, Edge, FRESH, Origin, Setting, reply};

const URL: &str = "http://play.test/page";

/// `edge explain --json` of the page, with these options.
fn explain(edge: &Edge, options: &[&str]) -> Value {
    let output = edge.command(&[&["explain", URL, "--json"], options].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The same in words.
fn told(edge: &Edge, options: &[&str]) -> String {
    let output = edge.command(&[&["explain", URL], options].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn fetch(origin: &Origin, edge: &Edge, client: &mut Client, fields: &[&str]) {
    let stored = edge.counter("longhold_store_stored_total");
    client.ask("GET", "/page", &["Accept-Language: de"]);
    origin.call_for("GET", "/page").answer(reply("200 OK", fields, "hello"));
    assert_eq!(client.response().body, b"hello");
    edge.wait_for_stored(stored + 1);
}

#[test]
fn page_is_explained_from_its_first_fetch_to_its_purge() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();

    let said = explain(&edge, &[]);
    assert_eq!((&said["key"], &said["stored"]), (&URL.into(), &Value::Null));
    assert_eq!(
        (&said["next"]["act"], &said["next"]["cache"]),
        (&"fetch".into(), &"uri-miss".into())
    );

    client.ask("GET", "/page", &[]);
    let call = origin.call_for("GET", "/page");
    let said = explain(&edge, &[]);
    assert_eq!((&said["being_fetched"], &said["next"]["joins"]), (&true.into(), &true.into()));
    let fields = [FRESH, "ETag: \"v1\"", "Surrogate-Key: red blue", "Age: 600"];
    call.answer(reply("200 OK", &fields, "hello"));
    assert_eq!(client.response().body, b"hello");
    edge.wait_for_stored(1);

    let said = explain(&edge, &[]);
    let stored = &said["stored"];
    assert_eq!((&stored["status"], &stored["body_bytes"]), (&200.into(), &5.into()));
    assert_eq!(
        (&stored["etag"], &stored["tags"]),
        (&"\"v1\"".into(), &serde_json::json!(["red", "blue"]))
    );
    let freshness = &stored["freshness"];
    assert_eq!(
        (&freshness["lifetime_s"], &freshness["initial_age_s"]),
        (&3600.into(), &600.into())
    );
    assert_eq!(
        (&freshness["because"], &freshness["clause"]),
        (&"max-age".into(), &"RFC 9111 section 4.2.1".into())
    );
    let next = &said["next"];
    assert_eq!((&next["act"], &next["clause"]), (&"serve".into(), &"RFC 9111 section 4.2".into()));
    assert!(client.get("/page").is_hit());

    let said = explain(&edge, &["-H", "If-None-Match: \"v1\""]);
    assert_eq!(said["next"]["status"], 304);
    let said = explain(&edge, &["-H", "Range: bytes=1-2"]);
    assert_eq!(said["next"]["status"], 206);
    let said = explain(&edge, &["-H", "Cache-Control: no-cache"]);
    let next = &said["next"];
    assert_eq!(
        (&next["act"], &next["clause"]),
        (&"validate".into(), &"RFC 9111 section 5.2.1.4".into())
    );
    let said = explain(&edge, &["-X", "POST"]);
    assert_eq!(said["next"]["act"], "pass");

    let text = told(&edge, &[]);
    for line in [
        "GET http://play.test/page\n",
        "  key         http://play.test/page\n",
        "  stored      200, 5 bytes\n",
        "s of 3600 s, by max-age (RFC 9111 section 4.2.1)\n",
        "  tags        red, blue\n",
        "  next        is served from the store: it is fresh",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }

    edge.command(&["purge", "--url", URL, "--soft"]);
    let said = explain(&edge, &[]);
    assert_eq!(
        (&said["stored"]["soft_purged"], &said["next"]["act"]),
        (&true.into(), &"validate".into())
    );
    assert!(told(&edge, &[]).contains("a soft purge has made it stale"));

    assert!(edge.purge(URL));
    assert_eq!(explain(&edge, &[])["stored"], Value::Null);
    // To explain is not to ask.
    assert_eq!(edge.fetches(), 1);
    origin.was_left_alone();
}

#[test]
fn variants_are_explained_for_the_request_at_hand() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    fetch(&origin, &edge, &mut client, &[FRESH, "Vary: Accept-Language"]);
    let said = explain(&edge, &["-H", "Accept-Language: de"]);
    assert_eq!(
        (&said["vary"]["accept-language"], &said["next"]["act"]),
        (&"de".into(), &"serve".into())
    );
    for other in [&["-H", "Accept-Language: en"][..], &[]] {
        let said = explain(&edge, other);
        assert_eq!(said["next"]["cache"], "vary-miss", "{said}");
        assert_eq!(said["next"]["clause"], "RFC 9111 section 4.1", "{said}");
    }
    assert!(told(&edge, &[]).contains("  varies by   accept-language (not sent)\n"));
}

/// What was not stored is remembered with its reason.
#[test]
fn response_that_is_not_stored_is_explained() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for (field, reason, clause) in [
        ("Cache-Control: no-store", "no-store", "RFC 9111 section 5.2.2.5"),
        ("Cache-Control: private", "private", "RFC 9111 section 5.2.2.7"),
        ("Vary: *", "vary-star", "RFC 9111 section 4.1"),
    ] {
        client.ask("GET", "/page", &[]);
        origin.call_for("GET", "/page").answer(reply("200 OK", &[field], "mine"));
        assert_eq!(client.response().body, b"mine");
        let said = explain(&edge, &[]);
        let why = &said["not_stored"];
        assert_eq!((&why["reason"], &why["clause"]), (&reason.into(), &clause.into()), "{said}");
        assert_eq!(said["next"]["act"], "fetch");
        assert!(told(&edge, &[]).contains(&format!("was not: {reason} ({clause})")), "{field}");
    }
}

/// So is what does not concern every next request, and what this edge's own bounds decide.
#[test]
fn response_that_found_no_room_is_explained() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).limits("object_max = \"64KiB\"").start();
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    origin.call().answer(reply("200 OK", &[FRESH], "x".repeat(100_000)));
    assert_eq!(client.response().body.len(), 100_000);
    assert_eq!(explain(&edge, &[])["not_stored"]["reason"], "too-large");
    assert!(told(&edge, &[]).contains("the last response was not: too-large\n"));

    client.ask("GET", "/page", &["Authorization: Basic YTpi"]);
    origin.call().answer(reply("200 OK", &[FRESH], "mine"));
    assert_eq!(client.response().body, b"mine");
    let why = &explain(&edge, &[])["not_stored"];
    assert_eq!(why["reason"], "authorization");
    assert_eq!(why["clause"], "RFC 9111 section 3.5");

    client.ask("GET", "/page", &[]);
    let call = origin.call();
    edge.purge(URL);
    call.answer(reply("200 OK", &[FRESH], "late"));
    assert_eq!(client.response().body, b"late");
    assert_eq!(explain(&edge, &[])["not_stored"]["reason"], "purged");
}

/// RFC 9213 section 2.2 for the older field of its kind: it is obeyed, kept for freshening, and not
/// sent on.
#[test]
fn surrogate_control_is_honoured_and_removed() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    let fields = ["Surrogate-Control: max-age=60", "Cache-Control: no-store", "ETag: \"v1\""];
    origin.call().answer(reply("200 OK", &fields, "hello"));
    let miss = client.response();
    edge.wait_for_stored(1);
    let hit = client.get("/page");
    assert!(hit.is_hit() && hit.body == b"hello", "{hit:?}");
    for response in [miss, hit] {
        assert_eq!(response.field("Surrogate-Control"), None);
        assert_eq!(response.field("Cache-Control"), Some("no-store"));
    }
    let said = explain(&edge, &[]);
    let freshness = &said["stored"]["freshness"];
    assert_eq!(
        (&freshness["lifetime_s"], &freshness["because"]),
        (&60.into(), &"targeted field".into())
    );

    // A 304 that does not name it leaves it in force.
    client.ask("GET", "/page", &["Cache-Control: no-cache"]);
    origin
        .call()
        .answer("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: no-store\r\n\r\n");
    assert_eq!(client.response().body, b"hello");
    edge.wait_for_stored(2);
    assert!(client.get("/page").is_hit());
}

/// A site's rules are explained as they hold.
#[test]
fn rules_of_the_site_are_explained() {
    let origin = Origin::start();
    let rules = "[[site.rule]]\npath = [\"/private/*\"]\nbypass = true\n\
                 [[site.rule]]\npath = [\"/old\"]\nredirect = \"/page\"\n\
                 [[site.rule]]\nquery = \"none\"\nkey_cookies = [\"tier\"]\n\
                 freshness = \"override\"\nlifetime = \"5m\"";
    let edge = Setting::before(&origin).rules(rules).start();
    let mut client = edge.client();
    client.ask("GET", "/page?x=1", &["Cookie: tier=gold"]);
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "hello"));
    assert_eq!(client.response().body, b"hello");
    edge.wait_for_stored(1);
    let explain = |url: &str, options: &[&str]| -> Value {
        let output = edge.command(&[&["explain", url, "--json"], options].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let said = explain("http://play.test/page?y=2", &["-H", "Cookie: a=b; tier=gold"]);
    assert_eq!((&said["key"], &said["next"]["act"]), (&URL.into(), &"serve".into()), "{said}");
    assert_eq!(said["vary"]["cookie:tier"], "gold", "{said}");
    let freshness = &said["stored"]["freshness"];
    assert_eq!(
        (&freshness["lifetime_s"], &freshness["because"]),
        (&300.into(), &"site rule".into()),
        "{said}"
    );
    let said = explain(URL, &[]);
    assert_eq!(said["next"]["cache"], "vary-miss", "{said}");
    let said = explain("http://play.test/private/a", &[]);
    let next = &said["next"];
    assert_eq!((&next["act"], &next["cache"]), (&"pass".into(), &"bypass".into()), "{said}");
    let said = explain("http://play.test/old", &[]);
    let next = &said["next"];
    assert_eq!(next["because"], "a rule of the site redirects it", "{said}");
    assert_eq!(client.get("/old").status, next["status"].as_u64().expect("a status") as u16);
}

#[test]
fn cache_get_shows_the_stored_response() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let output = edge.command(&["cache", "get", URL]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("http://play.test/page is not stored; edge explain says more"), "{err}");

    fetch(&origin, &edge, &mut client, &[FRESH, "Content-Type: text/plain", "Cache-Tag: red"]);
    let output = edge.command(&["cache", "get", URL]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0));
    for line in ["HTTP/1.1 200\n", "content-type: text/plain\n", "  body        5 bytes\n"] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    let output = edge.command(&["cache", "get", URL, "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&said["status"], &said["tags"][0]), (&200.into(), &"red".into()));
}

#[test]
fn what_cannot_be_explained_is_told_with_a_remedy() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    for (arguments, said) in [
        (&["play.test/page"][..], "not an absolute http or https URL"),
        (&["http://play.test/a b"], "not an absolute http or https URL"),
        (&[URL, "-H", "no colon"], "the method and the fields make no request"),
        (&[URL, "-H", "A: b\r\nC: d"], "the method and the fields make no request"),
        (&[URL, "-H", "Host: other"], "the method and the fields make no request"),
        (&[URL, "-X", "G T"], "the method and the fields make no request"),
    ] {
        let output = edge.command(&[&["explain"], arguments].concat());
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}
