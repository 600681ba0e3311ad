//! The fill plane: what workers ask of it, and how they reach it.
//!
//! One thread runs a tokio-uring runtime. It owns the origin connections, the table of fetches in
//! progress and the store's only writer; workers and the admin plane send it jobs through one
//! bounded queue and get news in their inboxes.
//!
//! # Invariants
//! - **FL-1** A response reaches another than its asker only if it may be stored and its nominated
//!   fields select it for that other's request.
//! - **FL-2** What was fetched before a purge that concerns it, by key, prefix, tag or of
//!   everything, is neither stored nor shared after it.
//! - **FL-3** Every job is answered exactly once: with a head, the rest of a body, a look at the
//!   store, a request to ask alone, or a failure.
//! - **FL-4** Memory is bounded: jobs by the queue, bodies by windows from one budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longhold_gateway::purge::Scope;
use longhold_gateway::rules::SiteRef;
use longhold_gateway::tunnel::Ask;
use longhold_origin::Upload;
use longhold_store::{Mode, WriteError};
use std::net::SocketAddr;
use tokio::sync::{mpsc, oneshot};

use self::interest::Asker;
use self::rest::Rest;
use crate::inbox::{Event, ExchangeId, Inbox};

pub mod compress;
pub mod device;
mod explain;
mod freshen;
mod intake;
pub mod interest;
mod keep;
mod lead;
mod lifetime;
mod parts;
mod pass;
pub mod plane;
mod purge;
mod request;
pub mod rest;
mod slices;
mod succession;
pub mod tunnel;

/// What a worker wants fetched.
pub struct FillJob {
    /// How.
    pub kind: JobKind,
    /// The primary key; empty when the request has none.
    pub key: Vec<u8>,
    /// The request's head as received.
    pub head: Arc<[u8]>,
    /// The site, and the rule that holds there.
    pub site: SiteRef,
    /// The client's address.
    pub peer: SocketAddr,
    /// `http` or `https`: how the client reached the edge.
    pub scheme: &'static str,
    /// Who waits; nobody for background work.
    pub reply: Option<ReplyTo>,
    /// Tells when the asker waits no more; `None` for background work.
    pub asker: Option<Asker>,
}

/// How a job is done.
#[derive(Clone)]
pub enum JobKind {
    /// Fill the cache and answer from what comes; with `share`, join a fetch in progress.
    Fill {
        /// Whether others' fetches of the same key will do.
        share: bool,
    },
    /// Freshen a stored response in the background.
    Revalidate,
    /// Give the rest of a response under way, of which a part has left the store.
    Rest(Rest),
    /// Forward as it is and store nothing.
    Pass {
        /// The request's body.
        upload: Option<Arc<Upload>>,
        /// The body's length; `None` when it is not known.
        length: Option<u64>,
    },
    /// Open a tunnel, and hand the origin's connection over.
    Tunnel(Ask),
    /// Forward as it is; hand the connection over when the response is an endless one.
    Stream,
}

/// The exchange that waits for an answer.
#[derive(Clone)]
pub struct ReplyTo {
    /// Its worker's inbox.
    pub inbox: Arc<Inbox>,
    /// Which exchange.
    pub exchange: ExchangeId,
}

impl ReplyTo {
    /// Leaves news for the exchange.
    pub fn post(&self, event: Event) {
        self.inbox.post(self.exchange, event);
    }
}

/// The head of an origin's response, shared by all that read its body.
#[derive(Debug)]
pub struct FillHead {
    /// Status code.
    pub status: u16,
    /// How the origin answered: another status, where the body is put together of stored parts and
    /// of such as come.
    pub fwd_status: u16,
    /// Fields as received.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The origin's HTTP version for `Via`.
    pub via_version: &'static str,
    /// Bytes of the body that follows, where known.
    pub body_len: Option<u64>,
    /// `Content-Length` as declared, also where no body follows (HEAD, 304).
    pub declared_len: Option<u64>,
    /// It is being stored.
    pub stored: bool,
    /// Freshness lifetime left, s, where it is stored.
    pub ttl_s: Option<i64>,
    /// Why it is not stored, a token for `Cache-Status`.
    pub detail: Option<&'static str>,
}

/// Anything that the plane is asked.
pub enum Message {
    /// A fetch.
    Job(FillJob),
    /// Explain what would become of a request.
    Explain {
        /// The request, as a worker would hand it over.
        job: Box<FillJob>,
        /// What is known of it; `None` when it is no request.
        done: oneshot::Sender<Option<serde_json::Value>>,
    },
    /// Purge; the answer comes when that is durable.
    Purge {
        /// What.
        scopes: Vec<Scope>,
        /// Whether it is gone, or stale.
        mode: Mode,
        /// How many of the keys that were named were stored, or why it could not be purged.
        done: oneshot::Sender<Result<u64, WriteError>>,
    },
}

/// The bounded way to the fill plane; clones share the bound.
#[derive(Clone)]
pub struct FillPort {
    sender: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
}

/// The plane's end of the queue.
pub struct FillQueue {
    receiver: mpsc::Receiver<Message>,
    waiting: Arc<AtomicUsize>,
}

/// The queue is full, or the plane is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillBusy;

/// A queue for `messages_max` messages.
pub fn queue(messages_max: usize) -> (FillPort, FillQueue) {
    let (sender, receiver) = mpsc::channel(messages_max);
    let waiting = Arc::new(AtomicUsize::new(0));
    (FillPort { sender, waiting: Arc::clone(&waiting) }, FillQueue { receiver, waiting })
}

impl FillPort {
    /// Hands a job over without waiting.
    ///
    /// # Errors
    /// [`FillBusy`], and the job is gone: the asker answers 503.
    pub fn submit(&self, job: FillJob) -> Result<(), FillBusy> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.sender.try_send(Message::Job(job)).map_err(|_| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            FillBusy
        })
    }

    /// Hands over work that nobody waits for. It gets half of the queue at most, so that a stale
    /// response that is asked for often takes no miss's place.
    ///
    /// # Errors
    /// [`FillBusy`], and the job is gone: a later request asks again.
    pub fn submit_background(&self, job: FillJob) -> Result<(), FillBusy> {
        if self.sender.capacity() <= self.sender.max_capacity() / 2 {
            return Err(FillBusy);
        }
        self.submit(job)
    }

    /// Purges; resolves when that is durable and in force, with how many of the keys that were
    /// named were stored.
    ///
    /// # Errors
    /// [`FillBusy`] when the plane is gone; the store's error when the purge could not be written.
    pub async fn purge(
        &self,
        scopes: Vec<Scope>,
        mode: Mode,
    ) -> Result<Result<u64, WriteError>, FillBusy> {
        let (done, outcome) = oneshot::channel();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.sender.send(Message::Purge { scopes, mode, done }).await.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(FillBusy);
        }
        outcome.await.map_err(|_| FillBusy)
    }

    /// Explains what would become of a request; `None` when it is none.
    ///
    /// # Errors
    /// [`FillBusy`] when the plane is gone.
    pub async fn explain(&self, job: FillJob) -> Result<Option<serde_json::Value>, FillBusy> {
        let (done, said) = oneshot::channel();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.sender.send(Message::Explain { job: Box::new(job), done }).await.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(FillBusy);
        }
        said.await.map_err(|_| FillBusy)
    }

    /// Messages that wait for the plane.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl FillQueue {
    /// The next message; `None` when every port is gone.
    pub async fn next(&mut self) -> Option<Message> {
        let message = self.receiver.recv().await?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(message)
    }

    /// The next message if one is there, for tests that play the plane.
    pub fn try_next(&mut self) -> Option<Message> {
        let message = self.receiver.try_recv().ok()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(message)
    }
}

#[cfg(test)]
mod tests;
