//! What the service's failures mean to the courier.

use std::{borrow::Cow, time::Duration};

use tonic::Code;

use crate::{
    deliver::sink::SinkError,
    gcp::{Failure, bigquery::TableName, proto::storage::storage_error::StorageErrorCode, rest::RestError},
};

/// Least pause before a table that is not known yet is tried again.
const NEW_TABLE: Duration = Duration::from_secs(1);

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Passes by itself.
    Passes,
    /// The service asks for less.
    TooMuch,
    /// The table is not there, or not known yet.
    UnknownTable,
    /// The table has not all columns of the descriptor.
    ExtraFields,
    /// No credentials that count.
    Stranger,
    /// No right to write.
    NoRight,
    /// The request is refused as it is.
    BadRequest,
    /// Somebody must act, and the message is all that is known.
    Stuck,
}

/// Judges a failure.
pub fn of(failure: &Failure) -> Verdict {
    match failure.storage {
        Some(StorageErrorCode::TableNotFound | StorageErrorCode::StreamNotFound) => return Verdict::UnknownTable,
        Some(StorageErrorCode::SchemaMismatchExtraFields) => return Verdict::ExtraFields,
        Some(StorageErrorCode::KmsServiceError) => return Verdict::Passes,
        Some(
            StorageErrorCode::CmekNotProvided
            | StorageErrorCode::InvalidCmekProvided
            | StorageErrorCode::CmekEncryptionError
            | StorageErrorCode::KmsPermissionDenied,
        ) => return Verdict::Stuck,
        _ => {}
    }
    match failure.code {
        _ if failure.passes() => Verdict::Passes,
        Code::ResourceExhausted => Verdict::TooMuch,
        Code::NotFound => Verdict::UnknownTable,
        Code::Unauthenticated => Verdict::Stranger,
        Code::PermissionDenied => Verdict::NoRight,
        Code::InvalidArgument => Verdict::BadRequest,
        _ => Verdict::Stuck,
    }
}

impl Verdict {
    /// What the courier is told.
    pub fn error(self, table: &TableName, failure: Failure) -> SinkError {
        let retry_after = failure.retry_after;
        match self {
            Verdict::Passes | Verdict::ExtraFields => SinkError::Transient { source: failure.into(), retry_after },
            Verdict::UnknownTable => {
                let retry_after = Some(retry_after.unwrap_or_default().max(NEW_TABLE));
                let source = match failure.code {
                    Code::PermissionDenied => {
                        let right = missing_right(WRITE, table);
                        format!("{failure} (a new table is not known at once; if it stays so: {right})").into()
                    }
                    _ => failure.into(),
                };
                SinkError::Transient { source, retry_after }
            }
            Verdict::TooMuch => SinkError::Throttled { source: failure.into(), retry_after },
            Verdict::BadRequest => SinkError::Refused { source: failure.into() },
            Verdict::Stranger => blocked(table, failure, STRANGER),
            Verdict::NoRight => {
                let hint = missing_right(WRITE, table);
                blocked(table, failure, hint)
            }
            Verdict::Stuck => blocked(table, failure, "see the documentation of the Storage Write API's errors"),
        }
    }
}

/// What to do about missing or refused credentials.
pub const STRANGER: &str = "set `GOOGLE_APPLICATION_CREDENTIALS` to a service account's key file, run `gcloud auth \
                        application-default login`, give the machine a service account, or see `writers.bq.auth` and `writers.pubsub.auth`";

/// What to do about requests that are refused whatever is in them.
pub const NOT_THE_ROW: &str = "one row after the other is refused, so that this may not be their fault: look at the \
                               columns of the table, or at the schema of the topic";

/// Somebody must act.
pub fn blocked(table: &TableName, failure: Failure, hint: impl Into<Cow<'static, str>>) -> SinkError {
    SinkError::Blocked { source: format!("cannot write to `{table}`: {failure}").into(), hint: hint.into() }
}

/// Who is to get a role: whoever the credentials are of.
pub const MEMBER: &str = "<serviceAccount:… or user:…>";

/// The right to write rows.
const WRITE: &str = "bigquery.tables.updateData";

/// The right to create data sets.
pub const CREATE_DATASET: &str = "bigquery.datasets.create";

/// The permission, the resource, and the command that grants the least role with it.
pub fn missing_right(permission: &str, table: &TableName) -> String {
    let TableName { project, dataset, .. } = table;
    if permission == CREATE_DATASET {
        // There is nothing yet on which it could be granted but the project.
        return format!(
            "the account needs `{permission}` on project `{project}`; to grant the least role that has it: gcloud \
             projects add-iam-policy-binding {project} --role=roles/bigquery.user --member=\"{MEMBER}\""
        );
    }
    format!(
        "the account needs `{permission}` on data set `{project}:{dataset}`; to grant the role that has it: bq query \
         --use_legacy_sql=false 'GRANT `roles/bigquery.dataEditor` ON SCHEMA `{project}.{dataset}` TO \
         \"{MEMBER}\"'"
    )
}

/// What a failed call about a table means. `action` is what was tried, `permission` what it takes.
pub fn of_rest(action: &str, permission: &str, table: &TableName, error: &RestError) -> SinkError {
    let source = format!("cannot {action} `{table}`: {error}").into();
    let hint: Cow<'static, str> = match error {
        error if error.passes() => return SinkError::Transient { source, retry_after: None },
        RestError::Token(_) | RestError::Refused { status: 401, .. } => STRANGER.into(),
        RestError::Refused { status: 403, .. } => missing_right(permission, table).into(),
        _ => "check `writers.project_id` and `writers.bq`".into(),
    };
    SinkError::Blocked { source, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TableName {
        TableName { project: "p".into(), dataset: "d".into(), table: "events".into() }
    }

    #[test]
    fn a_missing_right_is_one_whatever_the_words_and_named_while_a_new_table_is_waited_for() {
        let words = "Permission 'TABLES_UPDATE_DATA' denied on resource 'p:d.events' (or it may not exist).";
        let failure = Failure::new(Code::PermissionDenied, words);
        assert_eq!(of(&failure), Verdict::NoRight);
        let error = Verdict::UnknownTable.error(&table(), failure);
        assert!(matches!(error, SinkError::Transient { retry_after: Some(NEW_TABLE), .. }), "{error:?}");
        assert!(error.to_string().contains("roles/bigquery.dataEditor"), "{error}");
    }

    fn failure(code: Code, storage: Option<StorageErrorCode>) -> Failure {
        Failure { storage, ..Failure::new(code, "words") }
    }

    #[test]
    fn every_code_has_its_meaning() {
        use StorageErrorCode as S;
        for (code, storage, expected) in [
            (Code::Aborted, None, Verdict::Passes),
            (Code::Unknown, None, Verdict::Passes),
            (Code::ResourceExhausted, None, Verdict::TooMuch),
            (Code::NotFound, None, Verdict::UnknownTable),
            (Code::InvalidArgument, Some(S::TableNotFound), Verdict::UnknownTable),
            (Code::InvalidArgument, Some(S::SchemaMismatchExtraFields), Verdict::ExtraFields),
            (Code::InvalidArgument, None, Verdict::BadRequest),
            (Code::Unauthenticated, None, Verdict::Stranger),
            (Code::PermissionDenied, None, Verdict::NoRight),
            (Code::FailedPrecondition, Some(S::KmsPermissionDenied), Verdict::Stuck),
            (Code::FailedPrecondition, Some(S::KmsServiceError), Verdict::Passes),
            (Code::FailedPrecondition, None, Verdict::Stuck),
        ] {
            assert_eq!(of(&failure(code, storage)), expected, "{code:?} {storage:?}");
        }
    }

    #[test]
    fn a_missing_right_is_said_with_the_permission_the_resource_and_the_command() {
        let error = Verdict::NoRight.error(&table(), failure(Code::PermissionDenied, None)).to_string();
        for words in ["cannot write to `p:d.events`: PERMISSION_DENIED: words", "`bigquery.tables.updateData`", "`p:d`"]
        {
            assert!(error.contains(words), "{error}");
        }
        assert!(
            error.contains("GRANT `roles/bigquery.dataEditor` ON SCHEMA `p.d` TO \"<serviceAccount:… or user:…>\""),
            "{error}"
        );
    }

    #[test]
    fn nobody_is_sent_to_a_data_set_that_is_not_there() {
        let refused = RestError::Refused { status: 403, reason: "accessDenied".into(), message: "m".into() };
        let error = of_rest("create the data set of", CREATE_DATASET, &table(), &refused).to_string();
        assert!(error.contains("on project `p`") && error.contains("--role=roles/bigquery.user"), "{error}");
        assert!(!error.contains("ON SCHEMA"), "{error}");
    }

    #[test]
    fn quotas_of_the_tables_api_are_waited_for() {
        let refused = |status, reason: &str| RestError::Refused { status, reason: reason.into(), message: "m".into() };
        let judge = |error| of_rest("read", "bigquery.tables.get", &table(), &error);
        assert!(matches!(judge(refused(403, "rateLimitExceeded")), SinkError::Transient { .. }));
        assert!(matches!(judge(refused(503, "backendError")), SinkError::Transient { .. }));
        assert!(matches!(judge(RestError::Transport("reset".into())), SinkError::Transient { .. }));
        let error = judge(refused(403, "accessDenied")).to_string();
        assert!(error.contains("cannot read `p:d.events`") && error.contains("`bigquery.tables.get`"), "{error}");
    }
}
