//! Asking the admin API of a running edge.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Asks the admin API and reads the JSON that it answers with.
pub(crate) fn get(admin: SocketAddr, path: &str) -> Result<Value> {
    ask(admin, &format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"))
}

/// Orders something of the admin API.
pub(crate) fn post(admin: SocketAddr, path: &str, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    ask(admin, &(head + &body))
}

fn ask(admin: SocketAddr, request: &str) -> Result<Value> {
    let mut stream = TcpStream::connect_timeout(&admin, ADMIN_MAX)?;
    stream.set_read_timeout(Some(ADMIN_MAX))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the admin API answers no HTTP")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "the admin API answers: {answer}");
    serde_json::from_str(body).with_context(|| format!("the admin API brings no JSON: {body}"))
}

/// Connections in a state.
pub(crate) fn connections_in(status: &Value, state: &str) -> u64 {
    let connections = status.get("connections");
    connections.and_then(|connections| connections.get(state)?.as_u64()).unwrap_or(0)
}

/// Connections that rest or work: those that ask often rest with a receive armed.
pub(crate) fn standing(status: &Value) -> u64 {
    connections_in(status, "parked") + connections_in(status, "active")
}

const ADMIN_MAX: Duration = Duration::from_secs(30);
