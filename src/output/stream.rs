//! Much output, a little at a time: gathered, so that a hundred thousand rows are not as many writes.

use zeroize::Zeroizing;

use crate::output::{OutputError, Printer};

/// How much is gathered, in bytes.
const ROOM: usize = 64 << 10;

/// Output that is written when enough of it came together, and at its end.
#[derive(Debug)]
pub struct Stream {
    printer: Printer,
    /// What is not written yet. It never grows, so that wiping it wipes all of it.
    gathered: Zeroizing<String>,
    silent: bool,
    /// Whether nobody reads on.
    closed: bool,
}

impl Stream {
    /// One that writes what a printer would.
    pub(super) fn new(printer: Printer, silent: bool) -> Self {
        Self { printer, gathered: Zeroizing::new(String::with_capacity(ROOM)), silent, closed: false }
    }

    /// Adds a text as it is.
    ///
    /// # Errors
    /// Where stdout takes nothing more; a closed pipe is no error.
    pub fn push(&mut self, text: &str) -> Result<(), OutputError> {
        if self.gathered.len() + text.len() > ROOM {
            self.flush()?;
        }
        if text.len() > ROOM {
            return self.write(text);
        }
        self.gathered.push_str(text);
        Ok(())
    }

    /// Adds a text and a line break.
    ///
    /// # Errors
    /// As for [`Stream::push`].
    pub fn line(&mut self, text: &str) -> Result<(), OutputError> {
        self.push(text)?;
        self.push("\n")
    }

    /// Writes what was gathered. The last call of every stream.
    ///
    /// # Errors
    /// As for [`Stream::push`].
    pub fn flush(&mut self) -> Result<(), OutputError> {
        let gathered = std::mem::take(&mut *self.gathered);
        let mut gathered = Zeroizing::new(gathered);
        let written = if gathered.is_empty() { Ok(()) } else { self.write(&gathered) };
        gathered.clear();
        std::mem::swap(&mut *self.gathered, &mut *gathered);
        written
    }

    /// Whether it has come to an end before ours: nobody reads what is still to come.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    fn write(&mut self, text: &str) -> Result<(), OutputError> {
        if !self.silent && !self.closed {
            self.closed = !self.printer.write(text, "")?;
        }
        Ok(())
    }
}
