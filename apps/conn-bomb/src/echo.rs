//! `conn-bomb echo`: a WebSocket origin that sends every message back, and an origin of event
//! streams.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, ensure};
use clap::Args;
use longhold_loadgen::echo::Echo;
use longhold_transport::uring::Reactor;
use longhold_transport::{Config, Transport as _, bind_listeners};

/// Options of `conn-bomb echo`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Loopback address to listen on; port 0 picks a free one. The address is printed.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// Listen on so many addresses, this one and those behind it: one has ports for some 28,000
    /// connections of a client.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=250))]
    addresses: u8,
    /// Connections that it has room for; further ones wait.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
}

/// Serves until the process ends.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    ensure!(arguments.listen.ip().is_loopback(), "the origin listens on loopback only");
    let config = Config { slots: arguments.connections, ..Config::default() };
    let mut transport = Reactor::new(&config).context("cannot start the origin's transport")?;
    let mut address = arguments.listen;
    for number in 0..arguments.addresses {
        for listener in bind_listeners(address, 1)? {
            address = listener.address();
            transport.listen(listener)?;
        }
        if number == 0 {
            println!("{address}");
        }
        if let IpAddr::V4(ip) = address.ip() {
            address.set_ip(IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() + 1)));
        } else {
            ensure!(arguments.addresses == 1, "several addresses are for 127.0.0.0/8");
        }
    }
    std::io::stdout().flush()?;
    let mut echo = Echo::new(transport);
    loop {
        echo.turn(None)?;
    }
}
