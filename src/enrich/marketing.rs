//! Marketing names of common phones and tablets, by model code: `marketing.tsv`.

use std::{collections::HashMap, sync::LazyLock};

/// The file is part of the program: a line that cannot be read is a bug, and the test below reads all of them.
static TABLE: &str = include_str!("marketing.tsv");

static NAMES: LazyLock<HashMap<&'static str, &'static str>> =
    LazyLock::new(|| TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|l| l.split_once('\t')).collect());

/// Reads the table, so that no hit has to.
pub fn warm_up() {
    LazyLock::force(&NAMES);
}

/// Lines whose makers write the name where others write a code.
const NAMED: &[&str] = &["Redmi ", "Mi ", "MI ", "POCO ", "moto ", "motorola ", "Pixel", "Nexus "];
/// Longest of these names, in bytes.
const MAX_NAME: usize = 32;

/// What a model is sold as: `Galaxy S23` of `SM-S911B`.
pub fn name(model: &str) -> Option<&str> {
    let known = NAMES.get(model).or_else(|| NAMES.get(samsung(model)?)).copied();
    known.or_else(|| (model.len() <= MAX_NAME && NAMED.iter().any(|line| model.starts_with(line))).then_some(model))
}

/// The part of a code of Samsung's that tells the machine; the letters after it tell the country and the operator.
fn samsung(model: &str) -> Option<&str> {
    const LENGTH: usize = "SM-S911".len();
    let (machine, market) = model.split_at_checked(LENGTH)?;
    let is_market =
        market.len() <= 4 && market.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'/');
    (machine.starts_with("SM-") && is_market).then_some(machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let rows: Vec<_> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(NAMES.len(), rows.len(), "each line is a row, and no code has two");
        assert!(rows.is_sorted() && rows.len() > 500, "{}", rows.len());
        for (code, name) in NAMES.iter() {
            assert!(!code.is_empty() && code.trim() == *code && code.is_ascii(), "{code}");
            assert!(!name.is_empty() && name.trim() == *name && !name.contains('\t'), "{code}");
        }
    }

    #[test]
    fn codes_tell_what_machines_are_sold_as() {
        for (model, expected) in [
            ("SM-S911B", Some("Galaxy S23")),
            ("SM-S911U1", Some("Galaxy S23")),
            ("SM-S911B/DS", Some("Galaxy S23")),
            ("SM-M426B", Some("Galaxy M42 5G")),
            ("SM-A536B", Some("Galaxy A53 5G")),
            ("M2010J19SI", Some("Redmi 9 Power")),
            ("Pixel 8 Pro", Some("Pixel 8 Pro")),
            ("SM-S9110000B", None),
            ("SM-S91", None),
            ("SM-Sßßß", None),
            ("Redmi Note 9 Pro", Some("Redmi Note 9 Pro")),
            ("moto g(30)", Some("moto g(30)")),
            ("moto and a text that is no name but a sentence", None),
            ("", None),
        ] {
            assert_eq!(name(model), expected, "{model}");
        }
    }
}
