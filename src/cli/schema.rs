//! `real-streaming schema`

use std::process::ExitCode;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::print;
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
        print(&self.format.render())
    }
}
