//! `real-streaming schema`

use std::{
    io::{self, Write, stdout},
    process::ExitCode,
};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use crate::schema::Format;

/// Print the schema of the rows.
#[derive(Debug, Args)]
pub struct Schema {
    /// Form to print
    #[arg(long, value_name = "FORM", value_parser = format())]
    format: Format,
}

fn format() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).map(|name| {
        let named = Format::ALL.into_iter().find(|format| format.name() == name);
        named.expect("the parser lets only names of formats pass")
    })
}

impl Schema {
    /// Prints it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match stdout().write_all(self.format.render().as_bytes()) {
            // `real-streaming schema | head` is satisfied early.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}
