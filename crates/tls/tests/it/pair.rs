//! Two ends of a connection in memory, and throwaway certificates.

use std::path::{Path, PathBuf};

use longhold_tls::{
    Acceptor, CertificateFiles, ClientSettings, Connector, Details, Fault, Handshake, Next, Opened,
    RecordLayer, ServerSettings, Session,
};

/// A folder with one certificate and its key.
pub(crate) struct Identity {
    pub(crate) folder: tempfile::TempDir,
}

impl Identity {
    pub(crate) fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let identity = Self { folder };
        identity.renew(names);
        identity
    }

    /// Writes another certificate over the one there.
    pub(crate) fn renew(&self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(self.certificate(), made.cert.pem()).expect("written");
        std::fs::write(self.key(), made.signing_key.serialize_pem()).expect("written");
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.path().join("key.pem")
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn files(&self) -> CertificateFiles {
        CertificateFiles {
            certificate: self.certificate(),
            key: self.key(),
            ..CertificateFiles::default()
        }
    }

    pub(crate) fn settings(&self) -> ServerSettings {
        ServerSettings { certificates: vec![self.files()], ..ServerSettings::default() }
    }
}

/// Runs a handshake to its end on both sides.
pub(crate) fn shake(
    mut client: Handshake,
    mut server: Handshake,
) -> Result<Ends, (Fault, &'static str)> {
    let mut to_server = Vec::new();
    let mut to_client = Vec::new();
    let mut client_done = false;
    let mut server_done = false;
    client.advance(&mut [], &mut to_server).map_err(|fault| (fault, "client"))?;
    for _ in 0..10 {
        if !server_done {
            server_done = step(&mut server, &mut to_server, &mut to_client)
                .map_err(|fault| (fault, "server"))?;
        }
        if !client_done {
            client_done = step(&mut client, &mut to_client, &mut to_server)
                .map_err(|fault| (fault, "client"))?;
        }
        if client_done && server_done {
            return Ok(Ends::of(client, server, to_server, to_client));
        }
    }
    panic!("the handshake does not end");
}

fn step(end: &mut Handshake, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<bool, Fault> {
    let progress = end.advance(input, output)?;
    input.drain(..progress.consumed);
    Ok(progress.next == Next::Finish)
}

/// Both ends of a connection, and what is under way between them.
pub(crate) struct Ends {
    pub(crate) client: Session,
    pub(crate) server: Session,
    pub(crate) to_server: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    pub(crate) server_details: Details,
}

impl Ends {
    /// The sessions of two handshakes that are done.
    pub(crate) fn of(
        client: Handshake,
        server: Handshake,
        to_server: Vec<u8>,
        to_client: Vec<u8>,
    ) -> Self {
        let server_details = server.details().expect("details");
        let client = client.finish().expect("a session");
        let server = server.finish().expect("a session");
        Self { client, server, to_server, to_client, server_details }
    }

    /// A question and an answer.
    pub(crate) fn talk(&mut self) {
        self.to_server.extend(seal_all(&mut self.client, b"question"));
        assert_eq!(open_all(&mut self.server, &mut self.to_server).unwrap(), b"question");
        self.to_client.extend(seal_all(&mut self.server, b"answer"));
        assert_eq!(open_all(&mut self.client, &mut self.to_client).unwrap(), b"answer");
    }

    pub(crate) fn new(client: RecordLayer, server: RecordLayer) -> Self {
        let identity = Identity::new(&["edge.example"]);
        let settings = ServerSettings { record_layer: server, ..identity.settings() };
        let acceptor = Acceptor::new(settings).expect("settings");
        let settings = ClientSettings { record_layer: client, ..ClientSettings::default() };
        let connector = Connector::new(&settings).expect("settings");
        let client = connector.begin("edge.example").expect("a handshake");
        shake(client, acceptor.begin().expect("a handshake")).expect("a session")
    }
}

/// Seals all of `plain`, in records as the session makes them.
pub(crate) fn seal_all(session: &mut Session, plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    let mut taken = 0;
    let mut output = vec![0; 40_000];
    loop {
        let done = session.seal(&[&plain[taken..]], &mut output).expect("sealed");
        sealed.extend_from_slice(&output[..done.written]);
        taken += done.taken;
        if taken == plain.len() {
            return sealed;
        }
    }
}

/// Opens all whole records; what is left stays in `input`.
pub(crate) fn open_all(session: &mut Session, input: &mut Vec<u8>) -> Result<Vec<u8>, Fault> {
    let mut plain = Vec::new();
    loop {
        let used = match session.open(input)? {
            Opened::Data { data, consumed } => {
                plain.extend_from_slice(&input[data]);
                consumed
            }
            Opened::Quiet { consumed } => consumed,
            Opened::Closed { .. } | Opened::More { .. } => return Ok(plain),
        };
        input.drain(..used);
    }
}
