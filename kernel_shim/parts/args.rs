//! Typed access to the words of a request.

use crate::refusal::{refused, Code, CommandError};

/// The words after the command's name, consumed from the left. A bad word is refused with `err usage`.
pub struct Args<'a> {
    rest: &'a str,
}

impl<'a> Args<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { rest: text.trim() }
    }

    /// The next word, if there is one.
    pub fn next_word(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (word, rest) = self.rest.split_once(' ').unwrap_or((self.rest, ""));
        self.rest = rest.trim_start();
        Some(word)
    }

    /// Whether no word is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next word, which must be there. `name` is for the message.
    pub fn word(&mut self, name: &str) -> Result<&'a str, CommandError> {
        self.next_word().ok_or_else(|| refused(Code::Usage, format_args!("missing argument: {name}")))
    }

    /// The next word as what it stands for. `words` is for the message, as `a|b`.
    pub fn choice<T: Copy>(&mut self, words: &str, choices: &[(&str, T)]) -> Result<T, CommandError> {
        let word = self.word(words)?;
        let found = choices.iter().find(|(name, _)| *name == word);
        found.map(|&(_, value)| value).ok_or_else(|| refused(Code::Usage, format_args!("expected {words}, got {word}")))
    }

    /// All text that is left.
    pub fn rest(&mut self) -> &'a str {
        core::mem::take(&mut self.rest)
    }

    pub fn u64(&mut self, name: &str) -> Result<u64, CommandError> {
        parse(name, self.word(name)?, u64::MAX)
    }

    pub fn u32(&mut self, name: &str) -> Result<u32, CommandError> {
        Ok(parse(name, self.word(name)?, u64::from(u32::MAX))? as u32)
    }

    pub fn u8(&mut self, name: &str) -> Result<u8, CommandError> {
        Ok(parse(name, self.word(name)?, u64::from(u8::MAX))? as u8)
    }

    /// A number if a word is left, else `default`.
    pub fn u64_or(&mut self, name: &str, default: u64) -> Result<u64, CommandError> {
        self.next_word().map_or(Ok(default), |word| parse(name, word, u64::MAX))
    }

    /// Bytes from hexadecimal digits, two each, written to the front of `buffer`.
    pub fn hex<'b>(&mut self, name: &str, buffer: &'b mut [u8]) -> Result<&'b [u8], CommandError> {
        let word = self.word(name)?.as_bytes();
        let bytes = word.len() / 2;
        if word.len() % 2 != 0 || bytes > buffer.len() {
            let limit = buffer.len();
            return Err(refused(Code::Usage, format_args!("{name}: expected at most {limit} bytes of two hex digits")));
        }
        for (byte, digits) in buffer.iter_mut().zip(word.chunks_exact(2)) {
            let [high, low] = [digits[0], digits[1]].map(|digit| char::from(digit).to_digit(16));
            let (Some(high), Some(low)) = (high, low) else {
                return Err(refused(Code::Usage, format_args!("{name}: expected hex digits")));
            };
            *byte = (high << 4 | low) as u8;
        }
        Ok(&buffer[..bytes])
    }

    /// The only operand of a request, which `take` takes. Refuses words that are left.
    pub fn only<T>(&mut self, take: impl FnOnce(&mut Self) -> Result<T, CommandError>) -> Result<T, CommandError> {
        let operand = take(self)?;
        self.end()?;
        Ok(operand)
    }

    /// Refuses words that are left. To be called before anything is changed.
    pub fn end(&mut self) -> Result<(), CommandError> {
        match self.next_word() {
            None => Ok(()),
            Some(word) => Err(refused(Code::Usage, format_args!("unexpected argument: {word}"))),
        }
    }
}

/// Decimal or `0x…`, at most `limit`.
pub fn parse(name: &str, word: &str, limit: u64) -> Result<u64, CommandError> {
    let value = match word.strip_prefix("0x") {
        // `from_str_radix` accepts a sign, which a number of a request must not have.
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => u64::from_str_radix(digits, 16).ok(),
        None if word.bytes().all(|digit| digit.is_ascii_digit()) => word.parse().ok(),
        _ => None,
    };
    value
        .filter(|&value| value <= limit)
        .ok_or_else(|| refused(Code::Usage, format_args!("{name}: expected a number up to {limit:#x}, got {word}")))
}
