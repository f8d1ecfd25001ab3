//! Text of bounded length, for places where nothing can be allocated.

use core::fmt;

/// Up to `N` bytes of UTF-8. Text that does not fit is dropped, and the value says so. Behind it writing fails.
#[derive(Clone)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
    overflowed: bool,
}

impl<const N: usize> Text<N> {
    pub const fn new() -> Self {
        Self { bytes: [0; N], length: 0, overflowed: false }
    }

    pub fn from_args(args: fmt::Arguments<'_>) -> Self {
        let mut text = Self::new();
        // The value keeps the overflow. A `Display` that fails leaves a part of its text.
        let _ = fmt::write(&mut text, args);
        text
    }

    pub fn as_str(&self) -> &str {
        // Only whole characters are ever appended.
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }

    pub fn overflowed(&self) -> bool {
        self.overflowed
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.overflowed {
            return Err(fmt::Error);
        }
        let mut fits = s.len().min(N - self.length);
        while !s.is_char_boundary(fits) {
            fits -= 1;
        }
        self.bytes[self.length..self.length + fits].copy_from_slice(&s.as_bytes()[..fits]);
        self.length += fits;
        self.overflowed = fits < s.len();
        Ok(())
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Displays text with everything but visible ASCII (and `%`) as `%xx`: one word in a reply.
pub struct PercentEncoded<'a>(pub &'a str);

impl fmt::Display for PercentEncoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'%' => f.write_str("%25"),
            0x21..=0x7e => fmt::Write::write_char(f, char::from(byte)), // visible in ASCII (RFC 20)
            _ => write!(f, "%{byte:02x}"),
        })
    }
}

/// Displays bytes as hex digits, in address order.
pub struct HexBytes<'a>(pub &'a [u8]);

impl fmt::Display for HexBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
