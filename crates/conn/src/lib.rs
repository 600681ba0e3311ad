//! The connection: slot, lifecycle, timer wheel and the HTTP/1 server machine.
