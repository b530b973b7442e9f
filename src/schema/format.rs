//! The forms in which the schema can be printed.

use std::{fmt, str::FromStr};

use super::{arrow, bigquery, descriptor, docs};

/// One form of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// BigQuery's JSON table schema.
    Bigquery,
    /// The Arrow schema, one column a line.
    Arrow,
    /// The self-contained proto2 message of the Storage Write API.
    Descriptor,
    /// The source of it all, `event.proto`.
    Proto,
    /// The documentation page.
    Markdown,
}

impl Format {
    /// Every form, in the order of the documentation.
    pub const ALL: [Format; 5] = [Format::Bigquery, Format::Arrow, Format::Descriptor, Format::Proto, Format::Markdown];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Bigquery => "bigquery",
            Format::Arrow => "arrow",
            Format::Descriptor => "descriptor",
            Format::Proto => "proto",
            Format::Markdown => "markdown",
        }
    }

    /// The schema in this form: text that ends with a line end.
    pub fn render(self) -> String {
        match self {
            Format::Bigquery => bigquery::text(),
            Format::Arrow => arrow::text(),
            Format::Descriptor => descriptor::text(),
            Format::Proto => include_str!("../../proto/event.proto").to_owned(),
            Format::Markdown => docs::markdown(),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown schema format `{0}`, use one of `bigquery`, `arrow`, `descriptor`, `proto`, `markdown`")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_name_and_prints_lines() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert!(format.render().ends_with('\n'), "{format}");
        }
        let error = "avro".parse::<Format>().expect_err("it is not one of ours").to_string();
        for format in Format::ALL {
            assert!(error.contains(&format!("`{format}`")), "{error}");
        }
    }
}
