//! The Storage Write API's AppendRows: one long-lived, pipelined stream into one table.
//!
//! [`Appender::append`] queues a request at once and resolves when the server has answered it. Requests are sent in the
//! order of the calls, many before the first answer, and answered in that order too. What the stream does by itself:
//!
//! | what happens | what the stream does |
//! |---|---|
//! | no traffic for nine minutes | closes; the next request opens a new one. The server would close it after ten |
//! | it breaks, having answered something, for a reason that passes | opens a new one and sends every unanswered request again, in order |
//! | `UNAUTHENTICATED` | the same, once, with another token |
//! | it breaks again at once, or for another reason | every waiting request fails with that reason |
//! | no answer for three minutes | counts as broken |
//! | a request with another schema, or a day of age | lets what is in flight finish, then opens a new one |
//!
//! A request that was sent and not answered may have been applied: sending it again can double its rows.

mod append;
pub mod connection;
mod error;
pub mod hurry;
mod stream;

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tonic::{Code, transport::Channel};

pub use self::error::{AppendError, RowFault};
use self::stream::{Job, Stream};
use super::{
    Endpoint, Failure, Tokens,
    call::{self, answer, with_token},
    proto::storage::{
        CreateWriteStreamRequest, FinalizeWriteStreamRequest, GetWriteStreamRequest, ProtoSchema, TableSchema,
        WriteStream, WriteStreamView, big_query_write_client::BigQueryWriteClient, write_stream,
    },
};

/// Most bytes of one encoded request. The service takes 20 MB (quota "AppendRows request size").
pub const MAX_REQUEST: usize = 19 << 20;

/// Requests that are sent and not yet answered.
pub const MAX_IN_FLIGHT: usize = 64;

/// The times of a stream. Tests have no minutes to lose.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Without traffic for so long, the stream is closed.
    pub idle: Duration,
    /// Without an answer for so long while requests wait, it counts as broken. The service gives up after two minutes.
    pub answer: Duration,
    /// A stream that broke sooner than this after another did is not opened again at once.
    pub calm: Duration,
    /// A stream older than this is replaced. The service ends calls after a day.
    pub age: Duration,
    /// As many requests as may be are in flight for so long: one stream is not enough.
    pub saturated: Duration,
    /// Few requests are in flight for so long: fewer streams are.
    pub quiet: Duration,
    /// What was made may be unknown to the service for so long: a table, or columns of one.
    pub spread: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            idle: Duration::from_secs(9 * 60),
            answer: Duration::from_secs(180),
            calm: Duration::from_secs(10),
            age: Duration::from_secs(23 * 3_600),
            saturated: Duration::from_secs(5),
            quiet: Duration::from_secs(60),
            spread: Duration::from_secs(600),
        }
    }
}

/// Where a stream goes.
#[derive(Clone)]
pub struct Target {
    /// The service.
    pub endpoint: Endpoint,
    /// Who we are.
    pub tokens: Tokens,
    /// `projects/P/datasets/D/tables/T/streams/_default`.
    pub stream: String,
}

impl Target {
    /// Whether a stream of this name is one of the same table. The service may name a project by its number.
    pub fn is_of_table(&self, stream: &str) -> bool {
        let parts = |name| -> Option<(&str, &str)> {
            let (project, rest) = str::strip_prefix(name, "projects/")?.split_once("/datasets/")?;
            Some((project, rest.split_once("/streams/")?.0))
        };
        let is_number = |project: &str| project.bytes().all(|byte| byte.is_ascii_digit());
        match (parts(&self.stream), parts(stream)) {
            (Some((ours, table)), Some((theirs, other))) => {
                table == other && (ours == theirs || is_number(ours) != is_number(theirs))
            }
            _ => false,
        }
    }
}

/// The row type as the server is told it; requests with the same `Arc` share a stream.
#[derive(Debug)]
pub struct WriterSchema {
    /// What is sent.
    pub proto: ProtoSchema,
    /// Its encoded size.
    pub len: usize,
}

impl WriterSchema {
    /// Of rows with this descriptor, which must be self-contained and proto2.
    pub fn new(descriptor: prost_types::DescriptorProto) -> WriterSchema {
        let proto = ProtoSchema { proto_descriptor: Some(descriptor) };
        let len = proto.encoded_len();
        WriterSchema { proto, len }
    }
}

/// The rows are in the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appended {
    /// The table's columns, when they have changed since the stream was opened.
    pub updated_schema: Option<TableSchema>,
    /// Where the first row stands in the stream; none on the default stream.
    pub offset: Option<i64>,
}

/// One table's stream. Opened by the first request; ends when this is dropped and what was queued is answered.
pub struct Appender {
    jobs: mpsc::UnboundedSender<Job>,
}

impl Appender {
    /// A stream to `target`, driven on the current runtime.
    pub fn new(target: Target, timing: Timing) -> Appender {
        let (jobs, queue) = mpsc::unbounded_channel();
        tokio::spawn(Stream::new(target, timing, queue).run());
        Appender { jobs }
    }

    /// Queues the rows, which together with the schema must fit into [`MAX_REQUEST`] (see [`request_len`]), and resolves
    /// with the server's answer. The queue has no bound of its own: callers limit what they have in flight.
    pub fn append(
        &self,
        schema: Arc<WriterSchema>,
        rows: Vec<Bytes>,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        // Nobody takes jobs any more only when the runtime is going down: the answer is dropped with the job.
        let _ = self.jobs.send(Job { schema, rows: Arc::new(rows), answer });
        async move {
            let gone = || Failure::new(Code::Cancelled, "the process is shutting down").into();
            answered.await.unwrap_or_else(|_| Err(gone()))
        }
    }
}

/// An upper bound of the encoded request's size, as the first on its stream.
pub fn request_len(target: &Target, schema: &WriterSchema, rows: &[Bytes]) -> usize {
    // A tag and a length of at most five bytes around each row and each enclosing message, and the fixed fields.
    let rows: usize = rows.iter().map(|row| row.len() + 6).sum();
    rows + schema.len + target.stream.len() + 128
}

/// What the service knows of the stream; with the table's columns as it sees them now, which may be behind what the
/// tables API says by minutes.
pub async fn describe(target: &Target) -> Result<WriteStream, Failure> {
    let request = GetWriteStreamRequest { name: target.stream.clone(), view: WriteStreamView::Full.into() };
    let call = |mut client: Client, request| async move { client.get_write_stream(request).await };
    unary(target, "name", &target.stream, request, call).await
}

/// Creates a stream of committed type, whose rows are visible at once and have offsets, in the table of the target; its
/// name.
pub async fn create_committed(target: &Target) -> Result<String, Failure> {
    let parent = target.stream.trim_end_matches("/streams/_default").to_owned();
    let stream = WriteStream { r#type: write_stream::Type::Committed.into(), ..WriteStream::default() };
    let request = CreateWriteStreamRequest { parent: parent.clone(), write_stream: Some(stream) };
    let call = |mut client: Client, request| async move { client.create_write_stream(request).await };
    Ok(unary(target, "parent", &parent, request, call).await?.name)
}

/// Ends a stream of committed type: nothing can be appended to it afterwards. How many rows it holds.
pub async fn finalize(target: &Target, stream: &str) -> Result<i64, Failure> {
    let request = FinalizeWriteStreamRequest { name: stream.to_owned() };
    let call = |mut client: Client, request| async move { client.finalize_write_stream(request).await };
    Ok(unary(target, "name", stream, request, call).await?.row_count)
}

type Client = BigQueryWriteClient<Channel>;

/// A call that is not a stream.
async fn unary<Q: Clone, A, F>(
    target: &Target,
    parameter: &str,
    name: &str,
    request: Q,
    call: impl Fn(Client, tonic::Request<Q>) -> F,
) -> Result<A, Failure>
where
    F: Future<Output = Result<tonic::Response<A>, tonic::Status>>,
{
    let channel = target.endpoint.channel().map_err(|error| Failure::unreachable(&error))?;
    let client = BigQueryWriteClient::new(channel);
    let once = |token| answer(call(client.clone(), call::request(parameter, name, request.clone(), token)));
    with_token(&target.tokens, once).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_is_of_the_table_that_its_name_says() {
        let target = |project| Target {
            endpoint: "http://localhost:1".parse().unwrap(),
            tokens: Tokens::none(),
            stream: format!("projects/{project}/datasets/d/tables/t/streams/_default"),
        };
        for (project, stream, expected) in [
            ("p", "projects/p/datasets/d/tables/t/streams/s1", true),
            ("p", "projects/123/datasets/d/tables/t/streams/s1", true),
            ("123", "projects/p/datasets/d/tables/t/streams/s1", true),
            ("123", "projects/124/datasets/d/tables/t/streams/s1", false),
            ("p", "projects/q/datasets/d/tables/t/streams/s1", false),
            ("p", "projects/p/datasets/e/tables/t/streams/s1", false),
            ("p", "projects/p/datasets/d/tables/t2/streams/s1", false),
            ("p", "s1", false),
        ] {
            assert_eq!(target(project).is_of_table(stream), expected, "{project} {stream}");
        }
    }
}
