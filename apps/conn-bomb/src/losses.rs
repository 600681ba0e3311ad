//! When and why each connection was lost, as a file of comma-separated values that is written as
//! they are: what a result names is only the first few.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;
use longhold_loadgen::fault::Fault;

/// A file with a line for each fault.
pub(crate) struct Losses<W = BufWriter<File>> {
    out: W,
    failed: Option<io::Error>,
}

impl Losses {
    /// In a new file, or in the place of what is there.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("--losses {}", path.display()))?;
        Self::new(BufWriter::new(file)).context("--losses")
    }
}

impl<W: Write> Losses<W> {
    fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"at_ms,connection,fault,detail\n")?;
        Ok(Self { out, failed: None })
    }

    /// One more. After a write that fails there are none: [`finish`](Self::finish) says so.
    pub(crate) fn add(&mut self, at_ms: u64, connection: u32, fault: Fault) {
        if self.failed.is_some() {
            return;
        }
        let (name, detail) = (fault.name(), fault.detail().replace('"', "\"\""));
        self.failed = writeln!(self.out, "{at_ms},{connection},{name},\"{detail}\"").err();
    }

    /// All of them are in the file now.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        let written = self.failed.take().map_or_else(|| self.out.flush(), Err);
        written.context("--losses: not all of them could be written")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use longhold_loadgen::fault::Fault;

    use super::Losses;

    #[test]
    fn each_loss_is_a_line() {
        let mut out = Vec::new();
        let mut losses = Losses::new(&mut out).expect("memory");
        losses.add(1500, 7, Fault::ClosedWhileParked);
        losses.add(1501, 8, Fault::WrongStatus { found: 503 });
        losses.finish().expect("memory");
        let text = String::from_utf8(out).expect("ASCII");
        let expected = "at_ms,connection,fault,detail\n1500,7,closed-while-parked,\"\"\n\
                        1501,8,wrong-status,\"status 503\"\n";
        assert_eq!(text, expected);
    }

    /// Takes the heading and no more.
    struct Full(bool);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match std::mem::replace(&mut self.0, true) {
                false => Ok(bytes.len()),
                true => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_is_full_is_told_at_the_end() {
        let mut losses = Losses::new(Full(false)).expect("the heading fits");
        losses.add(1, 1, Fault::Truncated);
        losses.add(2, 2, Fault::Truncated);
        assert!(losses.finish().is_err());
    }
}
