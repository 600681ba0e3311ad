//! The programs that benches and load tests run: built as released, started on cores of their
//! own, ended when their owner lets go. Only processes started here are ever ended.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::statvfs;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

use crate::tree;

mod shape;

use shape::edge_config;
pub(crate) use shape::{EdgeShape, EdgeTransport, SOURCES};

/// The built programs and a scratch folder, which goes with it.
#[derive(Debug)]
pub(crate) struct Rig {
    programs: PathBuf,
    scratch: PathBuf,
    cores: Option<Cores>,
    /// In which way the edge or its load is to fail, if they are such as fail on purpose.
    sabotage: Cell<Option<&'static str>>,
}

/// Where servers and clients run when they are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) client: usize,
}

/// Which of the two cores a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

/// A running program; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// A server under load: where it listens and which processes it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) address: SocketAddr,
    pub(crate) pids: Vec<u32>,
    /// It speaks TLS.
    pub(crate) secure: bool,
    /// Where an edge's admin API answers.
    pub(crate) admin: Option<SocketAddr>,
}

/// A throwaway certificate for loopback, and its key.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Rig {
    /// The programs as released: built first, unless those that are there will do.
    pub(crate) fn new(no_build: bool) -> Result<Self> {
        if !no_build {
            build()?;
        }
        Self::of("release")
    }

    /// Programs as developed, built first, with an edge and a bomb that fail on purpose once
    /// [`Self::sabotage`] says how.
    pub(crate) fn sabotaged() -> Result<Self> {
        let mut cargo = tree::cargo();
        cargo.args(["build", "--locked", "--features"]);
        cargo.arg("longhold-edge/sabotage,longhold-conn-bomb/sabotage");
        for (package, program) in [("edge", "edge-sabotaged"), ("conn-bomb", "conn-bomb")] {
            cargo.args(["--package", &format!("longhold-{package}"), "--bin", program]);
        }
        let status = cargo.status().context("cannot run cargo")?;
        ensure!(status.success(), "the programs do not build: {status}");
        let rig = Self::of("debug")?;
        rig.sabotage("");
        Ok(rig)
    }

    /// From now on its edges fail in this way, or its loads in [`OF_THE_LOAD`]; none do when it is
    /// empty.
    pub(crate) fn sabotage(&self, way: &'static str) {
        self.sabotage.set(Some(way));
    }

    fn of(profile: &str) -> Result<Self> {
        let target = tree::target_folder();
        let programs = target.join(profile);
        ensure!(
            programs.join("conn-bomb").exists(),
            "no programs in {}: build it",
            programs.display()
        );
        let scratch = target.join(format!("rig-{profile}-{}", std::process::id()));
        fs::create_dir_all(&scratch)
            .with_context(|| format!("cannot make {}", scratch.display()))?;
        Ok(Self { programs, scratch, cores: None, sabotage: Cell::new(None) })
    }

    /// Keeps servers and clients on a core each, from now on, if there are two.
    pub(crate) fn keep_apart(&mut self) {
        self.cores = allowed_cores();
    }

    /// The cores, if servers and clients are kept apart.
    pub(crate) fn cores(&self) -> Option<Cores> {
        self.cores
    }

    /// Starts the scripted origin, on the clients' core: it has nothing to do while there are
    /// hits.
    pub(crate) fn origin(&self) -> Result<(Program, SocketAddr)> {
        self.origin_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts the scripted origin where another one was.
    pub(crate) fn origin_at(&self, listen: SocketAddr) -> Result<(Program, SocketAddr)> {
        let mut command = self.command("conn-bomb");
        command.args(["origin", "--listen", &listen.to_string()]).stdout(Stdio::piped());
        let mut program = self.start("origin", Role::Client, command)?;
        let address = program.first_line()?.parse().context("the origin names no address")?;
        Ok((program, address))
    }

    /// Starts the floor with a body of so many bytes.
    pub(crate) fn floor(&self, body_bytes: u64) -> Result<(Program, Server)> {
        let mut command = self.command("floor");
        command.args(["--body-bytes", &body_bytes.to_string()]).stdout(Stdio::piped());
        let mut program = self.start("floor", Role::Server, command)?;
        let address = program.first_line()?.parse().context("the floor names no address")?;
        let server = program.server(address);
        Ok((program, server))
    }

    /// Starts the older architecture before `origin`, with at most so many threads.
    pub(crate) fn threadpool(
        &self,
        origin: SocketAddr,
        threads_max: u32,
    ) -> Result<(Program, Server)> {
        let mut command = self.command("threadpool");
        command.args(["--origin", &origin.to_string()]);
        command.arg(format!("--threads-max={threads_max}"));
        command.arg("--store").arg(self.scratch.join("threadpool")).stdout(Stdio::piped());
        let mut program = self.start("threadpool", Role::Server, command)?;
        let address = program.first_line()?.parse().context("the server names no address")?;
        let server = program.server(address);
        Ok((program, server))
    }

    /// Runs the ladder of random reads to its end and returns its result.
    pub(crate) fn ladder(&self, arguments: &[String]) -> Result<Value> {
        let mut command = self.command("ladder");
        command.args(arguments).stdout(Stdio::piped());
        self.start("ladder", Role::Server, command)?.result()
    }

    /// A new folder in the scratch folder, or one that a user named, made absolute.
    pub(crate) fn folder(&self, named: Option<&Path>) -> Result<PathBuf> {
        match named {
            Some(named) => Ok(std::path::absolute(named)?),
            None => Ok(self.scratch.join("files")),
        }
    }

    /// Starts the WebSocket origin with room for so many connections, on so many addresses from
    /// 127.0.0.1 on.
    pub(crate) fn echo(
        &self,
        connections_max: u32,
        addresses: u8,
    ) -> Result<(Program, SocketAddr)> {
        let mut command = self.command("conn-bomb");
        command.args(["echo", "--listen", "127.0.0.1:0"]);
        command.arg(format!("--connections={connections_max}"));
        command.arg(format!("--addresses={addresses}")).stdout(Stdio::piped());
        let mut program = self.start("echo", Role::Client, command)?;
        let address = program.first_line()?.parse().context("the origin names no address")?;
        Ok((program, address))
    }

    /// The certificate of this rig, which is made when it is first asked for: P-256, for localhost
    /// and 127.0.0.1.
    pub(crate) fn certificate(&self) -> Result<Certificate> {
        let files = Certificate {
            certificate: self.scratch.join("certificate.pem"),
            key: self.scratch.join("key.pem"),
        };
        if !files.key.exists() {
            let names = ["localhost", "127.0.0.1"].map(str::to_owned);
            let made = rcgen::generate_simple_self_signed(names).context("no certificate")?;
            fs::write(&files.certificate, made.cert.pem())?;
            fs::write(&files.key, made.signing_key.serialize_pem())?;
        }
        Ok(files)
    }

    /// Starts the peers that are installed; `secure` ones speak TLS 1.3.
    pub(crate) fn peers(&self, origin: SocketAddr, secure: bool) -> Result<(Program, Vec<Server>)> {
        let mut command = self.command("peers");
        command.args(["--origin", &origin.to_string()]);
        if secure {
            let Certificate { certificate, key } = self.certificate()?;
            command.arg("--certificate").arg(certificate).arg("--key").arg(key);
        }
        // They end when this pipe does, whatever becomes of this process.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = self.start("peers", Role::Server, command)?;
        let described: Value =
            serde_json::from_str(&program.first_line()?).context("the peers are not described")?;
        let servers = list(&described, "peers").iter().map(peer).collect::<Option<Vec<_>>>();
        let servers = servers.context("the peers are not described")?;
        Ok((program, servers.into_iter().map(|server| Server { secure, ..server }).collect()))
    }

    /// Starts the edge before `origin`, and waits until it is ready.
    pub(crate) fn edge(&self, origin: SocketAddr, shape: EdgeShape) -> Result<(Program, Server)> {
        let (address, admin) = (free_address()?, free_address()?);
        let config = self.configure_edge([address, admin, origin], shape)?;
        let (program, server) = self.edge_by(self.command("edge"), &config, [address, admin])?;
        Ok((program, Server { secure: shape.secure, ..server }))
    }

    /// Starts an edge with a config by which it listens at `address` and is asked at `admin`, and
    /// waits until it is ready; in the cgroup that has this list of `processes`.
    pub(crate) fn edge_as(
        &self,
        text: &str,
        addresses: [SocketAddr; 2],
        processes: Option<&Path>,
    ) -> Result<(Program, Server)> {
        let edge = self.command("edge");
        let command = match processes {
            None => edge,
            Some(processes) => {
                // It is in the group before it is the edge, of which all is counted so.
                let mut shell = Command::new("sh");
                shell.current_dir(&self.scratch).stdin(Stdio::null());
                shell.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(processes);
                shell.arg(edge.get_program());
                shell
            }
        };
        self.edge_by(command, &self.write_config("edge.toml", text)?, addresses)
    }

    fn edge_by(
        &self,
        mut command: Command,
        config: &Path,
        [address, admin]: [SocketAddr; 2],
    ) -> Result<(Program, Server)> {
        command.args(["run", "--config"]).arg(config);
        let mut program = self.start("edge", Role::Server, command)?;
        let deadline = Instant::now() + READY_MAX;
        while !is_ready(admin) {
            ensure!(
                program.child.try_wait()?.is_none() && Instant::now() < deadline,
                "the edge is not ready on {admin}; it says:\n{}",
                program.said()
            );
            thread::sleep(RETRY_EVERY);
        }
        let server = Server { admin: Some(admin), ..program.server(address) };
        Ok((program, server))
    }

    /// Why the edge takes no such configuration, in its own words; `None` when it does.
    pub(crate) fn edge_refusal(&self, shape: EdgeShape) -> Result<Option<String>> {
        let config =
            self.configure_edge([free_address()?, free_address()?, free_address()?], shape)?;
        let output = self.command("edge").args(["check", "--config"]).arg(&config).output()?;
        // The file's place in the scratch folder tells nobody anything.
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().replace(&*config.to_string_lossy(), "edge.toml");
        Ok((!output.status.success()).then_some(said))
    }

    /// What the edge says of this host, were it to have so many connections.
    pub(crate) fn doctor(&self, connections: u32) -> Result<Value> {
        let mut command = self.command("edge");
        command.args(["doctor", "--json"]).arg(format!("--connections={connections}"));
        let output = command.output().context("cannot start the edge")?;
        serde_json::from_slice(&output.stdout).context("the edge's doctor brings no JSON")
    }

    /// Writes the configuration of an edge with its addresses: listener, admin, origin.
    fn configure_edge(&self, addresses: [SocketAddr; 3], shape: EdgeShape) -> Result<PathBuf> {
        // Two edges at a time differ by their ports.
        let port = addresses[0].port();
        let store = self.scratch.join(format!("store-{port}"));
        let certificate = shape.secure.then(|| self.certificate()).transpose()?;
        let text = edge_config(addresses, shape, certificate.as_ref(), &store);
        self.write_config(&format!("edge-{port}.toml"), &text)
    }

    /// Starts an edge that is expected not to start: how it ended and what it said.
    pub(crate) fn edge_refuses(&self, text: &str) -> Result<(ExitStatus, String)> {
        let config = self.write_config("edge.toml", text)?;
        let mut command = self.command("edge");
        let output = command.args(["run", "--config"]).arg(&config).output();
        let output = output.context("cannot start the edge")?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status, String::from_utf8_lossy(&said).into_owned()))
    }

    fn write_config(&self, name: &str, text: &str) -> Result<PathBuf> {
        let config = self.scratch.join(name);
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        Ok(config)
    }

    /// What the disk beneath the scratch folder has free.
    pub(crate) fn free_disk_bytes(&self) -> Result<u64> {
        let disk = statvfs(&self.scratch).context("cannot ask the disk")?;
        Ok(disk.f_bavail * disk.f_frsize)
    }

    /// What the edges of this rig have logged.
    pub(crate) fn edge_log(&self) -> Result<String> {
        fs::read_to_string(self.scratch.join("edge.log")).context("cannot read the edge's log")
    }

    /// Where `name` lies in the scratch folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Removes what lies under `name` in the scratch folder, such as a store.
    pub(crate) fn remove(&self, name: &str) {
        let path = self.path(name);
        if let Err(error) = fs::remove_dir_all(&path) {
            eprintln!("xtask: cannot remove {}: {error}", path.display());
        }
    }

    /// Runs the bomb to its end and returns its result. That answers were wrong is no error here.
    pub(crate) fn bomb(&self, arguments: &[String]) -> Result<Value> {
        self.start_bomb(arguments)?.result()
    }

    /// Starts the bomb; [`Program::result`] waits for what it finds.
    pub(crate) fn start_bomb(&self, arguments: &[String]) -> Result<Program> {
        let mut command = self.command("conn-bomb");
        command.args(arguments).arg("--json").stdout(Stdio::piped());
        self.start("conn-bomb", Role::Client, command)
    }

    fn command(&self, program: &str) -> Command {
        let way = self.sabotage.get();
        let is_edge = program == "edge";
        let file = if is_edge && way.is_some() { "edge-sabotaged" } else { program };
        let mut command = Command::new(self.programs.join(file));
        // An empty name would be no way to fail, nor is one of the other's.
        if let Some(way) = way.filter(|way| !way.is_empty() && is_edge != (*way == OF_THE_LOAD)) {
            command.env("LONGHOLD_SABOTAGE", way);
        }
        command.current_dir(&self.scratch).stdin(Stdio::null());
        command
    }

    /// Starts a program with its output in a log, on the core for its role. A child has the
    /// affinity of the thread that makes it.
    fn start(&self, name: &'static str, role: Role, mut command: Command) -> Result<Program> {
        let log = self.scratch.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        command.stderr(output.try_clone()?);
        if matches!(name, "edge") {
            command.stdout(output);
        }
        let before = sched_getaffinity(None).context("cannot read the affinity")?;
        if let Some(cores) = self.cores {
            let core = match role {
                Role::Server => cores.server,
                Role::Client => cores.client,
            };
            let mut only = CpuSet::new();
            only.set(core);
            sched_setaffinity(None, &only).context("cannot set the affinity")?;
        }
        let child = command.spawn();
        sched_setaffinity(None, &before).context("cannot restore the affinity")?;
        let child = child.with_context(|| format!("cannot start {name}"))?;
        Ok(Program { name, child, log })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.scratch) {
            eprintln!("xtask: cannot remove {}: {error}", self.scratch.display());
        }
    }
}

impl Program {
    /// The first line that it prints.
    fn first_line(&mut self) -> Result<String> {
        let output = self.child.stdout.as_mut().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(!line.is_empty(), "{} ended early; it says:\n{}", self.name, self.said());
        Ok(line.trim().to_owned())
    }

    /// Waits for the end of a load and reads its result.
    pub(crate) fn result(mut self) -> Result<Value> {
        let mut text = String::new();
        let mut output = self.child.stdout.take().context("its output is piped")?;
        output.read_to_string(&mut text)?;
        let status = self.child.wait()?;
        serde_json::from_str(&text).with_context(|| {
            format!("{} ended with {status} and no result; it says:\n{}", self.name, self.said())
        })
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Fails when it has ended, with what it said.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} ended with {ended:?}; it says:\n{}", self.name, self.said());
        Ok(())
    }

    fn server(&self, address: SocketAddr) -> Server {
        let (name, version) = (self.name.to_owned(), String::new());
        Server { name, version, address, pids: vec![self.child.id()], secure: false, admin: None }
    }

    /// The end of its log.
    fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES_MAX);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The peers' own program ends what it started once its input ends; others are ended here.
        let has_input = self.child.stdin.take().is_some();
        if !has_input {
            let _already_ended = self.child.kill();
        }
        let _already_waited = self.child.wait();
    }
}

impl Server {
    /// The URL of `path` there.
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// The URL of a WebSocket at `path` there.
    pub(crate) fn websocket_url(&self, path: &str) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Its processes as an option of the bomb.
    pub(crate) fn pid_option(&self) -> String {
        let pids: Vec<_> = self.pids.iter().map(u32::to_string).collect();
        pids.join(",")
    }
}

/// Builds edge, floor, peers and bomb as released.
fn build() -> Result<()> {
    let mut cargo = tree::cargo();
    cargo.args(["build", "--release", "--locked"]);
    for package in ["longhold-edge", "longhold-benches", "longhold-conn-bomb"] {
        cargo.args(["--package", package]);
    }
    // Figures go to standard output; cargo says what it does on the other.
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "the programs do not build: {status}");
    Ok(())
}

/// A list in JSON; empty when it is none.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn peer(value: &Value) -> Option<Server> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let pid = |pid: &Value| pid.as_u64().and_then(|pid| u32::try_from(pid).ok());
    Some(Server {
        name: text("name")?.to_owned(),
        version: text("version")?.to_owned(),
        address: text("address")?.parse().ok()?,
        pids: list(value, "pids").iter().map(pid).collect::<Option<_>>()?,
        secure: false,
        admin: None,
    })
}

/// Whether the edge's admin API says that it serves.
fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> Result<bool> {
        let mut stream = TcpStream::connect_timeout(&admin, READY_MAX)?;
        stream.set_read_timeout(Some(READY_MAX))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// A loopback address that nothing listened on a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// The first two cores that this process may use.
fn allowed_cores() -> Option<Cores> {
    let allowed = sched_getaffinity(None).ok()?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    Some(Cores { server: cores.next()?, client: cores.next()? })
}

/// The way to fail that is the load's and not the edge's.
const OF_THE_LOAD: &str = "bloat";
const READY_MAX: Duration = Duration::from_secs(20);
const RETRY_EVERY: Duration = Duration::from_millis(20);
const LOG_LINES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::peer;

    #[test]
    fn a_peer_is_read_whole_or_not_at_all() {
        let whole = json!({
            "name": "nginx", "version": "nginx/1", "address": "127.0.0.1:81", "pids": [7, 8],
        });
        let server = peer(&whole).expect("a peer");
        assert_eq!(server.url("/x"), "http://127.0.0.1:81/x");
        assert_eq!(server.pid_option(), "7,8");
        for key in ["name", "version", "address"] {
            let mut part = whole.clone();
            part[key] = json!(null);
            assert_eq!(peer(&part), None, "{key}");
        }
        let mut strange = whole;
        strange["pids"] = json!(["7"]);
        assert_eq!(peer(&strange), None);
    }
}
