//! Site rules: what a site does otherwise than the RFCs' defaults.

use crate::stage::{Client, Edge, FRESH, Origin, Setting, reply};

/// An edge whose one site has these rules.
fn ruled(origin: &Origin, lines: &str) -> Edge {
    Setting::before(origin).rules(lines).start()
}

/// Asks; the origin answers a request for `seen` with a fresh body.
fn fetch(origin: &Origin, client: &mut Client, (target, fields): (&str, &[&str]), seen: &str) {
    client.ask("GET", target, fields);
    origin.call_for("GET", seen).answer(reply("200 OK", &[FRESH], seen));
    assert_eq!(client.response().body, seen.as_bytes());
}

/// What the key does not hold, the origin is not asked for.
#[test]
fn query_fields_outside_the_key_reach_nobody() {
    let origin = Origin::start();
    let edge = ruled(
        &origin,
        "[[site.rule]]\npath = [\"/only\"]\nquery = \"only\"\nquery_fields = [\"id\"]\n\
         [[site.rule]]\npath = [\"/none\"]\nquery = \"none\"\n\
         [[site.rule]]\nquery = \"without\"\nquery_fields = [\"utm_*\"]",
    );
    let mut client = edge.client();
    fetch(&origin, &mut client, ("/only?x=1&id=2", &[]), "/only?id=2");
    fetch(&origin, &mut client, ("/none?x", &[]), "/none");
    fetch(&origin, &mut client, ("/page?utm_source=a&q=1", &[]), "/page?q=1");
    edge.wait_for_stored(3);
    for target in ["/only?id=2", "/only?y&id=2&z", "/none?y=1", "/none", "/page?q=1&utm_x"] {
        assert!(client.get(target).is_hit(), "{target}");
    }
    fetch(&origin, &mut client, ("/only?id=3", &[]), "/only?id=3");

    // What is no lookup says all that it says, and invalidates what a GET would find.
    client.ask("POST", "/none?delete=1", &["Content-Length: 0"]);
    origin.call_for("POST", "/none?delete=1").answer(reply("200 OK", &[], ""));
    assert_eq!(client.response().status, 200);
    fetch(&origin, &mut client, ("/none?z", &[]), "/none");
    edge.wait_for_stored(5);
    assert!(edge.purge("http://play.test/none?whatever"));
    fetch(&origin, &mut client, ("/none", &[]), "/none");
}

#[test]
fn fields_and_cookies_of_the_key_keep_responses_apart() {
    let origin = Origin::start();
    let edge =
        ruled(&origin, "[[site.rule]]\nkey_fields = [\"X-Device\"]\nkey_cookies = [\"tier\"]");
    let mut client = edge.client();
    let asks: [&[&str]; 4] = [
        &[],
        &["X-Device: phone"],
        &["Cookie: a=b; tier=gold"],
        &["X-Device: phone", "Cookie: tier=gold"],
    ];
    for (turn, fields) in asks.into_iter().enumerate() {
        client.ask("GET", "/", fields);
        origin.call_for("GET", "/").answer(reply("200 OK", &[FRESH], turn.to_string()));
        assert_eq!(client.response().body, turn.to_string().as_bytes());
        edge.wait_for_stored(turn as u64 + 1);
    }
    for (turn, fields) in asks.into_iter().enumerate() {
        let response = client.get_with("/", fields);
        assert_eq!(response.body, turn.to_string().as_bytes(), "{fields:?}");
        assert!(response.is_hit());
    }
    assert!(client.get_with("/", &["Cookie: other=1"]).is_hit());
    assert!(edge.purge("http://play.test/"));
    fetch(&origin, &mut client, ("/", asks[2]), "/");
}

/// What was stored when the key had less in it is nobody's answer.
#[test]
fn record_of_an_older_key_is_not_used() {
    let origin = Origin::start();
    let mut edge = Setting::before(&origin).on_disk().start();
    let mut client = edge.client();
    fetch(&origin, &mut client, ("/", &["X-Device: phone"]), "/");
    edge.wait_for_stored(1);
    assert!(client.get("/").is_hit());
    edge.edit_config("[admin]", "[[site.rule]]\nkey_fields = [\"X-Device\"]\n[admin]");
    edge.terminate();
    assert!(edge.ends().success());
    let edge = edge.start_again();
    let mut client = edge.client();
    fetch(&origin, &mut client, ("/", &["X-Device: desk"]), "/");
    edge.wait_for_stored(1);
    assert!(client.get_with("/", &["X-Device: desk"]).is_hit());
}

#[test]
fn fields_are_taken_out_and_put_in_on_both_ways() {
    let origin = Origin::start();
    let edge = ruled(
        &origin,
        "[site.defaults]\nrequest_remove = [\"Cookie\", \"Cache-Control\"]\n\
         request_set = [\"X-Tenant: blue\"]\n\
         [[site.rule]]\npath = [\"/edited\"]\n\
         \
         response_remove = [\"X-Powered-By\", \"set-cookie\"]\n\
         response_set = [\"Cache-Control: max-age=60\", \"X-Edge: yes\"]",
    );
    let mut client = edge.client();
    let asked = ["Cookie: a", "X-Tenant: red", "Accept: x", "Connection: x-tenant"];
    client.ask("GET", "/edited", &asked);
    let call = origin.call();
    assert_eq!(call.field("Cookie"), None);
    assert_eq!(call.field("X-Tenant"), Some("blue"));
    assert_eq!(call.field("Accept"), Some("x"));
    let fields = ["Cache-Control: no-store", "X-Powered-By: z", "Set-Cookie: b", "X-Edge: no"];
    call.answer(reply("200 OK", &fields, "body"));
    let told = |response: &crate::stage::Response| {
        assert_eq!(response.field("X-Edge"), Some("yes"));
        assert_eq!(response.field("Cache-Control"), Some("max-age=60"));
        assert_eq!((response.field("X-Powered-By"), response.field("Set-Cookie")), (None, None));
    };
    told(&client.response());
    edge.wait_for_stored(1);
    // The client's wish for a new answer has been taken out, too.
    let hit = client.get_with("/edited", &["Cache-Control: no-cache"]);
    assert!(hit.is_hit());
    told(&hit);
}

#[test]
fn bypass_stores_nothing_and_forwards_all() {
    let origin = Origin::start();
    let edge = ruled(&origin, "[[site.rule]]\npath = [\"/live/*\"]\nbypass = true");
    let mut client = edge.client();
    for _ in 0..2 {
        client.ask("GET", "/live/x?q", &["If-None-Match: \"a\""]);
        let call = origin.call_for("GET", "/live/x?q");
        assert_eq!(call.field("If-None-Match"), Some("\"a\""));
        call.answer(reply("200 OK", &[FRESH], "now"));
        let response = client.response();
        assert_eq!(response.cache(), "longhold; fwd=bypass");
    }
    // RFC 9111 section 5.2.1.7: nothing of the origin's, and nothing else is there.
    let refused = client.get_with("/live/x", &["Cache-Control: only-if-cached"]);
    assert_eq!(refused.status, 504);
    origin.was_left_alone();
    fetch(&origin, &mut client, ("/else", &[]), "/else");
    edge.wait_for_stored(1);
    assert!(client.get("/else").is_hit());
}

#[test]
fn redirects_are_answered_here() {
    let origin = Origin::start();
    let edge = ruled(
        &origin,
        "[[site.rule]]\npath = [\"/old/*\"]\nredirect_status = 301\n\
         redirect = \"https://www.play.test{path}{query}\"\n\
         [[site.rule]]\npath = [\"/\"]\nmethods = [\"GET\"]\nredirect = \"/home\"",
    );
    let mut client = edge.client();
    let response = client.get("/x/../old/%61?b=c");
    assert_eq!(response.status, 301);
    assert_eq!(response.field("Location"), Some("https://www.play.test/old/a?b=c"));
    assert_eq!(response.body, b"https://www.play.test/old/a?b=c\n");
    let response = client.head("/");
    assert_eq!((response.status, response.field("Location")), (302, Some("/home")));
    // Nothing followed that head, and an upload to a redirect is read away.
    client.ask("POST", "/old/", &["Content-Length: 3"]);
    client.say("abc");
    assert_eq!(client.response().status, 301);
    origin.was_left_alone();
    client.ask("POST", "/", &["Content-Length: 0"]);
    origin.call_for("POST", "/").answer(reply("200 OK", &[], ""));
    assert_eq!(client.response().status, 200);
}

#[test]
fn without_collapse_each_miss_fetches_for_itself() {
    let origin = Origin::start();
    let edge = ruled(&origin, "[[site.rule]]\npath = [\"/each\"]\ncollapse = false");
    let (mut first, mut second) = (edge.client(), edge.client());
    first.ask("GET", "/each", &[]);
    let one = origin.call_for("GET", "/each");
    second.ask("GET", "/each", &[]);
    let two = origin.call_for("GET", "/each");
    two.answer(reply("200 OK", &[FRESH], "two"));
    assert_eq!(second.response().body, b"two");
    one.answer(reply("200 OK", &[FRESH], "one"));
    assert_eq!(first.response().body, b"one");
    edge.wait_for_stored(2);
    assert!(first.get("/each").is_hit());
}

#[test]
fn requests_beyond_the_sites_bound_are_told_to_come_back() {
    let origin = Origin::start();
    let edge = ruled(&origin, "requests_max = 2");
    let (mut first, mut second, mut third) = (edge.client(), edge.client(), edge.client());
    first.ask("GET", "/a", &[]);
    let one = origin.call_for("GET", "/a");
    second.ask("GET", "/b", &[]);
    let two = origin.call_for("GET", "/b");
    let refused = third.get("/c");
    assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("1")));
    // A place is free again when its response has ended.
    one.answer(reply("200 OK", &[FRESH], "a"));
    assert_eq!(first.response().body, b"a");
    fetch(&origin, &mut first, ("/c", &[]), "/c");
    assert!(first.get("/c").is_hit());
    two.answer(reply("200 OK", &[FRESH], "b"));
    assert_eq!(second.response().body, b"b");
}

#[test]
fn bodies_beyond_a_rules_bound_stream_through() {
    let origin = Origin::start();
    let edge = ruled(&origin, "[[site.rule]]\npath = [\"/small/*\"]\nobject_max = \"1KiB\"");
    let mut client = edge.client();
    let large = vec![b'x'; 1025];
    for round in 0..2 {
        client.ask("GET", "/small/known", &[]);
        origin.call_for("GET", "/small/known").answer(reply("200 OK", &[FRESH], &large));
        assert_eq!(client.response().body, large, "{round}");
        // A length that comes with the end.
        client.ask("GET", "/small/unknown", &[]);
        let mut call = origin.call_for("GET", "/small/unknown");
        call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n"));
        call.say("401\r\n");
        call.say(&large);
        call.answer("\r\n0\r\n\r\n");
        assert_eq!(client.response().body, large, "{round}");
    }
    client.ask("GET", "/small/fits", &[]);
    origin.call_for("GET", "/small/fits").answer(reply("200 OK", &[FRESH], &large[1..]));
    assert_eq!(client.response().body, large[1..]);
    edge.wait_for_stored(1);
    assert!(client.get("/small/fits").is_hit());
}

/// Who says how long a response is fresh: shown by what a second request finds.
#[test]
fn freshness_is_the_origins_or_the_sites() {
    let origin = Origin::start();
    let edge = ruled(
        &origin,
        "[[site.rule]]\npath = [\"/default/*\"]\nfreshness = \"default\"\nlifetime = \"1h\"\n\
         [[site.rule]]\npath = [\"/override/*\"]\nfreshness = \"override\"\nlifetime = \"1h\"\n\
         [[site.rule]]\npath = [\"/ignore/*\"]\nfreshness = \"ignore\"\n\
         [[site.rule]]\nnegative_lifetime = \"1m\"\nstore_set_cookie = false",
    );
    let mut client = edge.client();
    let mut stored = 0;
    let mut once = |target: &str, status: &str, fields: &[&str], is_stored: bool| {
        client.ask("GET", target, &[]);
        origin.call_for("GET", target).answer(reply(status, fields, target));
        let response = client.response();
        assert_eq!(
            response.cache().ends_with("; stored"),
            is_stored,
            "{target}: {}",
            response.cache()
        );
        if is_stored {
            stored += 1;
            edge.wait_for_stored(stored);
        }
        response.field("Cache-Status").and_then(|status| {
            let ttl = status.split("ttl=").nth(1)?;
            ttl.split(';').next()?.parse::<i64>().ok()
        })
    };
    let short = "Cache-Control: max-age=1";
    assert_eq!(once("/default/silent", "200 OK", &[], true), Some(3600));
    assert_eq!(once("/default/says", "200 OK", &[FRESH], true), Some(3600));
    assert_eq!(once("/default/short", "200 OK", &[short], true), Some(1));
    assert_eq!(once("/override/short", "200 OK", &[short], true), Some(3600));
    once("/override/private", "200 OK", &["Cache-Control: no-store"], false);
    once("/ignore/x", "200 OK", &[FRESH, "ETag: \"a\""], true);
    assert_eq!(once("/none", "404 Not Found", &[], true), Some(60));
    once("/cookie", "200 OK", &[FRESH, "Set-Cookie: a=b"], false);
    let mut client = edge.client();
    for target in ["/default/silent", "/override/short", "/none"] {
        assert!(client.get(target).is_hit(), "{target}");
    }
    // What it says is ignored, so it is asked each time.
    client.ask("GET", "/ignore/x", &[]);
    let call = origin.call_for("GET", "/ignore/x");
    assert_eq!(call.field("If-None-Match"), Some("\"a\""));
    call.answer("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
    assert_eq!(client.response().body, b"/ignore/x");
}

#[test]
fn grace_serves_what_the_origin_cannot_and_spares_the_wait() {
    let origin = Origin::start();
    let edge = ruled(&origin, "[site.defaults]\ngrace = \"1h\"");
    let mut client = edge.client();
    client.ask("GET", "/", &[]);
    let stale = ["Cache-Control: max-age=60", "Age: 100"];
    origin.call_for("GET", "/").answer(reply("200 OK", &stale, "old"));
    assert_eq!(client.response().body, b"old");
    edge.wait_for_stored(1);
    let response = client.get("/");
    assert!(response.is_hit());
    assert_eq!(response.body, b"old");
    // It is renewed behind the client's back.
    origin.call_for("GET", "/").answer(reply("200 OK", &[FRESH], "new"));
    edge.wait_for_stored(2);
    assert_eq!(client.get("/").body, b"new");
}
