//! `docs/schema.md`: the table for people.

use std::fmt::Write;

use super::{
    bigquery,
    column::{self, Kind, Mode},
};

const HEAD: &str = "\
<!-- Generated from proto/event.proto: edit the comments there, then run `UPDATE=1 cargo test --test it schema`. -->

# Columns

One row is one event. Columns 1 to 31 are those of Google Analytics 4's BigQuery export, with the same names, types and
order, so that queries written for the export run unchanged; what the export has no place for follows after them.

Every column is nullable, but for the repeated ones (`[]`), which are empty instead of null. Members of a record are
listed below it, with a dotted path.

";

/// The page, in Markdown.
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    out.push_str("| # | column | type | description |\n|--:|---|---|---|\n");
    let mut top = 0;
    for (path, column) in column::flatten() {
        let member = path.contains('.');
        top += usize::from(!member);
        let index = if member { String::new() } else { top.to_string() };
        let brackets = if column.mode == Mode::Repeated { "[]" } else { "" };
        let type_name = bigquery::type_name(column.kind);
        let about = escape(&column.about);
        writeln!(out, "| {index} | `{path}` | {type_name}{brackets} | {about} |").expect("a String takes all");
    }
    let leaves = column::flatten().iter().filter(|(_, column)| column.kind != Kind::Record).count();
    writeln!(
        out,
        "\n{top} columns, {} with the members of records, {leaves} of them hold values.",
        column::flatten().len()
    )
    .expect("a String takes all");
    out
}

/// Text as it stands, in a cell of a table: `__uid__` is not bold, `|` ends no cell.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '|' | '_' | '*' | '<' | '`' | '[' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_no_markup() {
        assert_eq!(escape("the __uid__ cookie | a <b> [c]"), r"the \_\_uid\_\_ cookie \| a \<b> \[c]");
    }

    #[test]
    fn every_column_has_a_line() {
        let page = markdown();
        for (path, _) in column::flatten() {
            assert!(page.contains(&format!("| `{path}` |")), "{path}");
        }
    }
}
