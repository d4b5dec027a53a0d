//! Little-endian fields of a model file, each bounded by what is left of the file.

/// The bytes are no model that we can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file ends inside a field.
    #[error("the model ends at byte {at} inside `{field}`: expected {wanted} more bytes")]
    Truncated {
        /// What was being read.
        field: &'static str,
        /// Offset of the field.
        at: usize,
        /// Bytes that the field needs.
        wanted: u64,
    },
    /// The first bytes are not fastText's.
    #[error("not a fastText model: expected the magic number 793712314 and version 11 or 12")]
    NotAModel,
    /// A model that predicts no labels.
    #[error("the model is not supervised: expected one trained with `supervised`")]
    NotSupervised,
    /// A field has a value that cannot be.
    #[error("`{field}` is {value}: expected {expected}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
        /// What it may be.
        expected: &'static str,
    },
}

impl Error {
    pub(super) fn invalid(field: &'static str, value: i64, expected: &'static str) -> Self {
        Self::Invalid { field, value, expected }
    }
}

/// A cursor over the file.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` elements of `width` bytes each; nothing is allocated for a count that the file cannot hold.
    pub(super) fn take(&mut self, field: &'static str, count: u64, width: u64) -> Result<&'a [u8], Error> {
        let rest = &self.bytes[self.at..];
        let wanted = count.saturating_mul(width);
        if wanted > rest.len() as u64 {
            return Err(Error::Truncated { field, at: self.at, wanted });
        }
        self.at += wanted as usize;
        Ok(&rest[..wanted as usize])
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(field, N as u64, 1)?);
        Ok(array)
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, Error> {
        Ok(self.array::<1>(field)?[0] != 0)
    }

    pub(super) fn byte(&mut self, field: &'static str) -> Result<u8, Error> {
        Ok(self.array::<1>(field)?[0])
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, Error> {
        self.array(field).map(i32::from_le_bytes)
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, Error> {
        self.array(field).map(i64::from_le_bytes)
    }

    pub(super) fn f64(&mut self, field: &'static str) -> Result<f64, Error> {
        self.array(field).map(f64::from_le_bytes)
    }

    /// A number that counts something: never negative.
    pub(super) fn count(&mut self, field: &'static str) -> Result<u64, Error> {
        let value = self.i64(field)?;
        u64::try_from(value).map_err(|_| Error::invalid(field, value, "a count"))
    }

    /// As [`Reader::count`], stored in four bytes.
    pub(super) fn count32(&mut self, field: &'static str) -> Result<u32, Error> {
        let value = self.i32(field)?;
        u32::try_from(value).map_err(|_| Error::invalid(field, i64::from(value), "a count"))
    }

    pub(super) fn floats(&mut self, field: &'static str, count: u64) -> Result<Vec<f32>, Error> {
        let bytes = self.take(field, count, 4)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect())
    }

    /// Bytes up to a NUL, which is consumed.
    pub(super) fn c_string(&mut self, field: &'static str) -> Result<&'a [u8], Error> {
        let rest = &self.bytes[self.at..];
        let length = memchr::memchr(0, rest).ok_or(Error::Truncated {
            field,
            at: self.at,
            wanted: rest.len() as u64 + 1,
        })?;
        self.at += length + 1;
        Ok(&rest[..length])
    }
}
