//! The demo: an origin of its own, the edge before it, a throwaway store, and three lines that say
//! what to try.

mod origin;
mod pages;

#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::config::checked::AdminAddress;
use crate::config::{self, Checked, Source};
use crate::run::{self, Started};
use crate::signals::Stop;

pub use origin::{Origin, start as start_origin};

/// Where the demo listens.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// For clients.
    pub listen: SocketAddr,
    /// For the admin API.
    pub admin: AdminAddress,
}

/// Runs the demo until `stop` ends it; its store goes with it.
///
/// # Errors
/// When an address is taken, the scratch folder cannot be made, or the edge cannot start.
pub fn run(addresses: &Addresses, program: &str, stop: Stop) -> anyhow::Result<()> {
    private(&addresses.admin)?;
    free(addresses)?;
    let origin = start_origin().context("the demo's origin cannot start")?;
    let scratch = Scratch::new().context("the demo's store needs a folder of its own")?;
    let config = config(addresses, origin.address, &scratch.path)?;
    let admin = addresses.admin.clone();
    run::serve(&config, stop, move |started| {
        // Whoever closed the output does not want the lines.
        let _ = io::stdout().write_all(lines(started, &admin, program).as_bytes());
    })
}

/// The demo's config: what a file of these few lines would mean.
///
/// # Errors
/// The faults of what is given, such as a listener and an admin API at one address.
fn config(addresses: &Addresses, origin: SocketAddr, store: &Path) -> anyhow::Result<Checked> {
    let Addresses { listen, admin } = addresses;
    let quoted = |text: String| serde_json::Value::from(text);
    let (store, admin) = (quoted(store.display().to_string()), quoted(admin.to_string()));
    let text = format!(
        "[server]\ndrain_timeout = \"5s\"\n\
         [[listener]]\naddress = \"{listen}\"\n\
         [store]\npath = {store}\nsize = \"256MiB\"\n\
         [[site]]\nhosts = [\"*\"]\norigin = {{ urls = [\"http://{origin}\"] }}\n\
         [admin]\naddress = {admin}\n\
         [access_log]\npath = \"off\"\n"
    );
    Ok(config::check(&Source::text("demo", text))?)
}

/// The three lines, the one to copy first.
fn lines(started: &Started, admin: &AdminAddress, program: &str) -> String {
    let listen = started.listeners.first().map_or_else(String::new, |at| reachable(*at));
    let admin_now = match (admin, started.admin) {
        (AdminAddress::Tcp(_), Some(address)) => AdminAddress::Tcp(address),
        (AdminAddress::Tcp(_) | AdminAddress::Unix(_), _) => admin.clone(),
    };
    let see = match &admin_now {
        AdminAddress::Tcp(address) => format!("open http://{}/", reachable(*address)),
        AdminAddress::Unix(path) => {
            format!("curl --unix-socket {} http://localhost/status.json", path.display())
        }
    };
    format!(
        "curl -i http://{listen}/   # twice: the second answer is a hit, and has an Age\n\
         {see}   # what the edge does now; /metrics is for Prometheus\n\
         {program} purge --url http://{listen}/ --admin {admin_now}   # then ask again: a miss\n"
    )
}

/// The address as one would type it on this machine.
fn reachable(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port()).to_string()
}

/// The demo has no token, so its admin API is for this machine.
fn private(admin: &AdminAddress) -> anyhow::Result<()> {
    if let AdminAddress::Tcp(address) = admin
        && !address.ip().is_loopback()
    {
        bail!(
            "others than this machine could reach the demo's admin API at {address}\n  \
             remedy: choose a loopback address: edge demo --admin 127.0.0.1:9900"
        );
    }
    Ok(())
}

/// Says which address is taken, and the option that chooses another.
fn free(addresses: &Addresses) -> anyhow::Result<()> {
    let admin = match &addresses.admin {
        AdminAddress::Tcp(address) => Some(("--admin", *address)),
        AdminAddress::Unix(_) => None,
    };
    for (option, address) in [Some(("--listen", addresses.listen)), admin].into_iter().flatten() {
        match TcpListener::bind(address) {
            Err(fault) if fault.kind() == ErrorKind::AddrInUse => {
                let other = SocketAddr::new(address.ip(), address.port().wrapping_add(1).max(1024));
                bail!(
                    "{address} is in use by another process\n  \
                     remedy: end it, or choose another address: edge demo {option} {other}"
                );
            }
            // Bound and let go again, or a fault that the edge itself will tell better.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// A folder of the demo's own, removed with all that is in it when this is dropped.
#[derive(Debug)]
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> io::Result<Self> {
        let process = std::process::id();
        let mut last = ErrorKind::AlreadyExists.into();
        for attempt in 0..ATTEMPTS_MAX {
            let path = std::env::temp_dir().join(format!("longhold-demo-{process}-{attempt}"));
            // Made here and for this user only: nobody else can have put anything in it.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(fault) if fault.kind() == ErrorKind::AlreadyExists => last = fault,
                Err(fault) => return Err(fault),
            }
        }
        Err(last)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays in the folder that the system clears.
        let _ = fs::remove_dir_all(&self.path);
    }
}

const ATTEMPTS_MAX: u32 = 16;
