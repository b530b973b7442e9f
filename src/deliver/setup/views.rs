//! Views on the table, as SQL. Their names never begin with `<table_id>_`: a view that a wildcard such as `events_*`
//! matches makes every query of that wildcard fail.

use crate::{
    gcp::bigquery::TableName,
    schema::{self, Column},
};

/// Number of the last column of Google's export.
const LAST_OF_EXPORT: u32 = 31;

/// Names of the views of a table: without doubles, and without doubles in the columns of Google's export.
pub fn names(table_id: &str) -> [String; 2] {
    [format!("unique_{table_id}"), format!("ga4_{table_id}")]
}

/// All columns, each event once. `sharded`: of all tables whose names begin with the given one and `_`.
pub fn unique(table: &TableName, sharded: bool) -> String {
    let columns: Vec<_> = schema::columns().iter().map(|column| column.name.as_str()).collect();
    let suffix = sharded.then_some("_TABLE_SUFFIX AS table_suffix");
    select(columns.into_iter().chain(suffix), table, sharded)
}

/// The columns of Google's export in their order, each event once; behind them `date`, by which queries read less, and
/// `table_suffix`, which takes the place of `_TABLE_SUFFIX`.
pub fn ga4(table: &TableName, sharded: bool) -> String {
    let of_export = |column: &&Column| column.number <= LAST_OF_EXPORT;
    let columns = schema::columns().iter().filter(of_export).map(|column| column.name.as_str());
    let suffix = if sharded { "_TABLE_SUFFIX" } else { "FORMAT_DATE('%Y%m%d', date)" };
    let suffix = format!("{suffix} AS table_suffix");
    select(columns.chain(["date", suffix.as_str()]), table, sharded)
}

/// Of rows with one id the first that was accepted. A filter by what rows are partitioned by (`date`, or the table) can
/// be applied before they are numbered, so that a query of some days reads these days alone.
fn select<'a>(columns: impl Iterator<Item = &'a str>, table: &TableName, sharded: bool) -> String {
    let TableName { project, dataset, table } = table;
    let columns: Vec<_> = columns.map(|column| format!("  {column}")).collect();
    let (star, day) = if sharded { ("_*", "_TABLE_SUFFIX") } else { ("", "date") };
    format!(
        "SELECT\n{}\nFROM `{project}.{dataset}.{table}{star}`\nWHERE TRUE\nQUALIFY rs_info.event_id IS NULL\n  OR \
         ROW_NUMBER() OVER (PARTITION BY {day}, rs_info.event_id ORDER BY synced_at_micros_) = 1",
        columns.join(",\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TableName {
        TableName { project: "p-1".into(), dataset: "d".into(), table: "events".into() }
    }

    #[test]
    fn the_export_has_its_own_columns_in_their_order() {
        let sql = ga4(&table(), false);
        assert!(sql.starts_with("SELECT\n  event_date,\n  event_timestamp,\n  event_name,\n"), "{sql}");
        assert!(sql.contains(",\n  event_original_occurrence_timestamp,\n  date,\n  FORMAT_DATE("), "{sql}");
        assert!(!sql.contains("subscription_name"), "{sql}");
        assert!(sql.contains("FROM `p-1.d.events`\n"), "{sql}");
    }

    #[test]
    fn tables_of_days_are_told_apart_by_their_suffix() {
        let sql = unique(&table(), true);
        assert!(sql.contains("FROM `p-1.d.events_*`\n") && sql.contains("PARTITION BY _TABLE_SUFFIX,"), "{sql}");
        assert!(sql.contains(",\n  _TABLE_SUFFIX AS table_suffix\n"), "{sql}");
        assert!(names("events").iter().all(|name| !name.starts_with("events_")));
    }
}
