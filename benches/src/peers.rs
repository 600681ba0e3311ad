//! nginx, HAProxy and Varnish before the scripted origin, as a careful operator would set them up
//! for the one question of the bench: what a cache hit costs.
//!
//! Each has one worker, no access log, keep-alive without end, a cache that holds every object of
//! the bench, and says `Cache-Status: …; hit`, so that the client can see that it measures hits.
//! All listen on loopback, write below one scratch folder, and end with the value that started
//! them; only processes that were started here are ever signalled, by their ids.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A server that the edge is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx with `proxy_cache`, files under a page cache, `sendfile`.
    Nginx,
    /// HAProxy with its RAM cache.
    Haproxy,
    /// Varnish with `malloc` storage.
    Varnish,
}

/// A certificate and its key for peers that speak TLS: PEM files, and one that holds both.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, and whatever stands behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A running peer; dropping it ends it.
#[derive(Debug)]
pub struct Peer {
    /// Which one.
    pub kind: Kind,
    /// What it says of its version.
    pub version: String,
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    pids: Vec<u32>,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Varnish];

    /// Name for people and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Varnish => "varnish",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Varnish => "varnishd",
        }
    }

    /// What it says of its version; `None` when it is not installed.
    pub fn version(self) -> Option<String> {
        let flag = match self {
            Self::Nginx | Self::Haproxy => "-v",
            Self::Varnish => "-V",
        };
        let output = Command::new(self.program()).arg(flag).stdin(Stdio::null()).output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        let line = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned();
        Some(line)
    }

    /// Whether it speaks TLS itself.
    pub const fn speaks_tls(self) -> bool {
        match self {
            Self::Nginx | Self::Haproxy => true,
            Self::Varnish => false,
        }
    }

    /// Starts it before `origin`, with its files in a folder of its own below `scratch`; with an
    /// identity it speaks TLS. `None` when it is not installed, or cannot.
    ///
    /// # Errors
    /// It is installed, and ends or does not listen within 10 s; the message holds its own words.
    pub fn start(
        self,
        origin: SocketAddr,
        identity: Option<&Identity>,
        scratch: &Path,
    ) -> Result<Option<Peer>> {
        if identity.is_some() && !self.speaks_tls() {
            return Ok(None);
        }
        let Some(version) = self.version() else { return Ok(None) };
        let folder = scratch.join(self.name());
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let address = free_address()?;
        let command = self.command((address, origin), identity, &folder)?;
        Peer::start(self, version, address, command, &folder).map(Some)
    }

    /// Writes its configuration and says how it is started, in the foreground.
    fn command(
        self,
        (address, origin): (SocketAddr, SocketAddr),
        identity: Option<&Identity>,
        folder: &Path,
    ) -> Result<Command> {
        let (file, text) = match self {
            Self::Nginx => ("nginx.conf", nginx_config((address, origin), identity, folder)),
            Self::Haproxy => {
                let both = identity.map(|identity| identity.in_one(folder)).transpose()?;
                ("haproxy.cfg", haproxy_config(address, origin, both.as_deref()))
            }
            Self::Varnish => ("bench.vcl", varnish_config(origin)),
        };
        let path = folder.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        let mut command = Command::new(self.program());
        match self {
            Self::Nginx => {
                let errors = folder.join("error.log");
                command.arg("-p").arg(folder).arg("-c").arg(&path).arg("-e").arg(errors)
            }
            Self::Haproxy => command.arg("-db").arg("-f").arg(&path),
            Self::Varnish => command
                .args(["-F", "-j", "none", "-T", "none", "-s", "malloc,256m", "-a"])
                .arg(address.to_string())
                .arg("-n")
                .arg(folder.join("work"))
                .arg("-f")
                .arg(&path)
                .args(["-p", "thread_pools=1", "-p", "timeout_idle=3600"]),
        };
        Ok(command)
    }
}

impl Identity {
    /// Certificate and key in one file, which HAProxy wants.
    fn in_one(&self, folder: &Path) -> Result<PathBuf> {
        let read = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let both = folder.join("both.pem");
        fs::write(&both, read(&self.certificate)? + &read(&self.key)?)?;
        Ok(both)
    }
}

impl Peer {
    fn start(
        kind: Kind,
        version: String,
        address: SocketAddr,
        mut command: Command,
        folder: &Path,
    ) -> Result<Self> {
        let log = folder.join("output.log");
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {}", kind.program()))?;
        let mut peer = Self { kind, version, address, child, pids: Vec::new() };
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect_timeout(&address, RETRY_EVERY).is_err() {
            let ended = peer.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("{} does not listen on {address}:\n{said}", kind.name());
            }
            thread::sleep(RETRY_EVERY);
        }
        peer.pids = with_descendants(peer.child.id());
        Ok(peer)
    }

    /// Ids of all its processes: the one that was started, and its children.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    fn stop(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        // The program ends its children itself; only if it does not, it is killed.
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            kill_process(pid, Signal::TERM)?;
        }
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(RETRY_EVERY);
        }
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("peers: cannot end {}: {error}", self.kind.name());
        }
    }
}

fn nginx_config(
    (address, origin): (SocketAddr, SocketAddr),
    identity: Option<&Identity>,
    folder: &Path,
) -> String {
    let folder = folder.display();
    let ssl = if identity.is_some() { " ssl" } else { "" };
    let files = identity.map_or_else(String::new, |Identity { certificate, key }| {
        format!(
            "ssl_certificate {};
        ssl_certificate_key {};
        ssl_protocols TLSv1.3;",
            certificate.display(),
            key.display()
        )
    });
    // As root its workers would become another user, who may not write here.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    format!(
        "{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 16384; multi_accept on; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    open_file_cache max=10000 inactive=3600s;
    open_file_cache_valid 3600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=bench:16m max_size=1g inactive=24h
                     use_temp_path=off;
    map $upstream_cache_status $cache_status {{
        HIT     \"nginx; hit\";
        default \"nginx; fwd=miss\";
    }}
    upstream origin {{ server {origin}; keepalive 16; }}
    server {{
        listen {address}{ssl} backlog=4096;
        {files}
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_cache bench;
            proxy_cache_lock on;
            add_header Cache-Status $cache_status;
        }}
    }}
}}
"
    )
}

fn haproxy_config(address: SocketAddr, origin: SocketAddr, both: Option<&Path>) -> String {
    let ssl = both.map_or_else(String::new, |both| {
        format!(" ssl crt {} ssl-min-ver TLSv1.3 alpn http/1.1", both.display())
    });
    format!(
        "global
    nbthread 1
    maxconn 8000
cache bench
    total-max-size 256
    max-object-size 16000000
    max-age 86400
defaults
    mode http
    timeout connect 5s
    timeout client 3600s
    timeout server 60s
    timeout http-keep-alive 3600s
frontend front
    bind {address} backlog 4096{ssl}
    http-request cache-use bench
    http-response cache-store bench
    http-response set-header Cache-Status \"haproxy; fwd=miss\" if {{ srv_id -m found }}
    http-response set-header Cache-Status \"haproxy; hit\" if !{{ srv_id -m found }}
    default_backend origin
backend origin
    http-reuse always
    server one {origin}
"
    )
}

fn varnish_config(origin: SocketAddr) -> String {
    let (host, port) = (origin.ip(), origin.port());
    format!(
        "vcl 4.1;
backend origin {{ .host = \"{host}\"; .port = \"{port}\"; }}
sub vcl_deliver {{
    if (obj.hits > 0) {{
        set resp.http.Cache-Status = \"varnish; hit\";
    }} else {{
        set resp.http.Cache-Status = \"varnish; fwd=miss\";
    }}
}}
"
    )
}

/// A loopback address that nothing listened on a moment ago.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// `pid` and everything that descends from it, by the parents that `/proc` names.
fn with_descendants(pid: u32) -> Vec<u32> {
    let parents = process_parents();
    let mut family = vec![pid];
    let mut index = 0;
    while let Some(&parent) = family.get(index) {
        let children = parents.iter().filter(|(_, its_parent)| *its_parent == parent);
        family.extend(children.map(|(child, _)| child));
        index += 1;
    }
    family
}

/// All processes with their parents.
fn process_parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pair = |folder: PathBuf| {
        let pid = folder.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let parent = rest.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    };
    entries.filter_map(|entry| pair(entry.ok()?.path())).collect()
}

const START_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
