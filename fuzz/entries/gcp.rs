//! What Google's services answer.

use bytes::Bytes;
use prost::Message;
use real_streaming::{
    gcp::{
        Failure,
        bigquery::{Field, compare, paths},
        proto::{
            rpc,
            storage::{AppendRowsResponse, TableSchema},
        },
        write::RowFault,
    },
    schema::descriptor,
};
use tonic::{Code, Status};

/// A failure's words are bounded, whatever the server says.
const MAX_WORDS: usize = 4_096;

/// Answers of the Write API, statuses with details, tables as JSON and definitions of schemas, all from the same bytes.
pub fn answers(data: &[u8]) {
    let words = String::from_utf8_lossy(data).into_owned();
    let status = Status::with_details(Code::Internal, words, Bytes::copy_from_slice(data));
    let failure = Failure::of_status(&status);
    assert!(failure.message.len() <= MAX_WORDS && failure.to_string().len() <= 2 * MAX_WORDS);
    if let Ok(status) = rpc::Status::decode(data) {
        let failure = Failure::of_answer(status.clone());
        assert_eq!(failure.code, Code::from(status.code));
        assert!(failure.message.len() <= MAX_WORDS);
    }
    if let Ok(answer) = AppendRowsResponse::decode(data) {
        assert!(answer.row_errors.into_iter().map(RowFault::of).all(|fault| fault.message.len() <= MAX_WORDS));
    }
    if let Ok(schema) = TableSchema::decode(data) {
        assert!(paths(&schema.fields).iter().all(|path| *path == path.to_lowercase()));
    }
    // The definition of a topic's schema.
    if let Ok(definition) = std::str::from_utf8(data)
        && let Some(fields) = descriptor::fields(definition)
    {
        assert!(fields.len() <= definition.lines().count());
        assert_eq!(descriptor::fields(&format!("\n{definition}\n")), Some(fields));
    }
    if let Ok(fields) = serde_json::from_slice::<Vec<Field>>(data) {
        if count(&fields) > paths(&fields).len() {
            // Two columns of one name, which no table has.
            return;
        }
        let found = compare(&fields, &fields, &[]);
        assert_eq!(found.missing, [""; 0], "a table has its own columns");
        assert_eq!(paths(&found.merged), paths(&fields));
    }
}

fn count(fields: &[Field]) -> usize {
    fields.iter().map(|field| 1 + count(&field.fields)).sum()
}
