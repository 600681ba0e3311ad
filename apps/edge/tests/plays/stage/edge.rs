//! The edge as a child process, with a config and a store of its own.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::{fs, io};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::{Client, LOOK_AGAIN, Origin, PATIENCE, make_certificate, sandbox};

/// What the config says; by default one site for all hosts, and a small store.
pub(crate) struct Setting {
    folder: TempDir,
    listener: String,
    /// What else stands in the listener's table.
    tls: String,
    admin: PathBuf,
    server: String,
    /// `None` when the store's values name its devices.
    store_path: Option<PathBuf>,
    store: String,
    limits: String,
    sites: String,
    /// The host forbids io_uring.
    is_confined: bool,
}

impl Setting {
    /// One site for all hosts, before this origin.
    pub(crate) fn before(origin: &Origin) -> Self {
        Self::before_url(&origin.url(), "")
    }

    /// The same with more values for the origin, as `key = value, …`.
    pub(crate) fn before_with(origin: &Origin, values: &str) -> Self {
        Self::before_url(&origin.url(), values)
    }

    /// The same before whatever may stand at this URL.
    pub(crate) fn before_url(url: &str, values: &str) -> Self {
        let empty = Self {
            folder: tempfile::tempdir().expect("a folder"),
            listener: "127.0.0.1:0".to_owned(),
            tls: String::new(),
            admin: PathBuf::from(ADMIN),
            store_path: Some(PathBuf::from("store")),
            server: String::new(),
            store: "size = \"64MiB\"\nsegment = \"4MiB\"".to_owned(),
            limits: String::new(),
            sites: String::new(),
            is_confined: carrier_of_all().as_deref() == Some("confined"),
        };
        empty.site("*", url, values)
    }

    /// One more site.
    pub(crate) fn site(mut self, hosts: &str, url: &str, values: &str) -> Self {
        let comma = if values.is_empty() { "" } else { ", " };
        let origin = format!("{{ urls = [\"{url}\"]{comma}{values} }}");
        // Writing to a String cannot fail.
        let _ = writeln!(self.sites, "[[site]]\nhosts = [\"{hosts}\"]\norigin = {origin}");
        self
    }

    /// TLS on the listener, by a certificate for `play.test` that is made for the occasion, and
    /// with these values besides, as `, key = value, …`.
    pub(crate) fn secured(mut self, values: &str) -> Self {
        make_certificate(self.folder.path(), "play", &["play.test"]);
        self.tls = format!("tls = {{ certificate = \"play.pem\", key = \"play.key\"{values} }}");
        self
    }

    /// TLS on the listener, as these lines say.
    pub(crate) fn secured_as(mut self, lines: &str) -> Self {
        self.tls = lines.to_owned();
        self
    }

    /// Lines behind the last site: its values, its defaults and its rules.
    pub(crate) fn rules(mut self, lines: &str) -> Self {
        self.sites.push_str(lines);
        self.sites.push('\n');
        self
    }

    /// Values of `[server]`.
    pub(crate) fn server(mut self, values: &str) -> Self {
        self.server = values.to_owned();
        self
    }

    /// On a host that forbids io_uring.
    pub(crate) fn without_io_uring(mut self) -> Self {
        self.is_confined = true;
        self
    }

    /// On a host that allows it, whatever the environment says of all plays.
    pub(crate) fn with_io_uring(mut self) -> Self {
        self.is_confined = false;
        self
    }

    /// Values of `[store]` instead of the small one's.
    pub(crate) fn store(mut self, values: &str) -> Self {
        self.store = values.to_owned();
        self
    }

    /// Without a memory tier: what was stored once stays after the process.
    pub(crate) fn on_disk(mut self) -> Self {
        self.store.push_str("\nmemory = 0");
        self
    }

    /// Stores there and not in its own folder.
    pub(crate) fn store_at(mut self, path: &Path) -> Self {
        self.store_path = Some(path.to_owned());
        self
    }

    /// Values of `[store]`, the devices among them.
    pub(crate) fn devices(mut self, values: &str) -> Self {
        self.store_path = None;
        self.store(values)
    }

    /// Listens for the admin API there and not in its own folder.
    pub(crate) fn admin_at(mut self, path: &Path) -> Self {
        self.admin = path.to_owned();
        self
    }

    /// Values of `[limits]`.
    pub(crate) fn limits(mut self, values: &str) -> Self {
        self.limits = values.to_owned();
        self
    }

    /// Listens there and not at a port of the kernel's choice.
    pub(crate) fn listener(mut self, address: SocketAddr) -> Self {
        self.listener = address.to_string();
        self
    }

    /// The folder in which everything lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts an edge, which must come up.
    pub(crate) fn start(self) -> Edge {
        self.write();
        Edge::start(self.folder, self.is_confined)
    }

    /// Starts an edge in the cgroup with this list of processes.
    pub(crate) fn start_in(self, processes: &Path) -> Edge {
        self.write();
        let config = self.folder.path().join(CONFIG);
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo $$ > \"$0\" && exec \"$1\" run --config \"$2\""]);
        shell.args([processes.as_os_str(), env!("CARGO_BIN_EXE_edge").as_ref()]).arg(config);
        Edge::start_by(shell, self.folder, self.is_confined)
    }

    /// Starts an edge that must not come up; the folder stays.
    pub(crate) fn fails_to_start(&self) -> Output {
        self.write();
        let mut command = command(self.folder.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = spawn(command, self.is_confined);
        child.wait_with_output().expect("the binary")
    }

    fn write(&self) {
        let Self { listener, tls, server, store, limits, sites, .. } = self;
        let path = self.store_path.as_ref();
        let path = path.map_or_else(String::new, |path| format!("path = \"{}\"", path.display()));
        let admin = self.admin.display();
        // What is stored must not depend on how busy the machine is.
        let patience = match store.contains("write_patience") {
            true => "",
            false => "write_patience = \"1h\"",
        };
        let transport = match carrier_of_all() {
            Some(word) if word != "confined" && !server.contains("transport") => {
                format!("transport = \"{word}\"\n")
            }
            Some(_) | None => String::new(),
        };
        let config = format!(
            "[server]\nworkers = 2\n{server}\n{transport}\
             [[listener]]\naddress = \"{listener}\"\n{tls}\n\
             [store]\n{path}\n{patience}\n{store}\n[limits]\n{limits}\n{sites}\n\
             [admin]\naddress = \"unix:{admin}\"\n[access_log]\npath = \"access.log\"\n"
        );
        fs::write(self.folder.path().join(CONFIG), config).expect("a writable folder");
    }
}

/// A running edge, or one that has been killed and may run again.
pub(crate) struct Edge {
    folder: TempDir,
    child: Child,
    listener: SocketAddr,
    log: Arc<Mutex<String>>,
    log_reader: Option<JoinHandle<()>>,
    is_confined: bool,
}

impl Edge {
    /// One site for all hosts, before this origin.
    pub(crate) fn before(origin: &Origin) -> Self {
        Setting::before(origin).start()
    }

    fn start(folder: TempDir, is_confined: bool) -> Self {
        Self::start_by(command(folder.path()), folder, is_confined)
    }

    fn start_by(mut command: Command, folder: TempDir, is_confined: bool) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(command, is_confined);
        let mut stderr = child.stderr.take().expect("a pipe");
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        let log_reader = thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut some) {
                let text = String::from_utf8_lossy(&some[..read]);
                written.lock().expect("no panic under the lock").push_str(&text);
            }
        });
        let listener = SocketAddr::from(([0, 0, 0, 0], 0));
        let log_reader = Some(log_reader);
        let mut edge = Self { folder, child, listener, log, log_reader, is_confined };
        let begun = Instant::now();
        while edge.admin("GET /readyz", "").is_none_or(|(code, _)| code != 200) {
            let ended = edge.child.try_wait().expect("a child");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "no edge\n{}", edge.log());
            thread::sleep(LOOK_AGAIN);
        }
        let status = edge.status();
        let listener = status["listeners"][0].as_str().expect("an address");
        edge.listener = listener.parse().expect("an address");
        edge
    }

    /// Runs again, on the same store, after it has ended.
    pub(crate) fn start_again(mut self) -> Self {
        let nowhere = tempfile::tempdir().expect("a folder");
        let folder = std::mem::replace(&mut self.folder, nowhere);
        let is_confined = self.is_confined;
        drop(self);
        Self::start(folder, is_confined)
    }

    /// Changes a text in the config, for the next start.
    pub(crate) fn edit_config(&self, from: &str, to: &str) {
        let path = self.folder.path().join(CONFIG);
        let config = fs::read_to_string(&path).expect("a config");
        assert!(config.contains(from), "{config}");
        fs::write(path, config.replace(from, to)).expect("a writable folder");
    }

    /// Bounds the size of every file that this edge writes, from now on.
    pub(crate) fn limit_files(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        let id = i32::try_from(self.child.id()).expect("a process id");
        prlimit(Pid::from_raw(id), Resource::Fsize, limit).expect("a child");
    }

    /// Runs `edge store …` on this edge's config.
    pub(crate) fn store_tool(&self, command: &str) -> Output {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_edge"));
        tool.args(["store", command, "--json", "--config"]).arg(self.folder.path().join(CONFIG));
        tool.output().expect("the binary")
    }

    /// A new connection.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.listener)
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener
    }

    /// The folder in which config, store and access log lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `/status.json`
    pub(crate) fn status(&self) -> Value {
        let (code, body) = self.admin("GET /status.json", "").expect("the admin API answers");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// A counter by its name and label, as `/status.json` has it.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let counter = &self.status()["counters"][name];
        counter.as_u64().unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// Connections in a state, or tunnels.
    pub(crate) fn connections(&self, which: &str) -> u64 {
        let count = &self.status()["connections"][which];
        count.as_u64().unwrap_or_else(|| panic!("no connections {which}"))
    }

    /// Waits until no connection is open any more.
    pub(crate) fn wait_for_nobody(&self) {
        let states = ["parked", "active", "closing"];
        self.wait("the end of all", |edge| states.iter().all(|state| edge.connections(state) == 0));
    }

    /// Connections that ended in the middle of something by their clients' doing.
    pub(crate) fn left(&self) -> u64 {
        let of = |why| self.counter(&format!("longhold_connections_closed_total{{reason={why}}}"));
        of("peer-reset") + of("peer-aborted")
    }

    /// How many requests have been sent to origins.
    pub(crate) fn fetches(&self) -> u64 {
        self.counter("longhold_origin_fetches_total")
    }

    /// Waits until a counter has reached `least`.
    pub(crate) fn wait_for(&self, name: &str, least: u64) {
        self.wait(name, |edge| edge.counter(name) >= least);
    }

    /// Waits until so many responses have been stored since the start. A client may have its
    /// response before the store has.
    pub(crate) fn wait_for_stored(&self, count: u64) {
        self.wait_for("longhold_store_stored_total", count);
    }

    /// Waits until so many requests, of all since the start, have found nothing in the store and
    /// lead or follow a fetch.
    pub(crate) fn wait_for_misses(&self, count: u64) {
        let handed_over = |edge: &Self| {
            let status = edge.status();
            let misses = &status["counters"]["longhold_store_lookups_total{result=miss}"];
            misses.as_u64() >= Some(count) && status["fill_queue"] == 0
        };
        // A second look, because the first may fall between a request's lookup and its hand-over.
        self.wait("the misses", |edge| handed_over(edge) && handed_over(edge));
    }

    /// Waits until so many connections are active: each has an exchange in progress.
    pub(crate) fn wait_for_active(&self, count: u64) {
        self.wait("active connections", |edge| edge.status()["connections"]["active"] == count);
    }

    /// Waits until something is so.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "{what} did not come\n{}", self.log());
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Purges a URL by the admin API; returns whether something was stored.
    pub(crate) fn purge(&self, url: &str) -> bool {
        let reply = self.purge_all_of(&serde_json::json!({ "url": url }));
        reply["found"].as_bool().expect("found")
    }

    /// Purges by the admin API what an order names; returns the reply.
    pub(crate) fn purge_all_of(&self, order: &Value) -> Value {
        let (code, reply) =
            self.admin("POST /purge", &order.to_string()).expect("the admin API answers");
        assert_eq!(code, 200, "{reply}");
        serde_json::from_str(&reply).expect("JSON")
    }

    /// Posts an order to the admin API; returns the reply.
    pub(crate) fn order(&self, line: &str, order: &Value) -> Value {
        let (code, reply) = self.admin(line, &order.to_string()).expect("the admin API answers");
        assert_eq!(code, 200, "{reply}");
        serde_json::from_str(&reply).expect("JSON")
    }

    /// `/metrics`
    pub(crate) fn metrics(&self) -> String {
        self.admin("GET /metrics", "").expect("the admin API answers").1
    }

    /// Runs a command of the binary against this edge's admin socket.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let admin = format!("unix:{}", self.socket().display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
        command.args(arguments).args(["--admin", &admin]).output().expect("the binary")
    }

    /// The process' id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// Resident memory that is no file's, bytes.
    pub(crate) fn own_bytes(&self) -> u64 {
        self.memory_bytes("RssAnon:")
    }

    fn memory_bytes(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(path).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let pages = line.and_then(|line| line.trim().strip_suffix(" kB")).map(str::parse::<u64>);
        pages.expect("a line").expect("a number") * 1024
    }

    /// SIGHUP
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// SIGTERM
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// kill -9, and waits for the process to be gone.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("a child");
    }

    /// Waits for the process to end by itself.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                if let Some(reader) = self.log_reader.take() {
                    reader.join().expect("no panic");
                }
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the edge does not end\n{}", self.log());
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no panic under the lock").clone()
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let id = Pid::from_raw(id).expect("a process id");
        kill_process(id, signal).expect("a child");
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join(ADMIN)
    }

    /// One request to the admin API; `None` while nobody answers.
    pub(crate) fn admin(&self, line: &str, body: &str) -> Option<(u16, String)> {
        let ask = || -> io::Result<String> {
            let mut stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(
                stream,
                "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the edge's log:\n{}", self.log());
        }
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    command.args(["run", "--config"]).arg(folder.join(CONFIG));
    command
}

/// What carries the bytes in all plays that do not say it themselves: `uring`, `epoll`, or
/// `confined` for a host that forbids io_uring, by the environment.
fn carrier_of_all() -> Option<String> {
    std::env::var("LONGHOLD_TEST_TRANSPORT").ok()
}

fn spawn(mut command: Command, is_confined: bool) -> Child {
    let spawned = match is_confined {
        true => sandbox::spawn_without_io_uring(command),
        false => command.spawn(),
    };
    spawned.expect("the binary")
}

const CONFIG: &str = "edge.toml";
const ADMIN: &str = "admin";
