//! The control thread: one tokio runtime beside the data path, for the admin API and for what must
//! be done from time to time. No worker ever waits for it.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::Notify;

use crate::admin::bind::{BindError, bind};
use crate::admin::{Handles, Server};
use crate::config::checked::{Admin, AdminAddress};

/// The running control thread; dropping this ends it, after open exchanges.
#[derive(Debug)]
pub struct Control {
    address: AdminAddress,
    end: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

/// Why the control thread does not run.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The admin API cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system refused a thread, a runtime, or the socket's registration.
    #[error("the control thread cannot start: {0}; check the limits on threads and open files")]
    Thread(io::ErrorKind),
}

/// Binds the admin address and starts the thread; when it returns, the API answers.
///
/// # Errors
/// See [`ControlError`].
pub fn start(config: &Admin, handles: Handles) -> Result<Control, ControlError> {
    let bound = bind(&config.address)?;
    let (address, token) = (bound.address.clone(), config.token.clone());
    let end = Arc::new(Notify::new());
    let ended = Arc::clone(&end);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|fault| ControlError::Thread(fault.kind()))?;
    let server = {
        let _context = runtime.enter();
        Server::new(bound, token, handles).map_err(|fault| ControlError::Thread(fault.kind()))?
    };
    let thread = thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || runtime.block_on(server.run(async move { ended.notified().await })))
        .map_err(|fault| ControlError::Thread(fault.kind()))?;
    Ok(Control { address, end, thread: Some(thread) })
}

impl Control {
    /// Where the admin API listens.
    #[must_use]
    pub fn address(&self) -> &AdminAddress {
        &self.address
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing left to end.
            let _ = thread.join();
        }
    }
}
