//! The file or stream that lines go to: append, reopen, and whole lines even after a failed write.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::{Sink, StartError};

/// An open sink.
#[derive(Debug)]
pub(super) struct Output {
    sink: Sink,
    file: File,
    /// The last write stopped inside a line: the next one starts a new line first.
    mid_line: bool,
}

impl Output {
    pub(super) fn open(sink: Sink) -> Result<Self, StartError> {
        match open_file(&sink) {
            Ok(file) => Ok(Self { sink, file, mid_line: false }),
            Err(source) => Err(StartError::Open { path: name(&sink), source }),
        }
    }

    /// Opens the sink again under its name; the old file stays in use if that fails.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = open_file(&self.sink)?;
        self.mid_line = false;
        Ok(())
    }

    /// Writes whole lines. After an error some of them may be written, and one of them in part.
    pub(super) fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.mid_line {
            self.file.write_all(b"\n")?;
            self.mid_line = false;
        }
        write_lines(&mut self.file, lines)
            .inspect_err(|failure| self.mid_line = failure.mid_line)?;
        Ok(())
    }
}

/// A write that ended early.
#[derive(Debug)]
struct Failure {
    error: io::Error,
    mid_line: bool,
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

fn write_lines(file: &mut impl Write, lines: &[u8]) -> Result<(), Failure> {
    let mut written = 0;
    while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
        let error = match file.write(rest) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(count) => {
                written += count;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        let mid_line = written > 0 && lines.get(written - 1) != Some(&b'\n');
        return Err(Failure { error, mid_line });
    }
    Ok(())
}

/// Standard streams are duplicated, so that batches go out as they are, without the line buffer of
/// [`io::Stdout`].
fn open_file(sink: &Sink) -> io::Result<File> {
    match sink {
        Sink::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        Sink::Stderr => io::stderr().as_fd().try_clone_to_owned().map(File::from),
        Sink::File(path) => OpenOptions::new().append(true).create(true).open(path),
    }
}

fn name(sink: &Sink) -> PathBuf {
    match sink {
        Sink::Stdout => Path::new("stdout").to_owned(),
        Sink::Stderr => Path::new("stderr").to_owned(),
        Sink::File(path) => path.clone(),
    }
}

#[cfg(test)]
mod tests;
