//! Bounded readers and writers of the encoding's primitives: little-endian integers, byte strings with a `u32` length.

use thiserror::Error;

/// Why a body could not be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The body ended before the field did.
    #[error("message ends too early")]
    Truncated,
    /// A field has a value that means nothing.
    #[error("message has an invalid {0}")]
    Invalid(&'static str),
    /// A message type that this version does not know.
    #[error("unknown message type {0}")]
    UnknownType(u8),
}

/// Appends primitives to a buffer.
#[derive(Default)]
pub struct Writer {
    /// What has been written so far.
    pub buffer: Vec<u8>,
}

impl Writer {
    /// Appends one byte.
    pub fn u8(&mut self, value: u8) {
        self.buffer.push(value);
    }
    /// Appends a boolean as one byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }
    /// Appends a 16-bit integer.
    pub fn u16(&mut self, value: u16) {
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }
    /// Appends a 32-bit integer.
    pub fn u32(&mut self, value: u32) {
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }
    /// Appends a 64-bit integer.
    pub fn u64(&mut self, value: u64) {
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }
    /// Appends a byte string with its length.
    pub fn bytes(&mut self, value: &[u8]) {
        // A frame is at most MAX_REQUEST long, so a length always fits; a longer one is refused when it is sent.
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.buffer.extend_from_slice(value);
    }
    /// Appends a list of byte strings with its count.
    pub fn list(&mut self, values: &[Vec<u8>]) {
        self.u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
        for value in values {
            self.bytes(value);
        }
    }
}

/// Takes primitives from a body, never past its end and never allocating more than the body's own length.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        if count > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        let (head, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }
    /// Takes a boolean; anything but 0 and 1 is invalid.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid("flag")),
        }
    }
    /// Takes a 16-bit integer.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }
    /// Takes a 32-bit integer.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    /// Takes a 64-bit integer.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    /// Takes a fixed number of bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.array()
    }
    /// Takes a byte string.
    pub fn bytes(&mut self) -> Result<Vec<u8>, DecodeError> {
        let length = self.u32()? as usize;
        Ok(self.take(length)?.to_vec())
    }
    /// Takes a list of byte strings. Each costs at least its four length bytes, which bounds the count.
    pub fn list(&mut self) -> Result<Vec<Vec<u8>>, DecodeError> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / 4 {
            return Err(DecodeError::Truncated);
        }
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.bytes()?);
        }
        Ok(values)
    }
    /// Bytes not taken yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }
}
