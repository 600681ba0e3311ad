//! Verifies the answers to a burst of requests, in order.

use longhold_transport::Buffer;

use crate::answer::{AnswerReader, Progress};
use crate::fault::Fault;
use crate::verify::Expectation;

/// What a peer needs that verifies its answers.
pub(super) struct Exam {
    reader: AnswerReader,
    /// `None` while a receive has it.
    pub(super) buffer: Option<Buffer>,
    /// Right answers so far.
    pub(super) answers: u32,
}

impl Exam {
    /// No answer so far.
    pub(super) fn new(expectation: &Expectation) -> Self {
        let mut reader = AnswerReader::new();
        reader.reset(expectation.length_bytes_max());
        Self { reader, buffer: Some(Buffer::with_capacity(BUFFER_BYTES)), answers: 0 }
    }

    /// Reads what `buffer` holds; how many right answers that brought. `last` is the number of
    /// answers that may come in all.
    pub(super) fn read(
        &mut self,
        buffer: &mut Buffer,
        last: u32,
        expectation: &mut Expectation,
    ) -> Result<u32, Fault> {
        let before = self.answers;
        loop {
            if self.answers == last {
                let rest = if buffer.is_empty() { Ok(()) } else { Err(Fault::Unsolicited) };
                return rest.map(|()| self.answers - before);
            }
            let (used, progress) = self.reader.read(buffer.filled())?;
            buffer.consume(used);
            match progress {
                Progress::Complete(answer) => {
                    expectation.check(&answer)?;
                    self.answers += 1;
                    self.reader.reset(expectation.length_bytes_max());
                }
                Progress::More => {
                    buffer.compact();
                    let has_room = buffer.spare_len() > 0;
                    return if has_room {
                        Ok(self.answers - before)
                    } else {
                        Err(Fault::HeadTooLong)
                    };
                }
            }
        }
    }
}

/// Room for the largest head.
const BUFFER_BYTES: usize = 32 << 10;
