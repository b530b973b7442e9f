//! What BigQuery takes of tables and views, and how a patch changes them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Why a table or a view cannot be made.
pub fn fault_of_new(body: &Value) -> Option<String> {
    let columns = list(&body["schema"]["fields"]);
    if !body["view"].is_null() {
        // The API's default is the old dialect, which does not know these quotes.
        let legacy = body["view"]["useLegacySql"].as_bool().unwrap_or(true);
        let query = body["view"]["query"].as_str().unwrap_or_default();
        return match legacy {
            _ if query.is_empty() => Some("Required parameter is missing: query".to_owned()),
            true if query.contains('`') => Some("Encountered \" \"`\" at line 1".to_owned()),
            _ if !columns.is_empty() => Some("Schema field shouldn't be used as input with a view".to_owned()),
            _ => fault_of_labels(&body["labels"]),
        };
    }
    let column = |name: &Value| columns.iter().find(|column| column["name"] == *name);
    let partitioning = &body["timePartitioning"];
    if let Some(field) = partitioning.get("field")
        && !column(field).is_some_and(|column| {
            matches!(column["type"].as_str(), Some("DATE" | "TIMESTAMP" | "DATETIME")) && column["mode"] != "REPEATED"
        })
    {
        return Some(format!("The field specified for partitioning cannot be found in the schema: {field}"));
    }
    fault_of_expiration(partitioning)
        .or_else(|| fault_of_end(&body["expirationTime"]))
        .or_else(|| fault_of_clustering(&body["clustering"], &columns))
        .or_else(|| fault_of_labels(&body["labels"]))
}

/// Why a table or a view cannot be changed like this.
pub fn fault_of_patch(before: &Value, patch: &Value) -> Option<String> {
    if let Some(query) = patch["view"].as_object() {
        if before["view"].is_null() {
            return Some("Cannot change the type of a table".to_owned());
        }
        if query.get("useLegacySql").and_then(Value::as_bool).unwrap_or(true) {
            return Some("Encountered \" \"`\" at line 1".to_owned());
        }
    }
    if let Some(fields) = patch.pointer("/schema/fields")
        && let Some(name) = removed(&before["schema"]["fields"], fields)
    {
        return Some(format!("Provided Schema does not match Table. Cannot remove field: {name}"));
    }
    if let Some(partitioning) = patch.get("timePartitioning") {
        let (is, should) = (&before["timePartitioning"], partitioning);
        if is.is_null() {
            return Some("Cannot convert non partitioned/clustered table to partitioned/clustered table.".to_owned());
        }
        if is["type"] != should["type"] || is["field"] != should["field"] {
            return Some("Cannot change partitioning spec for a partitioned table.".to_owned());
        }
        return fault_of_expiration(should);
    }
    let columns = list(&before["schema"]["fields"]);
    fault_of_clustering(&patch["clustering"], &columns).or_else(|| fault_of_labels(&patch["labels"]))
}

/// Members replace members; maps are merged and lists replaced; null takes away.
pub fn merge(body: &mut Value, patch: Value) {
    match (body, patch) {
        (Value::Object(body), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    body.remove(&name);
                } else {
                    merge(body.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (body, patch) => *body = patch,
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn fault_of_expiration(partitioning: &Value) -> Option<String> {
    let expiration = partitioning.get("expirationMs")?;
    let is_number = expiration.as_str().is_some_and(|text| text.parse::<u64>().is_ok_and(|number| number > 0));
    (!is_number).then(|| format!("Invalid value for expirationMs: {expiration}"))
}

fn fault_of_end(expiration: &Value) -> Option<String> {
    let end: u128 = expiration.as_str()?.parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    (end <= now).then(|| "Invalid value: Table expiration time cannot be in the past".to_owned())
}

fn fault_of_clustering(clustering: &Value, columns: &[Value]) -> Option<String> {
    let fields = list(&clustering["fields"]);
    if fields.len() > 4 {
        return Some("Too many clustering fields".to_owned());
    }
    let known = |name: &Value| columns.iter().any(|column| column["name"] == *name && column["mode"] != "REPEATED");
    let unknown = fields.iter().find(|name| !known(name))?;
    Some(format!("The field specified for clustering cannot be found in the schema: {unknown}"))
}

fn fault_of_labels(labels: &Value) -> Option<String> {
    let fits = |text: &str| {
        text.len() <= 63
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
    };
    let labels = labels.as_object()?;
    let wrong = labels.iter().find(|(key, value)| {
        !(fits(key) && key.starts_with(|c: char| c.is_ascii_lowercase()) && fits(value.as_str().unwrap_or("?")))
    })?;
    Some(format!("Label key or value is invalid: {}", wrong.0))
}

/// A column that a patch leaves out or changes.
fn removed(before: &Value, after: &Value) -> Option<String> {
    let after = list(after);
    for column in list(before) {
        let name = column["name"].as_str().unwrap_or_default();
        let same = after.iter().find(|other| other["name"] == column["name"]);
        let mode = |column: &Value| column["mode"].as_str().unwrap_or("NULLABLE").to_owned();
        // A mode may be relaxed, and not changed otherwise.
        let keeps = |same: &&Value| {
            mode(same) == mode(&column) || (mode(&column), mode(same)) == ("REQUIRED".into(), "NULLABLE".into())
        };
        let same = same.filter(|same| same["type"] == column["type"]).filter(keeps);
        let Some(same) = same else { return Some(name.to_owned()) };
        if let Some(member) = removed(&column["fields"], &same["fields"]) {
            return Some(format!("{name}.{member}"));
        }
    }
    None
}
