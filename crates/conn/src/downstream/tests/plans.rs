//! How each kind of response goes out to each kind of request (RFC 9112 sections 6 and 9.3).

use longhold_http1::Limits;

use super::super::{After, BodyLength, Downstream, Input, ResponsePlan};

const REQUESTS: [(&str, &str); 8] = [
    ("GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("GET, close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ("GET 1.0", "GET / HTTP/1.0\r\n\r\n"),
    ("GET 1.0, keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    ("HEAD 1.0, keep-alive", "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    (
        "POST, withheld",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    ),
    ("nothing", ""),
];

#[test]
fn every_response_has_a_plan() {
    let bodies =
        [BodyLength::Known(0), BodyLength::Known(7), BodyLength::Unknown, BodyLength::None];
    let mut table = String::new();
    for (name, request) in REQUESTS {
        table += &format!("{name}\n");
        for status in [200, 204, 304, 101] {
            for body in bodies {
                let plan = asked(request).start_response(status, body);
                table += &format!("  {status} {:<9} {}\n", format!("{body:?}"), written(plan));
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_second_plan_replaces_the_first() {
    let mut conn = asked("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(conn.start_response(200, BodyLength::Unknown).close);
    assert!(!conn.start_response(502, BodyLength::Known(4)).close);
    assert_eq!(conn.end_response(), After::NextRequest);
}

#[test]
fn the_wish_to_close_outlives_the_request_in_which_it_arose() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut conn = asked(request);
    conn.start_response(200, BodyLength::Known(0));
    assert_eq!(conn.end_response(), After::NextRequest);
    conn.close_after_response();
    conn.handle_input(request.as_bytes(), &Limits::default());
    assert!(conn.start_response(200, BodyLength::Known(0)).close);
    assert_eq!(conn.end_response(), After::Linger);
}

/// A machine that has read `request`.
fn asked(request: &str) -> Downstream {
    let mut conn = Downstream::new();
    if !request.is_empty() {
        let step = conn.handle_input(request.as_bytes(), &Limits::default());
        assert!(matches!(step.input, Input::Request(_)), "{request}");
    }
    conn
}

/// A plan in words.
fn written(plan: ResponsePlan) -> String {
    let ResponsePlan { framing, send_body, close, keep_alive_field } = plan;
    let persistence = match (close, keep_alive_field) {
        (true, false) => "close",
        (false, true) => "keep-alive",
        (false, false) => "persists",
        (true, true) => unreachable!("a head cannot say both"),
    };
    format!("{framing:?}, {}, {persistence}", if send_body { "body" } else { "no body" })
}
