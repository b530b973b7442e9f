//! Sees to it that a table is there and has our columns, as far as that is allowed.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use super::{
    blueprint::Blueprint,
    verdict::{CREATE_DATASET, of_rest},
};
use crate::{
    deliver::{
        config::{BigQueryConfig, TableLayout},
        sink::SinkError,
    },
    gcp::{
        bigquery::{Comparison, Schema, Table, TableName, Tables, paths},
        rest::RestError,
    },
};

/// Times a patch is tried when somebody else changes the table meanwhile.
const PATCHES: usize = 5;

/// A table that is there.
#[derive(Debug)]
pub struct Ensured {
    /// Its columns and members by now, as dotted paths.
    pub columns: HashSet<String>,
    /// How long ago it was made, here or elsewhere, as far as that is known.
    pub age: Option<Duration>,
}

/// Creates and mends tables.
pub struct Registrar {
    tables: Tables,
    location: String,
    create_dataset: bool,
    create_table: bool,
    layout: TableLayout,
    blueprint: Blueprint,
}

impl Registrar {
    /// As configured.
    pub fn new(tables: Tables, config: &BigQueryConfig) -> Registrar {
        Registrar {
            tables,
            location: config.location.clone(),
            create_dataset: config.create_dataset,
            create_table: config.create_table,
            layout: config.table_layout,
            blueprint: Blueprint::new(config),
        }
    }

    /// The tables themselves.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The table's columns, as lower-case dotted paths, after everything was done to have it and all of ours in it.
    pub async fn ensure(&self, name: &TableName) -> Result<Ensured, SinkError> {
        let mut is_ours = false;
        let ensured = |columns, age| Ok(Ensured { columns, age });
        for _ in 0..PATCHES {
            let table = match self.tables.get(name).await {
                Ok(table) => table,
                Err(error) if error.status() == Some(404) => {
                    is_ours = true;
                    self.create(name, error).await?
                }
                Err(error) => return Err(of_rest("read", "bigquery.tables.get", name, &error)),
            };
            let age = if is_ours { Some(Duration::ZERO) } else { table.age(SystemTime::now()) };
            let found = self.blueprint.compare(&table.schema.fields);
            usable(name, &found)?;
            if found.missing.is_empty() {
                self.remark_on_layout(name, &table);
                return ensured(paths(&table.schema.fields), age);
            }
            if !self.create_table {
                tracing::warn!(table = %name, missing = found.missing.join(", "), "columns are not added, since `writers.bq.create_table` is false");
                return ensured(paths(&table.schema.fields), age);
            }
            match self.tables.patch(name, table.etag.as_deref(), &found.merged).await {
                Ok(_) => {
                    tracing::info!(table = %name, added = found.missing.join(", "), "columns were added");
                    return ensured(paths(&found.merged), age);
                }
                // Changed meanwhile, perhaps by another instance with the same wish.
                Err(error) if error.status() == Some(412) => {}
                Err(error) if error.passes() => {
                    return Err(of_rest("add columns to", "bigquery.tables.update", name, &error));
                }
                Err(error) => {
                    let missing = found.missing.join(", ");
                    let error = of_rest("add columns to", "bigquery.tables.update", name, &error);
                    tracing::warn!(missing, %error, "rows are written without these columns");
                    return ensured(paths(&table.schema.fields), age);
                }
            }
        }
        let words = format!("the columns of `{name}` change faster than they can be added to");
        Err(SinkError::Transient { source: words.into(), retry_after: None })
    }

    /// Creates the table, and its data set if that is allowed; `missing` is how we know that it is not there.
    async fn create(&self, name: &TableName, missing: RestError) -> Result<Table, SinkError> {
        if !self.create_table {
            self.ensure_dataset(name).await?;
            let source = format!("cannot read `{name}`: {missing}").into();
            let hint = "create the table, or set `writers.bq.create_table: true`".into();
            return Err(SinkError::Blocked { source, hint });
        }
        let new = self.blueprint.table(name);
        let mut created = self.tables.insert(name, &new).await;
        if created.as_ref().is_err_and(|error| error.status() == Some(404)) {
            self.ensure_dataset(name).await?;
            created = self.tables.insert(name, &new).await;
        }
        match created {
            Ok(table) => {
                tracing::info!(table = %name, "table created");
                // Some servers answer with less than the whole table.
                let fields = if table.schema.fields.is_empty() { new.fields } else { table.schema.fields.clone() };
                Ok(Table { schema: Schema { fields }, ..table })
            }
            // Another instance was faster.
            Err(error) if error.status() == Some(409) => {
                self.tables.get(name).await.map_err(|error| of_rest("read", "bigquery.tables.get", name, &error))
            }
            Err(error) => Err(of_rest("create", "bigquery.tables.create", name, &error)),
        }
    }

    /// Sees to it that the table's data set is there.
    pub async fn ensure_dataset(&self, name: &TableName) -> Result<(), SinkError> {
        let error = match self.tables.get_dataset(name).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if error.status() != Some(404) {
            return Err(of_rest("read the data set of", "bigquery.datasets.get", name, &error));
        }
        if !self.create_dataset {
            let TableName { project, dataset, .. } = name;
            let location = if self.location.is_empty() { "US" } else { &self.location };
            let hint = format!(
                "create it with `bq --location={location} mk --dataset {project}:{dataset}`, or set \
                 `writers.bq.create_dataset: true`"
            );
            let source = format!("data set `{project}:{dataset}` does not exist: {error}").into();
            return Err(SinkError::Blocked { source, hint: hint.into() });
        }
        match self.tables.insert_dataset(name, &self.location).await {
            Ok(()) => tracing::info!(project = name.project, dataset = name.dataset, "data set created"),
            Err(error) if error.status() == Some(409) => {}
            Err(error) => return Err(of_rest("create the data set of", CREATE_DATASET, name, &error)),
        }
        Ok(())
    }

    /// A table that somebody else made works without these, and costs more to query.
    fn remark_on_layout(&self, name: &TableName, table: &Table) {
        if self.layout == TableLayout::Partitioned && table.time_partitioning.is_none() {
            tracing::warn!(table = %name, "the table is not partitioned, every query reads all of it; partitions cannot be added later");
        }
        if table.clustering.is_none() {
            tracing::debug!(table = %name, "the table is not clustered");
        }
    }
}

/// Whether rows can be written at all, whatever is added.
pub fn usable(name: &TableName, found: &Comparison) -> Result<(), SinkError> {
    let Comparison { conflicts, required, unfilled, .. } = found;
    let required_of_ours =
        required.iter().map(|path| format!("`{path}` is REQUIRED, and not every row has a value for it"));
    let foreign = unfilled.iter().map(|path| format!("`{path}` is REQUIRED and no column of ours"));
    let faults: Vec<_> = conflicts.iter().cloned().chain(required_of_ours).chain(foreign).collect();
    if faults.is_empty() {
        return Ok(());
    }
    let source = format!("the columns of `{name}` do not fit: {}", faults.join("; "));
    let hint = if conflicts.is_empty() {
        let relaxing: Vec<_> = required.iter().chain(unfilled).map(|path| relaxing(name, path)).collect();
        let setup =
            if required.is_empty() { "" } else { "`real-streaming setup` makes columns of ours nullable; or: " };
        format!("{setup}{}", relaxing.join("; "))
    } else {
        "change the columns (`real-streaming schema --format bigquery` prints ours), or write to another table by \
         `writers.bq.table_id`"
            .to_owned()
    };
    Err(SinkError::Blocked { source: source.into(), hint: hint.into() })
}

/// How a column may be left empty from now on. The statement knows no members of records.
fn relaxing(name: &TableName, path: &str) -> String {
    let TableName { project, dataset, table } = name;
    match path.contains('.') {
        false => format!("ALTER TABLE `{project}.{dataset}.{table}` ALTER COLUMN `{path}` DROP NOT NULL"),
        true => format!(
            "give `{path}` mode NULLABLE in the output of `bq show --schema {name}`, and hand that to `bq update {name}` \
             (ALTER COLUMN … DROP NOT NULL knows no members of records)"
        ),
    }
}
