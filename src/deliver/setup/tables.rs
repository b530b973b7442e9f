//! The data set, the table and its views.

use serde_json::{Map, Value, json};

use super::{
    Request,
    report::{Finding, Outcome, Report, failed},
    views,
};
use crate::{
    deliver::{
        config::{TableLayout, WritersConfig},
        sinks::bigquery::{Blueprint, CLUSTER_BY, MANAGED_BY, PARTITION_BY, Registrar, of_rest, registrar, usable},
    },
    gcp::bigquery::{Clustering, Comparison, Field, Table, TableName, Tables, TimePartitioning, View},
    schema::Date,
};

/// Times a change is tried when somebody else changes the table meanwhile.
const TRIES: usize = 5;

/// See [`set_up`].
struct Builder<'a> {
    config: &'a WritersConfig,
    request: Request,
    blueprint: Blueprint,
    registrar: Registrar,
}

/// Sees to the data set, the table and, when they are asked for, the views. False when there is no table after it.
pub async fn set_up(config: &WritersConfig, request: Request, report: &mut Report) -> bool {
    // Whoever asks for this wants the table, even if the service itself is not to create it.
    let mut bq = config.bq.clone();
    bq.create_table = true;
    let registrar = match registrar(&bq) {
        Ok(registrar) => registrar,
        Err(error) => return report.add(Finding::new(Outcome::Failed, "BigQuery").details([error.to_string()])),
    };
    let builder = Builder { config, request, blueprint: Blueprint::new(&bq), registrar };
    builder.set_up(report).await
}

impl Builder<'_> {
    async fn set_up(&self, report: &mut Report) -> bool {
        let WritersConfig { project_id, bq, .. } = self.config;
        let base =
            TableName { project: project_id.clone(), dataset: bq.dataset_id.clone(), table: bq.table_id.clone() };
        let sharded = bq.table_layout == TableLayout::Sharded;
        if !report.add(self.dataset(&base).await) {
            return false;
        }
        // A view of a wildcard needs a table that it matches; today's is bound to come.
        let today = Date::of_utc_micros(jiff::Timestamp::now().as_microsecond());
        let table = if sharded { format!("{}_{}", base.table, today.compact()) } else { base.table.clone() };
        if !report.add(self.table(&TableName { table, ..base.clone() }).await) {
            return false;
        }
        if self.request.views {
            let [unique, ga4] = views::names(&base.table);
            for (name, query, about) in [
                (
                    unique,
                    views::unique(&base, sharded),
                    "Every event once: by rs_info.event_id, the first row of each.",
                ),
                (
                    ga4,
                    views::ga4(&base, sharded),
                    "The columns of Google Analytics 4's BigQuery export, every event once.",
                ),
            ] {
                report.add(self.view(&TableName { table: name, ..base.clone() }, query, about).await);
            }
        }
        true
    }

    fn tables(&self) -> &Tables {
        self.registrar.tables()
    }

    async fn dataset(&self, name: &TableName) -> Finding {
        let what = format!("data set `{}:{}`", name.project, name.dataset);
        let wanted = &self.config.bq.location;
        match self.tables().get_dataset(name).await {
            Ok(dataset) => match dataset.location {
                Some(location) if !wanted.is_empty() && !location.eq_ignore_ascii_case(wanted) => {
                    let words = format!("it is in {location} and not in {wanted}; a data set cannot be moved");
                    let hint = "change `writers.bq.location`, or name another one by `writers.bq.dataset_id`";
                    Finding::new(Outcome::Differs, what).details([words]).hint(hint)
                }
                _ => Finding::new(Outcome::Same, what),
            },
            Err(error) if error.status() == Some(404) => {
                let location = if wanted.is_empty() { "US" } else { wanted };
                let created = Finding::new(Outcome::Created, &what).details([format!("in {location}")]);
                if self.request.dry_run && self.config.bq.create_dataset {
                    return created;
                }
                match self.registrar.ensure_dataset(name).await {
                    Ok(()) => created,
                    Err(error) => failed(what, error),
                }
            }
            Err(error) => failed(what, of_rest("read the data set of", "bigquery.datasets.get", name, &error)),
        }
    }

    async fn table(&self, name: &TableName) -> Finding {
        let what = format!("table `{name}`");
        for _ in 0..TRIES {
            let table = match self.tables().get(name).await {
                Ok(table) => table,
                Err(error) if error.status() == Some(404) => return self.new_table(name, what).await,
                Err(error) => return failed(what, of_rest("read", "bigquery.tables.get", name, &error)),
            };
            if let Some(kind) = table.kind.as_deref().filter(|kind| *kind != "TABLE") {
                let hint = "drop it, or name another table by `writers.bq.table_id`";
                return Finding::new(Outcome::Failed, what)
                    .details([format!("it is a {kind} and no table")])
                    .hint(hint);
            }
            let mut compared = self.blueprint.compare(&table.schema.fields);
            // Columns of ours can be mended, those of others are for others to change.
            let relaxed = std::mem::take(&mut compared.required);
            if let Err(error) = usable(name, &compared) {
                return failed(what, error);
            }
            let difference = Difference::of(&self.blueprint, &table, compared, &relaxed);
            if !self.request.dry_run && !difference.patch.is_empty() {
                let patch = Value::Object(difference.patch.clone());
                match self.tables().patch_with(name, table.etag.as_deref(), &patch).await {
                    Ok(_) => {}
                    // Changed meanwhile.
                    Err(error) if error.status() == Some(412) => continue,
                    Err(error) => return failed(what, of_rest("change", "bigquery.tables.update", name, &error)),
                }
            }
            return difference.finding(what);
        }
        Finding::new(Outcome::Failed, what).details(["it changes faster than it can be added to".to_owned()])
    }

    async fn new_table(&self, name: &TableName, what: String) -> Finding {
        if !self.request.dry_run
            && let Err(error) = self.registrar.ensure(name).await
        {
            return failed(what, error);
        }
        let mut details = Vec::new();
        if let Some(partitioning) = self.blueprint.partitioning() {
            details.push(format!("a partition for each day of `{PARTITION_BY}`"));
            details.extend(partitioning.expiration_ms.map(|expiration| format!("dropped {}", span(&expiration))));
        } else {
            details.push("a table for each day; the others come with their first row".to_owned());
        }
        details.push(format!("clustered by {}", CLUSTER_BY.join(", ")));
        Finding::new(Outcome::Created, what).details(details)
    }

    async fn view(&self, name: &TableName, query: String, description: &str) -> Finding {
        let what = format!("view `{name}`");
        let labels = &self.blueprint.labels;
        let found = match self.tables().get(name).await {
            Err(error) if error.status() == Some(404) => {
                if !self.request.dry_run
                    && let Err(error) = self.tables().insert_view(name, &query, description, labels).await
                {
                    return failed(what, of_rest("create", "bigquery.tables.create", name, &error));
                }
                return Finding::new(Outcome::Created, what).details([query]);
            }
            Err(error) => return failed(what, of_rest("read", "bigquery.tables.get", name, &error)),
            Ok(found) => found,
        };
        let ours = found.labels.get(MANAGED_BY.0) == labels.get(MANAGED_BY.0);
        let wanted = View { query, use_legacy_sql: false };
        match found.view {
            Some(view) if view == wanted => Finding::new(Outcome::Same, what),
            Some(_) if ours => {
                let patch = json!({ "view": wanted });
                if !self.request.dry_run
                    && let Err(error) = self.tables().patch_with(name, found.etag.as_deref(), &patch).await
                {
                    return failed(what, of_rest("change", "bigquery.tables.update", name, &error));
                }
                Finding::new(Outcome::Changed, what).details([wanted.query])
            }
            _ => {
                let words = "it is somebody else's (it has not our label), and shows something else";
                let hint = format!("drop it with `bq rm -t {name}`, and run `setup` again");
                Finding::new(Outcome::Differs, what).details([words.to_owned()]).hint(hint)
            }
        }
    }
}

/// How a table is not as it should be.
#[derive(Debug, Default)]
struct Difference {
    /// What is changed, for people and for the service.
    changes: Vec<String>,
    patch: Map<String, Value>,
    /// What is not, and why.
    stays: Vec<String>,
    /// What is another way and may be.
    notes: Vec<String>,
}

impl Difference {
    /// What is `relaxed` in `compared.merged` may be empty from now on.
    fn of(blueprint: &Blueprint, table: &Table, compared: Comparison, relaxed: &[String]) -> Difference {
        let mut found = Difference::default();
        let mut merged = compared.merged;
        found.changes.extend(compared.missing.iter().map(|path| format!("column `{path}` added")));
        found.changes.extend(relaxed.iter().map(|path| format!("column `{path}`: REQUIRED -> NULLABLE")));
        let described = describe(&mut merged, &blueprint.columns);
        if described > 0 {
            found.changes.push(format!("{described} columns described"));
        }
        if !found.changes.is_empty() {
            found.patch.insert("schema".to_owned(), json!({ "fields": merged }));
        }
        found.partitions(table.time_partitioning.as_ref(), blueprint.partitioning());
        found.clusters(table.clustering.as_ref());
        if table.description.as_deref().unwrap_or_default().is_empty() {
            found.change("description", "described".to_owned(), blueprint.description().into());
        }
        let lacking = blueprint.labels.iter().filter(|(key, value)| table.labels.get(*key) != Some(value));
        let lacking: Vec<_> = lacking.map(|(key, value)| format!("label `{key}: {value}`")).collect();
        if !lacking.is_empty() {
            // The others stay: members of an object are merged.
            found.change("labels", lacking.join(", "), json!(blueprint.labels));
        }
        found
    }

    fn change(&mut self, member: &str, words: String, value: Value) {
        self.changes.push(words);
        self.patch.insert(member.to_owned(), value);
    }

    fn partitions(&mut self, is: Option<&TimePartitioning>, wanted: Option<TimePartitioning>) {
        match (is, wanted) {
            (None, Some(_)) => self.stays.push(format!(
                "it is not partitioned by `{PARTITION_BY}`, so that every query reads all of it; partitions cannot be \
                 added to a table"
            )),
            (Some(is), Some(wanted)) if (&is.kind, &is.field) != (&wanted.kind, &wanted.field) => {
                let by = is.field.as_deref().unwrap_or("the time of arrival");
                let words = format!("it is partitioned by {} of `{by}` and not by DAY of `{PARTITION_BY}`", is.kind);
                self.stays.push(format!("{words}; partitions cannot be changed"));
            }
            (Some(_), None) => self.stays.push(
                "it is partitioned, and the tables of the other days are not: a wildcard cannot read them together"
                    .to_owned(),
            ),
            // Without a configured expiration nothing is said about it.
            (Some(is), Some(wanted)) if wanted.expiration_ms.is_some() && is.expiration_ms != wanted.expiration_ms => {
                let text = |expiration: &Option<String>| expiration.as_deref().map_or_else(|| "never".to_owned(), span);
                let words =
                    format!("partitions dropped: {} -> {}", text(&is.expiration_ms), text(&wanted.expiration_ms));
                self.change("timePartitioning", words, json!(wanted));
            }
            _ => {}
        }
    }

    fn clusters(&mut self, is: Option<&Clustering>) {
        match is {
            None => {
                let words = format!("clustered by {}, from the next rows on", CLUSTER_BY.join(", "));
                self.change("clustering", words, json!({ "fields": CLUSTER_BY }));
            }
            Some(is) if is.fields != CLUSTER_BY => {
                // Somebody meant it so, and rows are written all the same.
                self.notes.push(format!("clustered by {}, which stays", is.fields.join(", ")));
            }
            Some(_) => {}
        }
    }

    fn finding(self, what: String) -> Finding {
        let outcome = match (&self.stays[..], &self.changes[..]) {
            ([], []) => Outcome::Same,
            ([], _) => Outcome::Changed,
            _ => Outcome::Differs,
        };
        let finding = Finding::new(outcome, what).details(self.changes).details(self.notes);
        if self.stays.is_empty() {
            return finding;
        }
        let hint = "rows are written all the same; for another layout, name a new table by `writers.bq.table_id` and \
                    copy the rows with `INSERT INTO new SELECT * FROM old`";
        finding.details(self.stays).hint(hint)
    }
}

/// Gives descriptions to columns that have none; how many. Other people's words stay.
fn describe(columns: &mut [Field], wanted: &[Field]) -> usize {
    const KEY: &str = "description";
    let mut described = 0;
    for column in columns {
        let Some(wanted) = wanted.iter().find(|wanted| wanted.name.eq_ignore_ascii_case(&column.name)) else {
            continue;
        };
        let lacks = column.other.get(KEY).and_then(Value::as_str).unwrap_or_default().is_empty();
        if let Some(text) = wanted.other.get(KEY).filter(|_| lacks) {
            column.other.insert(KEY.to_owned(), text.clone());
            described += 1;
        }
        described += describe(&mut column.fields, &wanted.fields);
    }
    described
}

/// Milliseconds as people write them.
fn span(milliseconds: &str) -> String {
    match milliseconds.parse() {
        Ok(number) => format!("after {}", crate::units::Span::millis(number)),
        Err(_) => format!("after {milliseconds}ms"),
    }
}
