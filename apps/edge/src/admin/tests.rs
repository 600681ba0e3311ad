//! The admin API over real sockets: what is answered, to whom, and where it ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::json;

use super::bind::{BindError, bind};
use super::client::{self, ClientError};
use super::serve::CONNECTIONS_MAX;
use super::{
    ExplainAsk, ExplainError, Handles, NAMES_MAX, PurgeError, PurgeOrder, PurgeReply, Readiness,
};
use crate::config::checked::{Admin, AdminAddress};
use crate::connections::close::Closed;
use crate::control::{self, Control};

/// Handles that answer plainly; a purge of a URL that names an error fails with it.
fn handles() -> Handles {
    Handles {
        readiness: Arc::new(|| Readiness::Ready),
        metrics: Arc::new(|| "requests_total 7\n".to_owned()),
        status: Arc::new(|| json!({ "version": "0.1.0", "objects": 3 })),
        purge: Arc::new(|order| {
            Box::pin(async move {
                let found = order.url.iter().any(|url| url.contains("stored"));
                match order.url.first().map_or("", String::as_str) {
                    "bad" => Err(PurgeError::BadUrl),
                    "nosite" => Err(PurgeError::NoSite),
                    "unavailable" => Err(PurgeError::Unavailable),
                    "notdurable" => Err(PurgeError::NotDurable),
                    "timedout" => Err(PurgeError::TimedOut),
                    _ => Ok(PurgeReply {
                        found: order.is_of_urls().then_some(found),
                        count: order.is_of_urls().then_some(u64::from(found)),
                        at_ms: 7,
                        duration_us: 42,
                    }),
                }
            })
        }),
        explain: Arc::new(|ask| {
            Box::pin(async move {
                match ask.url.as_str() {
                    "bad" => Err(ExplainError::BadUrl),
                    "nosite" => Err(ExplainError::NoSite),
                    "unavailable" => Err(ExplainError::Unavailable),
                    "badrequest" => Err(ExplainError::BadRequest),
                    url => Ok(json!({ "url": url, "fields": ask.fields, "method": ask.method })),
                }
            })
        }),
        census: Arc::new(|ask| Box::pin(async move { Ok(json!({ "asked": ask.filter })) })),
        close: Arc::new(|_| Box::pin(async { Ok(Closed { closed: 3, complete: true }) })),
        budget: Arc::new(|bytes| json!({ "memory_bytes": bytes })),
        tick: Arc::new(|| {}),
    }
}

fn order(url: &str) -> PurgeOrder {
    PurgeOrder { url: vec![url.to_owned()], ..PurgeOrder::default() }
}

fn start(token: Option<&str>, handles: Handles) -> (Control, SocketAddr) {
    let address = AdminAddress::Tcp("127.0.0.1:0".parse().unwrap());
    let control = control::start(&Admin { address, token: token.map(str::to_owned) }, handles);
    let control = control.unwrap();
    let AdminAddress::Tcp(address) = *control.address() else { panic!("not TCP") };
    (control, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Sends bytes and reads all that comes until the end, which `Connection: close` asks for.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

fn get(address: SocketAddr, path: &str, fields: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n");
    ask(address, &request)
}

fn post(address: SocketAddr, fields: &str, body: &str) -> String {
    post_to(address, "/purge", fields, body)
}

fn post_to(address: SocketAddr, path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {fields}\r\n{body}"
    );
    ask(address, &request)
}

fn status(reply: &str) -> u16 {
    reply.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

const HERE: &str = "Host: localhost:9900\r\n";
const JSON: &str = "Host: localhost\r\nContent-Type: application/json\r\n";

#[test]
fn each_path_answers_in_its_own_form() {
    let (_control, address) = start(None, handles());
    let table = [
        ("/healthz", 200, "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", 200, "text/plain; charset=utf-8", "ready\n"),
        ("/metrics", 200, "text/plain; version=0.0.4", "requests_total 7\n"),
        ("/status.json", 200, "application/json", "\"objects\":3"),
        (
            "/connections.json?state=parked&list=3",
            200,
            "application/json",
            "{\"state\":\"parked\"}",
        ),
        ("/connections.json?stat=parked", 400, "application/json", "the query is no filter"),
        ("/connections.json?list=201", 400, "application/json", "the query is no filter"),
        ("/status.json?x=1", 200, "application/json", "\"objects\":3"),
        ("/", 200, "text/html; charset=utf-8", "<title>Longhold edge</title>"),
        ("/none", 404, "application/json", "no such path"),
        ("/purge", 405, "application/json", "wrong method"),
    ];
    for (path, code, content_type, body) in table {
        let reply = get(address, path, HERE);
        assert_eq!(status(&reply), code, "{path}: {reply}");
        assert!(reply.contains(&format!("content-type: {content_type}")), "{path}: {reply}");
        assert!(reply.contains(body), "{path}: {reply}");
        assert!(reply.contains("cache-control: no-store"), "{path}: {reply}");
    }
}

#[test]
fn head_is_answered_without_a_body_and_other_methods_are_refused() {
    let (_control, address) = start(None, handles());
    let request = format!("HEAD /status.json HTTP/1.1\r\nConnection: close\r\n{HERE}\r\n");
    let reply = ask(address, &request);
    assert!(status(&reply) == 200 && reply.ends_with("\r\n\r\n"), "{reply}");
    let request = format!("DELETE / HTTP/1.1\r\nConnection: close\r\n{HERE}\r\n");
    let reply = ask(address, &request);
    assert!(status(&reply) == 405 && reply.contains("allow: GET, HEAD"), "{reply}");
}

#[test]
fn readiness_is_503_before_and_while_draining() {
    let readiness = Arc::new(Mutex::new(Readiness::Starting));
    let shared = Arc::clone(&readiness);
    let handle = move || *shared.lock().unwrap();
    let (_control, address) = start(None, Handles { readiness: Arc::new(handle), ..handles() });
    for (state, code) in
        [(Readiness::Starting, 503), (Readiness::Ready, 200), (Readiness::Draining, 503)]
    {
        *readiness.lock().unwrap() = state;
        let reply = get(address, "/readyz", "Host: balancer.example\r\n");
        assert_eq!(status(&reply), code, "{reply}");
        assert!(reply.ends_with(&format!("{}\n", state.word())), "{reply}");
        assert_eq!(status(&get(address, "/healthz", HERE)), 200);
    }
}

/// AD-1
#[test]
fn without_a_token_only_this_machine_is_answered() {
    let (_control, address) = start(None, handles());
    let table = [
        ("Host: localhost\r\n", 200),
        ("Host: LOCALHOST:9900\r\n", 200),
        ("Host: 127.0.0.1:9900\r\n", 200),
        ("Host: 127.9.9.9\r\n", 200),
        ("Host: [::1]:9900\r\n", 200),
        ("Host: rebound.example\r\n", 421),
        ("Host: rebound.example:9900\r\n", 421),
        ("Host: 127.0.0.1.rebound.example\r\n", 421),
        ("Host: localhost.rebound.example\r\n", 421),
        ("Host: 10.0.0.1\r\n", 421),
        ("Host: [2001:db8::1]\r\n", 421),
        ("Host: \r\n", 421),
        ("", 421),
        ("Host: localhost\r\nHost: rebound.example\r\n", 421),
    ];
    for (fields, code) in table {
        for path in ["/status.json", "/metrics"] {
            assert_eq!(status(&get(address, path, fields)), code, "{path} {fields}");
        }
        let fields = format!("{fields}Content-Type: application/json\r\n");
        assert_eq!(status(&post(address, &fields, "{\"url\":\"u\"}")), code, "{fields}");
    }
}

/// AD-1
#[test]
fn foreign_pages_cannot_purge() {
    let (_control, address) = start(None, handles());
    let body = "{\"url\":\"http://a/stored\"}";
    let table = [
        ("Host: localhost:9900\r\nContent-Type: application/json\r\n", 200),
        ("Host: localhost:9900\r\nContent-Type: application/json; charset=utf-8\r\n", 200),
        ("Host: localhost:9900\r\nContent-Type: text/plain\r\n", 415),
        ("Host: localhost:9900\r\nContent-Type: application/x-www-form-urlencoded\r\n", 415),
        ("Host: localhost:9900\r\nContent-Type: multipart/form-data\r\n", 415),
        ("Host: localhost:9900\r\n", 415),
        (
            "Host: localhost:9900\r\nOrigin: http://localhost:9900\r\n\
          Content-Type: application/json\r\n",
            200,
        ),
        (
            "Host: localhost:9900\r\nOrigin: http://evil.example\r\n\
          Content-Type: application/json\r\n",
            403,
        ),
        (
            "Host: localhost:9900\r\nOrigin: http://localhost:1\r\n\
          Content-Type: application/json\r\n",
            403,
        ),
        ("Host: localhost:9900\r\nOrigin: null\r\nContent-Type: application/json\r\n", 403),
    ];
    for (fields, code) in table {
        assert_eq!(status(&post(address, fields, body)), code, "{fields}");
    }
}

/// AD-2
#[test]
fn with_a_token_state_needs_it_and_health_does_not() {
    let (_control, address) = start(Some("a-long-enough-secret"), handles());
    let table = [
        ("", 401),
        ("Authorization: Bearer wrong\r\n", 401),
        ("Authorization: Bearer a-long-enough-secreT\r\n", 401),
        ("Authorization: Bearer a-long-enough-secret2\r\n", 401),
        ("Authorization: Bearer \r\n", 401),
        ("Authorization: Basic a-long-enough-secret\r\n", 401),
        ("Authorization: Bearer a-long-enough-secret\r\n", 200),
        ("Authorization: bearer a-long-enough-secret\r\n", 200),
    ];
    for (fields, code) in table {
        let fields = format!("Host: admin.example\r\n{fields}");
        for path in ["/status.json", "/metrics"] {
            let reply = get(address, path, &fields);
            assert_eq!(status(&reply), code, "{path} {fields}");
            assert_eq!(reply.contains("www-authenticate: Bearer"), code == 401);
        }
        let typed = format!("{fields}Content-Type: application/json\r\n");
        assert_eq!(status(&post(address, &typed, "{\"url\":\"u\"}")), code, "{fields}");
        for path in ["/healthz", "/readyz", "/"] {
            assert_eq!(status(&get(address, path, &fields)), 200, "{path} {fields}");
        }
    }
}

#[test]
fn form_is_taken_with_the_token_only() {
    let (_control, address) = start(Some("a-long-enough-secret"), handles());
    let fields = "Host: a\r\nAuthorization: Bearer a-long-enough-secret\r\n\
                  Content-Type: application/x-www-form-urlencoded\r\n";
    let table = [
        ("url=http%3A%2F%2Fa%2Fstored+x", 200, "\"url\":\"http://a/stored x\""),
        ("url=http://a/", 200, "\"found\":false"),
        ("url=a&url=b&soft=true", 200, "\"url\":[\"a\",\"b\"]"),
        ("tag=a&host=b&prefix=c", 200, "\"prefix\":\"c\""),
        ("all=true", 200, "\"all\":true"),
        ("x=1&url=a", 400, "the form is no purge"),
        ("all=yes", 400, "the form is no purge"),
        ("soft=true", 400, "the purge names nothing"),
        ("url=%4", 400, "the form is no purge"),
        ("url=%ff", 400, "the form is no purge"),
    ];
    for (body, code, said) in table {
        let reply = post(address, fields, body);
        assert_eq!(status(&reply), code, "{body}: {reply}");
        assert!(reply.contains(said), "{body}: {reply}");
    }
}

#[test]
fn purge_answers_what_the_store_said() {
    let (_control, address) = start(None, handles());
    let table = [
        ("{\"url\":\"http://a/stored\"}", 200, "\"found\":true"),
        ("{\"url\":\"http://a/\"}", 200, "\"duration_us\":42"),
        ("{\"url\":\"bad\"}", 400, "not an absolute http or https URL"),
        ("{\"url\":\"nosite\"}", 404, "no site answers for the URL's host"),
        ("{\"url\":\"unavailable\"}", 503, "does not take purges now"),
        ("{\"url\":\"notdurable\"}", 500, "could not be made durable"),
        ("{\"url\":\"timedout\"}", 504, "was not confirmed in time"),
        ("", 400, "the body is no purge"),
        ("{\"url\":[\"http://a/stored\",\"u\"]}", 200, "\"count\":1"),
        ("{\"prefix\":\"http://a/\"}", 200, "\"count\":null"),
        ("{\"url\":\"u\",\"soft\":true}", 200, "\"soft\":true"),
        ("{\"tag\":[\"a\",\"b\"],\"host\":\"h\"}", 200, "\"tag\":[\"a\",\"b\"]"),
        ("{\"all\":true}", 200, "\"at_ms\":7"),
        ("{}", 400, "the purge names nothing"),
        ("{\"soft\":true}", 400, "the purge names nothing"),
        ("{\"all\":false}", 400, "the purge names nothing"),
        ("{\"tag\":[]}", 400, "the purge names nothing"),
        ("{\"url\":7}", 400, "the body is no purge"),
        ("{\"urls\":\"u\"}", 400, "the body is no purge"),
    ];
    for (body, code, said) in table {
        let reply = post(address, JSON, body);
        assert_eq!(status(&reply), code, "{body}: {reply}");
        assert!(reply.contains(said), "{body}: {reply}");
        assert!(code == 200 || reply.contains("\"remedy\":\""), "{body}: {reply}");
    }
}

#[test]
fn explanation_is_asked_for_by_a_query() {
    let (_control, address) = start(None, handles());
    let table = [
        ("url=http%3A%2F%2Fa%2F%3Fx", 200, "\"url\":\"http://a/?x\""),
        ("url=u&field=A:+b&field=C%3Ad", 200, "\"fields\":[\"A: b\",\"C:d\"]"),
        ("url=u&method=HEAD", 200, "\"method\":\"HEAD\""),
        ("url=u", 200, "\"method\":\"GET\""),
        ("", 400, "names no request"),
        ("field=A:b", 400, "names no request"),
        ("url=u&url=v", 400, "names no request"),
        ("url=u&x=y", 400, "names no request"),
        ("url=%ff", 400, "names no request"),
        ("url=bad", 400, "not an absolute http or https URL"),
        ("url=badrequest", 400, "make no request"),
        ("url=nosite", 404, "no site answers"),
        ("url=unavailable", 503, "explains nothing now"),
    ];
    for (query, code, said) in table {
        let reply = get(address, &format!("/explain?{query}"), HERE);
        assert_eq!(status(&reply), code, "{query}: {reply}");
        assert!(reply.contains(said), "{query}: {reply}");
        assert!(code == 200 || reply.contains("\"remedy\":\""), "{query}: {reply}");
    }
    assert_eq!(status(&get(address, "/explain", HERE)), 400);
    assert_eq!(status(&get(address, "/explain?url=u", "Host: rebound.example\r\n")), 421);
    let ask = ExplainAsk {
        url: "http://a/ä b?c=d&e#%".to_owned(),
        fields: vec!["A: b&c=d+e".to_owned(), "B: \u{1}".to_owned()],
        method: "FROB".to_owned(),
    };
    let said = client::explain(&AdminAddress::Tcp(address), None, &ask).unwrap();
    let expected = json!({ "url": ask.url, "fields": ask.fields, "method": ask.method });
    assert_eq!(said, expected, "what is asked arrives as it was");
}

/// AD-3
#[test]
fn purge_names_a_bounded_number_of_things() {
    let (_control, address) = start(None, handles());
    let named = |count: usize| json!({ "tag": vec!["t"; count] }).to_string();
    assert_eq!(status(&post(address, JSON, &named(NAMES_MAX))), 200);
    let reply = post(address, JSON, &named(NAMES_MAX + 1));
    assert!(status(&reply) == 413 && reply.contains("names too much"), "{reply}");
}

/// AD-4
#[test]
fn purge_is_not_answered_before_it_is_durable() {
    let (durable, waiting) = tokio::sync::oneshot::channel::<()>();
    let waiting = Arc::new(Mutex::new(Some(waiting)));
    let purge = move |_: PurgeOrder| -> super::Purging {
        let waiting = waiting.lock().unwrap().take().unwrap();
        Box::pin(async move {
            waiting.await.map_err(|_| PurgeError::Unavailable)?;
            Ok(PurgeReply::default())
        })
    };
    let (_control, address) = start(None, Handles { purge: Arc::new(purge), ..handles() });
    let (answers, answer) = mpsc::channel();
    let asking = thread::spawn(move || {
        answers.send(post(address, JSON, "{\"url\":\"u\"}")).unwrap();
    });
    assert!(answer.recv_timeout(Duration::from_millis(200)).is_err());
    // The thread that waits for it is not held up meanwhile.
    assert_eq!(status(&get(address, "/healthz", HERE)), 200);
    durable.send(()).unwrap();
    assert_eq!(status(&answer.recv_timeout(Duration::from_secs(10)).unwrap()), 200);
    asking.join().unwrap();
}

/// AD-3
#[test]
fn oversized_bodies_and_heads_are_refused() {
    let (_control, address) = start(None, handles());
    let body = format!("{{\"url\":\"{}\"}}", "a".repeat(66_000));
    assert_eq!(status(&post(address, JSON, &body)), 413);
    let body = format!("{{\"url\":\"{}\"}}", "a".repeat(65_000));
    assert_eq!(status(&post(address, JSON, &body)), 200);
    let mut stream = connect(address);
    let head = format!("GET / HTTP/1.1\r\n{HERE}X: {}\r\n", "a".repeat(64 * 1024));
    // It may stop reading before the end.
    let _ = stream.write_all(head.as_bytes());
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    assert!(reply.is_empty() || status(&String::from_utf8_lossy(&reply)) == 431);
    let fields: String = (0..65).map(|number| format!("X-{number}: 1\r\n")).collect();
    assert_eq!(status(&get(address, "/healthz", &format!("{HERE}{fields}"))), 431);
}

/// AD-3
#[test]
fn connection_beyond_the_bound_waits_until_one_ends() {
    let (_control, address) = start(None, handles());
    let mut held: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| connect(address)).collect();
    for stream in &mut held {
        stream.write_all(format!("GET /healthz HTTP/1.1\r\n{HERE}\r\n").as_bytes()).unwrap();
        let mut some = [0; 12];
        stream.read_exact(&mut some).unwrap();
        assert_eq!(&some, b"HTTP/1.1 200");
    }
    let mut further = connect(address);
    let request = format!("GET /healthz HTTP/1.1\r\nConnection: close\r\n{HERE}\r\n");
    further.write_all(request.as_bytes()).unwrap();
    further.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(further.read(&mut [0; 1]).is_err());
    held.pop();
    further.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut reply = String::new();
    further.read_to_string(&mut reply).unwrap();
    assert_eq!(status(&reply), 200);
}

#[test]
fn end_does_not_wait_for_resting_connections() {
    let (control, address) = start(None, handles());
    let mut resting = connect(address);
    resting.write_all(format!("GET /healthz HTTP/1.1\r\n{HERE}\r\n").as_bytes()).unwrap();
    resting.read_exact(&mut [0; 12]).unwrap();
    let _silent = connect(address);
    let began = Instant::now();
    drop(control);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn tick_is_called_from_time_to_time() {
    let count = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&count);
    let tick = move || {
        shared.fetch_add(1, Ordering::SeqCst);
    };
    let (_control, _) = start(None, Handles { tick: Arc::new(tick), ..handles() });
    let deadline = Instant::now() + Duration::from_secs(10);
    while count.load(Ordering::SeqCst) < 2 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn page_asks_this_address_only_and_holds_no_data() {
    let (_control, address) = start(None, handles());
    let reply = get(address, "/", HERE);
    assert!(reply.contains("content-security-policy: default-src 'none'"), "{reply}");
    assert!(reply.contains("connect-src 'self'"), "{reply}");
    let (_, page) = reply.split_once("\r\n\r\n").unwrap();
    for outside in ["src=", "url(", "@import", "//cdn", "innerHTML"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
}

fn socket_path(folder: &Path) -> (PathBuf, AdminAddress) {
    let path = folder.join("admin.sock");
    (path.clone(), AdminAddress::Unix(path))
}

#[test]
fn unix_socket_is_for_its_owner_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (path, address) = socket_path(folder.path());
    let admin = Admin { address: address.clone(), token: None };
    let control = control::start(&admin, handles()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    let request = "GET /status.json HTTP/1.1\r\nConnection: close\r\nHost: any.example\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(status(&reply), 200);
    let done = client::purge(&address, None, &order("http://a/stored")).unwrap();
    let found = Some(true);
    assert_eq!(done, PurgeReply { found, count: Some(1), at_ms: 7, duration_us: 42 });
    assert!(matches!(bind(&address), Err(BindError::InUse(_))));
    drop(control);
    assert!(!path.exists());
}

#[test]
fn stale_socket_is_replaced_and_other_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, address) = socket_path(folder.path());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(bind(&address).unwrap());
    assert!(!path.exists());
    fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(&address), Err(BindError::NotASocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn address_that_cannot_be_bound_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    assert_eq!(
        bind(&AdminAddress::Tcp(address)).unwrap_err().to_string(),
        format!(
            "the admin address {address} is in use by another process; end it, or set another \
                 address"
        )
    );
    let elsewhere = AdminAddress::Tcp("192.0.2.1:9900".parse().unwrap());
    assert_eq!(
        bind(&elsewhere).unwrap_err().to_string(),
        "the admin address 192.0.2.1:9900 is none of this host's; use one of its addresses"
    );
    let nowhere = AdminAddress::Unix("/nonexistent/admin.sock".into());
    assert_eq!(
        bind(&nowhere).unwrap_err().to_string(),
        "the admin address unix:/nonexistent/admin.sock cannot be bound: entity not found; check \
         the path and its rights"
    );
}

#[test]
fn client_tells_apart_what_can_go_wrong() {
    let (control, tcp) = start(Some("a-long-enough-secret"), handles());
    let address = AdminAddress::Tcp(tcp);
    let done =
        client::purge(&address, Some("a-long-enough-secret"), &order("http://a/stored")).unwrap();
    assert_eq!(done.found, Some(true));
    let refused = client::purge(&address, None, &order("http://a/")).unwrap_err().to_string();
    assert_eq!(
        refused,
        "the edge refused: the admin token is missing or wrong; send Authorization: Bearer with \
         the value of admin.token"
    );
    let bad = client::purge(&address, Some("a\nb"), &order("http://a/"));
    assert!(matches!(bad, Err(ClientError::BadToken)));
    drop(control);
    let gone = client::purge(&address, None, &order("http://a/"));
    assert!(matches!(gone, Err(ClientError::Unreachable { .. })));
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = AdminAddress::Tcp(other.local_addr().unwrap());
    let answering = thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        let _ = stream.read(&mut [0; 1024]);
    });
    let odd = client::purge(&address, None, &order("http://a/"));
    assert!(matches!(odd, Err(ClientError::NotAnEdge(_))), "{odd:?}");
    answering.join().unwrap();
}

#[test]
fn connections_are_closed_by_a_filter_or_all_by_name() {
    let (_control, address) = start(None, handles());
    for (body, code) in [
        ("{\"state\":\"parked\"}", 200),
        ("{\"all\":true}", 200),
        ("{}", 400),
        ("{\"all\":true,\"state\":\"parked\"}", 400),
        ("{\"stat\":\"parked\"}", 400),
        ("all", 400),
    ] {
        let reply = post_to(address, "/connections/close", JSON, body);
        assert_eq!(status(&reply), code, "{body}: {reply}");
        assert_eq!(reply.contains("\"closed\":3"), code == 200, "{reply}");
    }
    assert_eq!(status(&get(address, "/connections/close", HERE)), 405);
    let foreign = "Host: localhost\r\nContent-Type: text/plain\r\n";
    let reply = post_to(address, "/connections/close", foreign, "{\"all\":true}");
    assert!(status(&reply) >= 400, "{reply}");
}

#[test]
fn budget_is_a_size_or_the_configs() {
    let (_control, address) = start(None, handles());
    for (body, code, told) in [
        ("{\"memory\":\"4GiB\"}", 200, "{\"memory_bytes\":4294967296}"),
        ("{\"memory\":null}", 200, "{\"memory_bytes\":null}"),
        ("{\"memory\":\"4\"}", 400, "the body is no budget"),
        ("{\"memory\":\"1MiB\"}", 400, "send 4MiB or more"),
        ("{\"budget\":\"4GiB\"}", 400, "the body is no budget"),
    ] {
        let reply = post_to(address, "/budget", JSON, body);
        assert!(status(&reply) == code && reply.contains(told), "{body}: {reply}");
    }
}
