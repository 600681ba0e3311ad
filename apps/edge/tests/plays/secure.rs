//! TLS towards clients: the same exchanges, through records.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;

use crate::stage::{
    Client, Edge, FRESH, Origin, Setting, Wanted, body_of, make_certificate, names_of, reply,
};

fn edge_before(origin: &Origin, values: &str) -> Edge {
    Setting::before(origin).secured(values).start()
}

fn done(edge: &Edge, kind: &str) -> u64 {
    edge.counter(&format!("longhold_tls_handshakes_done_total{{kind={kind}}}"))
}

/// Every size, from the origin and from the store, by both record layers and both versions.
#[test]
fn bodies_of_all_sizes_come_whole_by_every_record_layer() {
    let origin = Origin::answering(|call| {
        let len: usize = call.target().trim_start_matches('/').parse().expect("a length");
        call.answer(reply("200 OK", &[FRESH], body_of(len as u64, len)));
    });
    for (values, is_old) in [("", false), (", record_layer = \"rustls\"", false), ("", true)] {
        let edge = edge_before(&origin, values);
        let wanted = match is_old {
            true => Wanted::old(edge.folder()),
            false => Wanted::from(edge.folder()),
        };
        let mut client = wanted.client(edge.address());
        let sizes = [0, 1, 1024, 16_384, 16_385, 100_000, 3_000_000];
        for len in sizes {
            let miss = client.get(&format!("/{len}"));
            assert!(miss.body == body_of(len as u64, len), "{len} {values} {is_old}");
        }
        edge.wait_for_stored(sizes.len() as u64);
        for len in sizes {
            let hit = client.get(&format!("/{len}"));
            assert!(hit.is_hit(), "{:?}", hit.cache());
            assert!(hit.body == body_of(len as u64, len), "{len} {values} {is_old}");
            let part = client.get_with(&format!("/{len}"), &["Range: bytes=1-70000"]);
            let end = len.min(70_001);
            match len {
                0 | 1 => assert_eq!(part.status, 416),
                _ => assert!(part.body == body_of(len as u64, len)[1..end], "{len}"),
            }
        }
    }
}

#[test]
fn requests_in_one_record_and_records_cut_anywhere_are_answered_in_order() {
    let origin = Origin::answering(|call| {
        let target = call.target().to_owned();
        call.answer(reply("200 OK", &[FRESH], target));
    });
    let edge = edge_before(&origin, "");
    let mut client = Wanted::from(edge.folder()).client(edge.address());
    let asked: Vec<String> = (0..30).map(|number| format!("/{number}")).collect();
    let ask = |target: &String| format!("GET {target} HTTP/1.1\r\nHost: play.test\r\n\r\n");
    let whole: String = asked.iter().map(ask).collect();
    for piece in [whole.len(), 700, 1] {
        whole.as_bytes().chunks(piece).for_each(|bytes| client.say(bytes));
        for target in &asked {
            assert_eq!(client.response().body, target.as_bytes());
        }
    }
}

#[test]
fn uploads_reach_the_origin_and_it_is_told_of_the_scheme() {
    let origin = Origin::start();
    let edge = edge_before(&origin, "");
    let mut client = Wanted::from(edge.folder()).client(edge.address());
    let body = body_of(7, 1_000_000);
    client.ask("POST", "/form", &["Content-Length: 1000000"]);
    client.say(&body);
    let mut call = origin.call_for("POST", "/form");
    assert_eq!(call.field("X-Forwarded-Proto"), Some("https"));
    assert!(call.field("Forwarded").is_some_and(|field| field.contains("proto=https")));
    assert!(call.body() == body);
    call.answer(reply("200 OK", &[], "thanks"));
    assert_eq!(client.response().body, b"thanks");
}

/// What is purged by URL is https' own.
#[test]
fn objects_of_https_have_keys_of_their_own() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let edge = edge_before(&origin, "");
    let mut client = Wanted::from(edge.folder()).client(edge.address());
    client.get("/a");
    edge.wait_for_stored(1);
    assert!(!edge.purge("http://play.test/a"));
    assert!(client.get("/a").is_hit());
    assert!(edge.purge("https://play.test/a"));
    assert!(!client.get("/a").is_hit());
    client.say("GET http://play.test/a HTTP/1.1\r\nHost: play.test\r\n\r\n");
    assert_eq!(client.response().status, 421);
}

#[test]
fn a_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let origin = Origin::start();
    let setting = Setting::before(&origin).secured_as(
        "[listener.tls]\n[[listener.tls.certificates]]\ncertificate = \"play.pem\"\n\
         key = \"play.key\"\n[[listener.tls.certificates]]\ncertificate = \"b.pem\"\n\
         key = \"b.key\"\n",
    );
    make_certificate(setting.folder(), "play", &["play.test"]);
    make_certificate(setting.folder(), "b", &["b.test", "*.c.test"]);
    let edge = setting.start();
    let folder = edge.folder();
    for (name, file) in [("play.test", "play"), ("b.test", "b"), ("x.c.test", "b")] {
        let wanted = Wanted::trusting(folder, file).named(name);
        let mut client = wanted.client(edge.address());
        assert!(names_of(&mut client, folder, file), "{name}");
    }
    let unknown = Wanted::trusting(folder, "play").named("who.test");
    assert!(unknown.try_client(edge.address()).is_err(), "the first is not for that name");
}

#[test]
fn a_plain_listener_sends_its_clients_to_https() {
    let origin = Origin::start();
    let redirect = "redirect = \"https://{name}:8443{path}{query}\"";
    let edge = Setting::before(&origin).secured_as(redirect).start();
    let mut client = edge.client();
    for (line, location) in [
        ("GET /a/../b?c=d HTTP/1.1", "https://play.test:8443/b?c=d"),
        ("POST / HTTP/1.1", "https://play.test:8443/"),
    ] {
        client.say(format!("{line}\r\nHost: play.test:80\r\nContent-Length: 0\r\n\r\n"));
        let answer = client.response();
        assert_eq!((answer.status, answer.field("Location")), (308, Some(location)));
    }
    origin.was_left_alone();
}

#[test]
fn a_ticket_resumes_a_session_where_there_are_tickets() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    for (values, resumed) in [("", 2), (", ticket_rotation = 0", 0)] {
        let edge = edge_before(&origin, values);
        for wanted in [Wanted::from(edge.folder()), Wanted::old(edge.folder())] {
            let before = ["full", "resumed"].map(|kind| done(&edge, kind));
            for _ in 0..3 {
                let mut client = wanted.client(edge.address());
                assert_eq!(client.get("/a").body, b"x");
            }
            let after = [before[0] + 3 - resumed, before[1] + resumed];
            let kinds = |edge: &Edge| ["full", "resumed"].map(|kind| done(edge, kind));
            edge.wait("handshakes", |edge| kinds(edge) == after);
        }
    }
}

#[test]
fn clients_show_certificates_where_they_must() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    for (values, is_needed) in [
        ("", true),
        (", client_auth = \"required\"", true),
        (", client_auth = \"optional\"", false),
    ] {
        let setting =
            Setting::before(&origin).secured(&format!(", client_ca = \"me.pem\"{values}"));
        make_certificate(setting.folder(), "me", &["me.test"]);
        make_certificate(setting.folder(), "other", &["me.test"]);
        let edge = setting.start();
        let folder = edge.folder();
        let mut client = Wanted::showing(folder, "me").client(edge.address());
        assert_eq!(client.get("/a").body, b"x");
        // TLS 1.3 lets a client believe that it is in until it reads.
        let is_let_in = |wanted: &Wanted| {
            wanted.try_client(edge.address()).is_ok_and(|mut client| {
                client.try_say("GET /a HTTP/1.1\r\nHost: play.test\r\n\r\n");
                let mut some = [0; 100];
                client.stream().read(&mut some).is_ok_and(|read| read > 0)
            })
        };
        assert_eq!(is_let_in(&Wanted::from(folder)), !is_needed, "{values}");
        assert!(!is_let_in(&Wanted::showing(folder, "other")), "{values}");
    }
}

/// TL-9: by SIGHUP and by itself; bad files change nothing.
#[test]
fn certificates_are_exchanged_under_their_connections() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let edge = edge_before(&origin, "");
    let folder = edge.folder();
    let mut old = Wanted::from(folder).client(edge.address());
    assert_eq!(old.get("/a").body, b"x");
    std::fs::copy(folder.join("play.pem"), folder.join("first.pem")).expect("a copy");

    std::fs::write(folder.join("play.pem"), "nonsense").expect("a writable folder");
    edge.hang_up();
    edge.wait("the fault", |edge| edge.log().contains("certificates stay as they were"));
    assert!(Wanted::trusting(folder, "first").try_client(edge.address()).is_ok());

    make_certificate(folder, "play", &["play.test"]);
    edge.hang_up();
    edge.wait("the new one", |edge| Wanted::from(folder).try_client(edge.address()).is_ok());
    assert!(Wanted::trusting(folder, "first").try_client(edge.address()).is_err());
    assert_eq!(old.get("/a").body, b"x", "the connection goes on");

    // Nobody says anything; the file has changed.
    make_certificate(folder, "play", &["play.test"]);
    edge.wait("the next one", |edge| Wanted::from(folder).try_client(edge.address()).is_ok());
    assert_eq!(old.get("/a").body, b"x");
}

#[test]
fn the_log_says_by_what_a_connection_was_secured() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    for values in ["", ", record_layer = \"rustls\""] {
        let mut edge = edge_before(&origin, values);
        for wanted in [Wanted::from(edge.folder()), Wanted::old(edge.folder())] {
            let mut client = wanted.client(edge.address());
            assert_eq!(client.get("/a").body, b"x");
        }
        edge.terminate();
        assert_eq!(edge.ends().code(), Some(0));
        let log = std::fs::read_to_string(edge.folder().join("access.log")).expect("the log");
        let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        let told: Vec<_> = log.lines().map(line).collect();
        let mut told: Vec<_> = told.iter().map(|line| [&line["tls"], &line["suite"]]).collect();
        // Each worker writes its lines when it ends.
        told.sort_by_key(|[tls, _]| std::cmp::Reverse(tls.as_str()));
        let old = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
        assert_eq!(told, [["TLSv1.3", "TLS_AES_128_GCM_SHA256"], ["TLSv1.2", old]], "{values}");
    }
}

#[test]
fn plain_http_is_told_in_the_clear_that_this_is_tls_and_all_else_by_an_alert() {
    let origin = Origin::start();
    let edge = edge_before(&origin, "");
    let ask = |said: &[u8]| {
        let mut plain = TcpStream::connect(edge.address()).expect("the edge listens");
        plain.write_all(said).expect("a socket");
        let mut heard = Vec::new();
        // A reset may follow the answer.
        let _ = plain.read_to_end(&mut heard);
        heard
    };
    for (method, has_body) in [("GET", true), ("POST", true), ("HEAD", false)] {
        let heard = ask(format!("{method} / HTTP/1.1\r\nHost: play.test\r\n\r\n").as_bytes());
        let text = String::from_utf8(heard).expect("text");
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        assert_eq!(text.contains("\nthis port speaks TLS: ask by https://\n"), has_body, "{text}");
    }
    let heard = ask(b"SSH-2.0-OpenSSH_9.9\r\n");
    assert_eq!(heard.first(), Some(&21), "{heard:?}");
    edge.wait_for("longhold_tls_handshakes_failed_total{reason=not-tls}", 4);
    edge.wait_for("longhold_connections_closed_total{reason=handshake-failed}", 4);
}

/// Silent from the start, and silent after the first word.
#[test]
fn a_handshake_that_does_not_end_is_ended() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let edge = Setting::before(&origin).secured("").limits("handshake_timeout = \"300ms\"").start();
    let wanted = Wanted::from(edge.folder());
    let mut client = wanted.client(edge.address());
    let mut silent = Client::connect(edge.address());
    let mut begun = wanted.begin(edge.address());
    begun.conn.write_tls(&mut begun.sock).expect("a hello");
    silent.sees_the_end();
    let mut flight = Vec::new();
    let _ = begun.sock.read_to_end(&mut flight);
    assert!(!flight.is_empty(), "the hello was answered");
    edge.wait_for("longhold_connections_closed_total{reason=handshake-timeout}", 2);
    edge.wait_for("longhold_tls_handshakes_failed_total{reason=left}", 1);
    assert_eq!(client.get("/a").body, b"x", "who is in stays");
    assert_eq!(edge.status()["accounting"]["balanced"], true);
}

/// One that never finishes holds no more than its share; the others are served beside it.
#[test]
fn a_flood_of_half_open_handshakes_keeps_nobody_out() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let limits = "handshakes_per_source = 5";
    let edge = Setting::before(&origin).secured("").limits(limits).start();
    let wanted = Wanted::from(edge.folder());
    let mut client = wanted.client(edge.address());
    client.get("/a");
    edge.wait_for_stored(1);
    let flood: Vec<_> = (0..60)
        .map(|_| {
            let mut begun = wanted.begin(edge.address());
            begun.conn.write_tls(&mut begun.sock).expect("a hello");
            begun
        })
        .collect();
    let turned_away = "longhold_tls_handshakes_refused_total{limit=source}";
    // Five in each of two workers.
    edge.wait("the flood", |edge| edge.counter(turned_away) >= 50);
    assert!(client.get("/a").is_hit());
    drop(flood);
    edge.wait("the others' end", |edge| edge.status()["connections"]["handshaking"] == 0);
    let mut late = wanted.client(edge.address());
    assert!(late.get("/a").is_hit());
}

/// More than may shake hands at a time: they wait in line, and all come in.
#[test]
fn a_storm_of_newcomers_is_served_in_line_beside_the_established() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let edge = Setting::before(&origin).secured("").limits("handshakes_max = 2").start();
    let wanted = Wanted::from(edge.folder());
    let mut client = wanted.client(edge.address());
    client.get("/a");
    edge.wait_for_stored(1);
    let address = edge.address();
    thread::scope(|scope| {
        let storm: Vec<_> = (0..8)
            .map(|_| {
                let wanted = &wanted;
                scope.spawn(move || {
                    for _ in 0..12 {
                        assert!(wanted.client(address).get("/a").is_hit());
                    }
                })
            })
            .collect();
        while storm.iter().any(|one| !one.is_finished()) {
            assert!(client.get("/a").is_hit());
        }
    });
    assert_eq!(edge.counter("longhold_tls_handshakes_begun_total"), 1 + 8 * 12);
    assert_eq!(edge.status()["accounting"]["balanced"], true);
}

/// RFC 8446 section 4.6.3, by a client that parks between its words.
#[test]
fn key_updates_go_by_unseen() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let edge = edge_before(&origin, "");
    let mut client = Wanted::from(edge.folder()).client(edge.address());
    for _ in 0..5 {
        assert_eq!(client.get("/a").body, b"x");
        edge.wait("the rest", |edge| edge.status()["connections"]["parked"] == 1);
        client.stream().session().refresh_traffic_keys().expect("TLS 1.3");
        client.stream().flush().expect("a socket");
    }
    assert_eq!(client.get("/a").body, b"x");
}

#[test]
fn a_drain_says_close_notify() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let mut edge = edge_before(&origin, "");
    let mut client = Wanted::from(edge.folder()).client(edge.address());
    assert_eq!(client.get("/a").body, b"x");
    edge.terminate();
    let mut rest = [0; 10];
    // rustls makes an error of an end without it.
    assert_eq!(client.stream().read(&mut rest).expect("a clean end"), 0);
    assert!(edge.ends().success());
}

#[test]
fn curl_and_openssl_are_served() {
    let origin = Origin::answering(|call| {
        let len: usize = call.target().trim_start_matches('/').parse().expect("a length");
        call.answer(reply("200 OK", &[FRESH], body_of(len as u64, len)));
    });
    let edge = edge_before(&origin, "");
    let port = edge.address().port();
    let resolved = format!("play.test:{port}:127.0.0.1");
    let ca = edge.folder().join("play.pem");
    for version in ["--tlsv1.3", "--tls-max"] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--http1.1", "--resolve", &resolved, "--cacert"]).arg(&ca).arg(version);
        if version == "--tls-max" {
            curl.arg("1.2");
        }
        // Twice, on one connection.
        let url = format!("https://play.test:{port}/200000");
        let output = curl.args([&url, &url]).output().expect("curl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let body = body_of(200_000, 200_000);
        assert!(output.stdout == [&body[..], &body[..]].concat(), "{version}");
    }
    let mut openssl = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-servername", "play.test"])
        .args(["-connect", &edge.address().to_string(), "-CAfile"])
        .arg(&ca)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let ask = "GET /7 HTTP/1.1\r\nHost: play.test\r\nConnection: close\r\n\r\n";
    let mut mouth = openssl.stdin.take().expect("a pipe");
    mouth.write_all(ask.as_bytes()).expect("a pipe");
    let mut heard = Vec::new();
    openssl.stdout.take().expect("a pipe").read_to_end(&mut heard).expect("a pipe");
    drop(mouth);
    openssl.wait().expect("a child");
    assert!(heard.ends_with(&body_of(7, 7)), "{}", String::from_utf8_lossy(&heard));
}
