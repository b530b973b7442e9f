//! Columns side by side: what there is, and what is wanted.

use std::collections::HashSet;

use super::Field;
use crate::gcp::proto::storage::TableFieldSchema;

/// A table beside the columns that are wanted. Paths are dotted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The table's columns with the missing ones added and those of `required` made nullable, as a patch wants them.
    pub merged: Vec<Field>,
    /// Wanted, and not there.
    pub missing: Vec<String>,
    /// There with another type or mode, and how.
    pub conflicts: Vec<String>,
    /// There, wanted and required, though not every row has a value for them.
    pub required: Vec<String>,
    /// There, required, and not among the wanted ones: no row could ever satisfy them. Members of a record that is not
    /// wanted itself and may be absent are none of these: it is.
    pub unfilled: Vec<String>,
}

/// Holds a table against the columns that are wanted. `filled` are those that every row has, the members among them
/// every row that has their record.
pub fn compare(wanted: &[Field], table: &[Field], filled: &[&str]) -> Comparison {
    let mut found = Comparison::default();
    found.merged = found.merge(wanted, table, "", filled);
    found
}

impl Comparison {
    fn merge(&mut self, wanted: &[Field], table: &[Field], prefix: &str, filled: &[&str]) -> Vec<Field> {
        let mut merged = table.to_vec();
        let known = |own: &Field| wanted.iter().any(|field| field.name.eq_ignore_ascii_case(&own.name));
        let unfilled = table.iter().filter(|own| own.has_mode("REQUIRED") && !known(own));
        self.unfilled.extend(unfilled.map(|own| format!("{prefix}{}", own.name)));
        for field in wanted {
            let path = format!("{prefix}{}", field.name);
            let Some(own) = merged.iter_mut().find(|own| own.name.eq_ignore_ascii_case(&field.name)) else {
                self.missing.push(path);
                merged.push(field.clone());
                continue;
            };
            let (kind, wanted_kind) = (own.canonical_kind(), field.canonical_kind());
            if kind != wanted_kind {
                self.conflicts.push(format!("`{path}` is {kind} and not {wanted_kind}"));
                continue;
            }
            if own.has_mode("REPEATED") != field.has_mode("REPEATED") {
                let (is, should) = if own.has_mode("REPEATED") { ("", "not ") } else { ("not ", "") };
                self.conflicts.push(format!("`{path}` is {is}REPEATED and should {should}be"));
                continue;
            }
            own.fields = self.merge(&field.fields, &own.fields, &format!("{path}."), filled);
            if own.has_mode("REQUIRED") && !field.has_mode("REQUIRED") && !filled.contains(&&*path) {
                own.mode = Some("NULLABLE".to_owned());
                self.required.push(path);
            }
        }
        merged
    }
}

/// A column, as one of the two services describes it.
pub trait Column: Sized {
    /// In any letter case.
    fn name(&self) -> &str;
    /// Its members, when it is a record.
    fn fields(&self) -> &[Self];
}

impl Column for Field {
    fn name(&self) -> &str {
        &self.name
    }
    fn fields(&self) -> &[Field] {
        &self.fields
    }
}

impl Column for TableFieldSchema {
    fn name(&self) -> &str {
        &self.name
    }
    fn fields(&self) -> &[TableFieldSchema] {
        &self.fields
    }
}

/// Dotted paths of all columns and members, in lower case.
pub fn paths<C: Column>(fields: &[C]) -> HashSet<String> {
    fn walk<C: Column>(fields: &[C], prefix: &str, found: &mut HashSet<String>) {
        for field in fields {
            let path = format!("{prefix}{}", field.name().to_lowercase());
            walk(field.fields(), &format!("{path}."), found);
            found.insert(path);
        }
    }
    let mut found = HashSet::new();
    walk(fields, "", &mut found);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fields(json: Value) -> Vec<Field> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn missing_members_are_added_at_the_end_and_everything_else_stays_as_it_is() {
        let wanted = fields(json!([
            { "name": "a", "type": "INTEGER", "mode": "NULLABLE" },
            { "name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [
                { "name": "x", "type": "STRING" }, { "name": "y", "type": "BOOLEAN" }] },
            { "name": "new", "type": "STRING", "mode": "NULLABLE", "description": "d" },
        ]));
        let table = json!([
            { "name": "theirs", "type": "JSON", "policyTags": { "names": ["t"] } },
            { "name": "R", "type": "STRUCT", "mode": "REPEATED", "fields": [{ "name": "y", "type": "BOOL", "maxLength": "7" }] },
            { "name": "A", "type": "INT64" },
        ]);
        let found = compare(&wanted, &fields(table.clone()), &[]);
        assert_eq!((found.missing, found.conflicts), (vec!["r.x".to_owned(), "new".to_owned()], vec![]));
        let merged = serde_json::to_value(&found.merged).unwrap();
        assert_eq!(merged[0], table[0]);
        assert_eq!(
            merged[1]["fields"],
            json!([{ "name": "y", "type": "BOOL", "maxLength": "7" }, { "name": "x", "type": "STRING" }])
        );
        assert_eq!(merged[3], json!({ "name": "new", "type": "STRING", "mode": "NULLABLE", "description": "d" }));
    }

    #[test]
    fn what_cannot_be_mended_is_named() {
        let wanted = fields(json!([
            { "name": "a", "type": "INTEGER" },
            { "name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [{ "name": "x", "type": "STRING" }] },
        ]));
        let table = fields(json!([
            { "name": "a", "type": "STRING" },
            { "name": "r", "type": "RECORD", "mode": "NULLABLE", "fields": [] },
            { "name": "must", "type": "STRING", "mode": "REQUIRED" },
        ]));
        let found = compare(&wanted, &table, &[]);
        assert_eq!(found.conflicts, ["`a` is STRING and not INTEGER", "`r` is not REPEATED and should be"]);
        assert_eq!(found.unfilled, ["must"]);
        assert_eq!(found.missing, [""; 0]);
    }

    #[test]
    fn required_columns_that_rows_may_lack_are_found_at_every_depth() {
        let wanted = fields(json!([
            { "name": "day", "type": "DATE", "mode": "NULLABLE" },
            { "name": "user", "type": "STRING", "mode": "NULLABLE" },
            { "name": "r", "type": "RECORD", "fields": [
                { "name": "id", "type": "STRING" },
                { "name": "list", "type": "RECORD", "mode": "REPEATED", "fields": [{ "name": "x", "type": "STRING" }] }] },
        ]));
        let table = fields(json!([
            { "name": "day", "type": "DATE", "mode": "REQUIRED" },
            { "name": "User", "type": "STRING", "mode": "required" },
            { "name": "r", "type": "RECORD", "mode": "REQUIRED", "fields": [
                { "name": "id", "type": "STRING", "mode": "REQUIRED" },
                { "name": "theirs", "type": "STRING", "mode": "REQUIRED" },
                { "name": "list", "type": "RECORD", "mode": "REPEATED", "fields": [
                    { "name": "x", "type": "STRING", "mode": "REQUIRED" }, { "name": "y", "type": "JSON", "mode": "REQUIRED" }] }] },
            { "name": "absent", "type": "RECORD", "fields": [{ "name": "z", "type": "STRING", "mode": "REQUIRED" }] },
        ]));
        let found = compare(&wanted, &table, &["day", "r", "r.id"]);
        assert_eq!(found.required, ["user", "r.list.x"]);
        assert_eq!(found.unfilled, ["r.theirs", "r.list.y"]);
        assert_eq!((found.missing, found.conflicts), (vec![], vec![]));
        let merged = serde_json::to_value(&found.merged).unwrap();
        assert_eq!((&merged[0]["mode"], &merged[1]["mode"]), (&json!("REQUIRED"), &json!("NULLABLE")));
        assert_eq!(merged[2]["fields"][2]["fields"][0]["mode"], "NULLABLE");
        assert_eq!(merged[2]["fields"][1]["mode"], "REQUIRED", "somebody else's stays");
    }
}
