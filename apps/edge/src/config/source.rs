//! A config file's text, with what is needed to say where in it something stands.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::FILE_BYTES_MAX;
use super::fault::{Cause, Fault, Faults, Place};

/// A config file's text and surroundings.
#[derive(Debug)]
pub struct Source {
    /// The file as the user named it.
    pub name: String,
    /// What it says.
    pub text: String,
    /// What relative paths in it start from.
    pub folder: PathBuf,
    /// Cores of this host, from which the number of workers follows.
    pub cores: usize,
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// One fault: [`Cause::Unreadable`] or [`Cause::FileTooLarge`].
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let name = path.display().to_string();
        let fault = |cause| {
            Faults(vec![Fault { file: name.clone(), place: None, key: String::new(), cause }])
        };
        let file = File::open(path).map_err(|why| fault(unreadable(&why)))?;
        let mut text = String::new();
        let read = file.take(FILE_BYTES_MAX.0 + 1).read_to_string(&mut text);
        let length = read.map_err(|why| fault(unreadable(&why)))?;
        if length as u64 > FILE_BYTES_MAX.0 {
            return Err(fault(Cause::FileTooLarge));
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        let folder = std::path::absolute(Path::new(".").join(parent))
            .map_err(|why| fault(unreadable(&why)))?;
        Ok(Self { name, text, folder, cores: cores() })
    }

    /// Text that comes from no file; relative paths start from the working folder.
    #[must_use]
    pub fn text(name: &str, text: String) -> Self {
        Self { name: name.to_owned(), text, folder: PathBuf::new(), cores: cores() }
    }

    /// Line and column of a byte.
    #[must_use]
    pub fn place(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// A fault at a byte of this file.
    #[must_use]
    pub fn fault(&self, at: Option<usize>, key: &str, cause: Cause) -> Fault {
        let place = at.map(|at| self.place(at));
        Fault { file: self.name.clone(), place, key: key.to_owned(), cause }
    }
}

/// The system's word for an error, as a cause.
pub(super) fn unreadable(why: &std::io::Error) -> Cause {
    Cause::Unreadable(why.kind().to_string())
}

/// Cores that this process may run on; 1 where the system does not say.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
