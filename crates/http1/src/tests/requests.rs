//! Requests that are read, and exactly how.

use super::check;
use crate::{Limits, parse_request};

#[test]
fn plain_requests_are_read() {
    check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin [a] / 1.1 none fields=1");
    check(
        b"GET /p/q?x=%20y&z HTTP/1.1\r\nhOsT:example.com:8080\r\nAccept: */*\r\n\r\nnext",
        "GET origin [example.com:8080] /p/q?x=%20y&z 1.1 none fields=2",
    );
    check(b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "get origin [a] / 1.1 none fields=1");
    check(
        b"M!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n",
        "M!#$%&'*+-.^_`|~ origin [a] / 1.1 none fields=1",
    );
    check(
        b"THE-LONGEST-METHOD-OF-32-LETTERS / HTTP/1.1\r\nHost: a\r\n\r\n",
        "THE-LONGEST-METHOD-OF-32-LETTERS origin [a] / 1.1 none fields=1",
    );
    check(b"GET //a//b HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin [a] //a//b 1.1 none fields=1");
    check(
        b"GET /\"<>[\\]^`{|} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET origin [a] /\"<>[\\]^`{|} 1.1 none fields=1",
    );
}

#[test]
fn one_empty_line_before_the_request_is_passed_over() {
    check(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin [a] / 1.1 none fields=1");
    let input = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    let head = parse_request(input, &Limits::default()).unwrap().unwrap();
    assert_eq!(&input[head.head_bytes..], b"rest");
    check(b"\r\n", "more");
    check(b"", "more");
}

#[test]
fn http10_closes_unless_it_says_keep_alive() {
    check(b"GET / HTTP/1.0\r\n\r\n", "GET origin [] / 1.0 none fields=0 close");
    check(
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
        "GET origin [a] / 1.0 none fields=2",
    );
    check(
        b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
        "GET origin [] / 1.0 none fields=1 close",
    );
    check(
        b"POST / HTTP/1.0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        "POST origin [] / 1.0 length=4 fields=2 close",
    );
    check(
        b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "GET origin [] / 1.0 none fields=2 close",
    );
    check(
        b"GET / HTTP/1.0\r\nExpect: the-unexpected\r\n\r\n",
        "GET origin [] / 1.0 none fields=1 close",
    );
}

#[test]
fn connection_options_are_read_from_all_lines() {
    let cases: &[(&[u8], &str)] = &[
        (b"Connection: close", "fields=2 close"),
        (b"Connection: CLOSE", "fields=2 close"),
        (b"Connection: keep-alive", "fields=2"),
        (b"Connection: a, ,\tclose\t,b", "fields=2 close"),
        (b"Connection:", "fields=2"),
        (b"Connection: x-close", "fields=2"),
        (b"Connection: a\r\nConnection: close", "fields=3 close"),
        (b"Connection: upgrade\r\nUpgrade: websocket", "fields=3 upgrade"),
        (b"Upgrade: websocket\r\nConnection: x,Upgrade", "fields=3 upgrade"),
        (b"Upgrade: websocket", "fields=2"),
        (b"Connection: upgrade", "fields=2"),
    ];
    for (lines, expected) in cases {
        let input = [b"GET / HTTP/1.1\r\nHost: a\r\n", *lines, b"\r\n\r\n"].concat();
        check(&input, &std::format!("GET origin [a] / 1.1 none {expected}"));
    }
}

#[test]
fn bodies_are_framed_by_their_fields() {
    let cases: &[(&[u8], &str)] = &[
        (b"Content-Length: 0", "length=0"),
        (b"Content-Length: 5", "length=5"),
        (b"content-length:\t 0005\t ", "length=5"),
        (b"Content-Length: 18446744073709551615", "length=18446744073709551615"),
        (b"Transfer-Encoding: chunked", "chunked"),
        (b"transfer-encoding:Chunked ", "chunked"),
        (b"X-Content-Length: 5", "none"),
        (b"Content_Length: 5", "none"),
    ];
    for (line, expected) in cases {
        let input = [b"POST / HTTP/1.1\r\nHost: a\r\n", *line, b"\r\n\r\n"].concat();
        check(&input, &std::format!("POST origin [a] / 1.1 {expected} fields=2"));
    }
}

#[test]
fn expectation_of_100_continue_is_seen() {
    check(
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n",
        "PUT origin [a] / 1.1 length=5 fields=3 expect",
    );
}

#[test]
fn absolute_form_outranks_host() {
    check(
        b"GET http://b.example:81/p?q HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET absolute [b.example:81] /p?q 1.1 none fields=1",
    );
    check(b"GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n", "GET absolute [b] / 1.1 none fields=1");
    check(
        b"GET http://b?q=/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET absolute [b] ?q=/ 1.1 none fields=1",
    );
    check(
        b"GET http://[::1]:80/ HTTP/1.0\r\n\r\n",
        "GET absolute [[::1]:80] / 1.0 none fields=0 close",
    );
}

#[test]
fn asterisk_and_authority_forms_keep_to_their_methods() {
    check(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS asterisk [a] * 1.1 none fields=1");
    // RFC 9112 section 3.2.4.
    check(
        b"OPTIONS http://b:8001 HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS asterisk [b:8001] * 1.1 none fields=1",
    );
    check(
        b"OPTIONS http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS absolute [b] / 1.1 none fields=1",
    );
    check(
        b"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n",
        "CONNECT authority [b.example:443]  1.1 none fields=1",
    );
    check(
        b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: b\r\n\r\n",
        "CONNECT authority [[2001:db8::1]:443]  1.1 none fields=1",
    );
}

#[test]
fn valid_hosts_are_taken() {
    for host in
        ["a", "A.B-c_d~e.", "127.0.0.1", "a:", "a:0", "a:65535", "[::1]", "[::ffff:1.2.3.4]:8080"]
    {
        let input = std::format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        check(input.as_bytes(), &std::format!("GET origin [{host}] / 1.1 none fields=1"));
    }
}

#[test]
fn fields_are_handed_out_as_received_without_outer_whitespace() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nX-a:\t b \xFF\tc \t\r\nx-A:\r\nEmpty: \r\n\r\n";
    let head = parse_request(input, &Limits::default()).unwrap().unwrap();
    let expected: &[crate::Field<'_>] =
        &[("Host", b"a"), ("X-a", b"b \xFF\tc"), ("x-A", b""), ("Empty", b"")];
    assert_eq!(&*head.fields, expected);
    assert_eq!(head.fields.first("x-a"), Some(b"b \xFF\tc".as_slice()));
    assert_eq!(head.fields.first("absent"), None);
    // The table goes where a slice of fields is asked for, without conversion.
    let as_slice: &[crate::Field<'_>] = &head.fields;
    assert_eq!(as_slice.len(), 4);
}
