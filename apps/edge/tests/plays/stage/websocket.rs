//! A small WebSocket end, client or server, over anything that says and hears bytes (RFC 6455
//! section 5). It checks what it is told: masks, lengths, reserved bits.

use super::{Call, Client, Response};

/// Who says and hears.
pub(crate) trait Voice {
    fn tell(&mut self, bytes: &[u8]);
    fn listen(&mut self, len: usize) -> Vec<u8>;
    /// Clients mask what they send, servers do not (section 5.1).
    const MASKS: bool;
}

impl Voice for Client {
    fn tell(&mut self, bytes: &[u8]) {
        self.say(bytes);
    }

    fn listen(&mut self, len: usize) -> Vec<u8> {
        self.hear(len)
    }

    const MASKS: bool = true;
}

impl Voice for Call {
    fn tell(&mut self, bytes: &[u8]) {
        self.say(bytes);
    }

    fn listen(&mut self, len: usize) -> Vec<u8> {
        self.hear(len)
    }

    const MASKS: bool = false;
}

/// One end of an open WebSocket.
pub(crate) struct WebSocket<V: Voice> {
    pub(crate) voice: V,
}

impl WebSocket<Client> {
    /// Asks for one; what was answered, and the end if that opened it.
    pub(crate) fn ask(mut client: Client, target: &str, fields: &[&str]) -> (Response, Self) {
        let mut lines = vec![
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        lines.extend(fields);
        client.ask("GET", target, &lines);
        let response = client.response_head();
        (response, Self { voice: client })
    }
}

impl WebSocket<Call> {
    /// Answers the call of [`WebSocket::ask`] with more field lines.
    pub(crate) fn accept(mut call: Call, fields: &[&str]) -> Self {
        call.say(accepting(fields));
        Self { voice: call }
    }
}

impl<V: Voice> WebSocket<V> {
    /// Sends one frame that is a whole message.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.send_part(0x80 | opcode, payload);
    }

    /// Sends one frame whose first byte is this.
    pub(crate) fn send_part(&mut self, first: u8, payload: &[u8]) {
        let mask_bit = if V::MASKS { 0x80 } else { 0 };
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..=125 => frame.push(mask_bit | len as u8),
            len @ 126..=0xFFFF => {
                frame.push(mask_bit | 126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(mask_bit | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        if V::MASKS {
            frame.extend(MASK);
            frame.extend(masked(payload));
        } else {
            frame.extend(payload);
        }
        self.voice.tell(&frame);
    }

    /// The next frame: its first byte, and its payload.
    pub(crate) fn receive(&mut self) -> (u8, Vec<u8>) {
        let head = self.voice.listen(2);
        assert_eq!(head[0] & 0x70, 0, "reserved bits");
        assert_eq!(head[1] & 0x80 != 0, !V::MASKS, "the client masks, the server does not");
        let len = match head[1] & 0x7F {
            126 => u16::from_be_bytes(self.array()) as usize,
            127 => u64::from_be_bytes(self.array()) as usize,
            len => usize::from(len),
        };
        let mask: [u8; 4] = if V::MASKS { [0; 4] } else { self.array() };
        assert!(V::MASKS || mask == MASK, "the mask is part of what is carried");
        let payload = self.voice.listen(len);
        (head[0], if V::MASKS { payload } else { masked(&payload) })
    }

    /// The next frame is this whole message.
    pub(crate) fn expects(&mut self, opcode: u8, payload: &[u8]) {
        let (first, came) = self.receive();
        assert_eq!(first, 0x80 | opcode);
        assert!(came == payload, "{} bytes that are not those sent", came.len());
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.voice.listen(N).try_into().expect("as many as were asked for")
    }
}

/// The head that opens what [`WebSocket::ask`] has asked for.
pub(crate) fn accepting(fields: &[&str]) -> String {
    let lines: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{lines}\r\n"
    )
}

fn masked(payload: &[u8]) -> Vec<u8> {
    payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// For the key of RFC 6455 section 1.3.
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
