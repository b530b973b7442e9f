//! The forms in which the schema can be printed.

/// One form of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The source of it all, `event.proto`.
    Proto,
}

impl Format {
    /// Every form, in the order of the documentation.
    pub const ALL: [Format; 1] = [Format::Proto];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Proto => "proto",
        }
    }

    /// The schema in this form: text that ends with a line end.
    pub fn render(self) -> String {
        match self {
            Format::Proto => include_str!("../../proto/event.proto").to_owned(),
        }
    }
}
