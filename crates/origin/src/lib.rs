//! The fill plane: pooled origin connections and streaming bodies.
#![forbid(unsafe_code)]

mod body;
mod config;
mod connect;
mod error;
mod exchange;
pub mod fill;
mod outgoing;
mod pool;
mod request;
mod resolve;
mod tls;
mod wire;

pub use body::{
    AttachRefused, BLOCK_BYTES, COPY_BELOW_BYTES, Demand, Download, DownloadGuard, DownloadReader,
    Full, Next, PushRefused, StagingBudget, StagingShare, StagingStats, Upload, WINDOW_SMALL_BYTES,
    Wake,
};
pub use config::{CONNECTIONS_MAX, OriginConfig, OriginUrl, Scheme};
pub use connect::{FIELDS_MAX, HEAD_BYTES_MAX};
pub use error::{ConfigError, FetchError, UrlError};
pub use exchange::OriginBody;
pub use pool::{OriginPool, OriginStats};
pub use request::{OriginRequest, OriginResponse, RequestBody};
