//! Why bytes are not a row, and where.

use std::fmt;

use super::wire::{Value, WireError, WireType};

/// Bytes that are not a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Index of the row among those given, when there were several.
    pub row: Option<usize>,
    /// Dotted path of the column; empty when the row itself is damaged.
    pub column: String,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not protobuf.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Protobuf, but of another type than the column.
    #[error("wire type {0} does not fit the column")]
    Type(WireType),
    /// Text that is not UTF-8.
    #[error("text is not valid UTF-8")]
    Utf8,
    /// More values or bytes in one column of one batch than a 32-bit offset can reach.
    #[error("one column of the batch passes 2 GiB; give fewer rows at a time")]
    TooLarge,
}

impl Fault {
    /// The value's wire type is not that of its column.
    pub(super) fn mistyped(value: &Value<'_>) -> Fault {
        Fault::Type(value.wire_type())
    }
}

impl DecodeError {
    /// The same error, seen from the record that has the column `name`.
    pub(super) fn within(mut self, name: &str) -> DecodeError {
        self.column = if self.column.is_empty() { name.to_owned() } else { format!("{name}.{}", self.column) };
        self
    }

    /// The same error, seen from a batch.
    pub(super) fn at_row(mut self, row: usize) -> DecodeError {
        self.row = Some(row);
        self
    }
}

impl<F: Into<Fault>> From<F> for DecodeError {
    fn from(fault: F) -> DecodeError {
        DecodeError { row: None, column: String::new(), fault: fault.into() }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(row) = self.row {
            write!(f, "row {row}: ")?;
        }
        if !self.column.is_empty() {
            write!(f, "column `{}`: ", self.column)?;
        }
        self.fault.fmt(f)
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where() {
        let error = DecodeError::from(Fault::Utf8).within("browser").within("web_info").within("device").at_row(3);
        assert_eq!(error.to_string(), "row 3: column `device.web_info.browser`: text is not valid UTF-8");
        assert_eq!(DecodeError::from(WireError::Truncated).to_string(), "the bytes end inside a value");
    }
}
