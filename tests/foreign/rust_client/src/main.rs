//! Appends rows by the crate `gcloud-bigquery`, whose writer takes rows as bytes and goes to an emulator, and says how that
//! ended and what it cost.
//!
//! usage: rust_client <port of BigQuery's gRPC> <table> <file of the DescriptorProto> <file of rows> <rows> <rows per request>
//!
//! The table is `projects/…/datasets/…/tables/…`; its default stream is written. The file of rows has four bytes of length,
//! little endian, before each; they are sent in turn, over and over.
//!
//! Prints JSON: `{"rows": …, "making": seconds, "cpu": seconds, "seconds": …}`, that is the processor time that it took to copy
//! rows into requests, which are made before the clock begins, then that of their way from there to the answers, and the time
//! by the clock on the wall; or what was answered at the first request that was refused,
//! `{"code": of gRPC, "message": …, "faults": {row of the request: message}}`. Exits 1 when it comes to neither.

use std::{collections::BTreeMap, env, error::Error, fs, time::Instant};

use gcloud_bigquery::{
    client::{Client, ClientConfig},
    storage_write::{AppendRowsRequestBuilder, stream::default::DefaultStream},
};
use gcloud_googleapis::cloud::bigquery::storage::v1::append_rows_response::Response;
use nix::sys::resource::{UsageWho, getrusage};
use prost::Message;
use prost_types::DescriptorProto;
use serde_json::{Value, json};

/// Requests of one call, whose answers are awaited before the next: the client has no other bound of what is in flight.
const CALL: usize = 64;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [port, table, descriptor, rows, total, per_request] = &arguments[..] else {
        return Err("see the source".into());
    };
    let descriptor = DescriptorProto::decode(&fs::read(descriptor)?[..])?;
    let rows = split(&fs::read(rows)?)?;
    let (total, per_request) = (total.parse()?, per_request.parse::<usize>()?.max(1));

    // Its client for REST is not used.
    let config = ClientConfig::new_with_emulator(&format!("127.0.0.1:{port}"), "http://127.0.0.1:1");
    let client = Client::new(config).await?;
    let ended = match client.default_storage_writer().create_write_stream(table).await {
        Ok(stream) => append(&stream, &descriptor, &rows, total, per_request).await?,
        Err(status) => refused(status.code() as i32, status.message(), BTreeMap::new()),
    };
    println!("{ended}");
    Ok(())
}

async fn append(
    stream: &DefaultStream,
    descriptor: &DescriptorProto,
    rows: &[Vec<u8>],
    total: usize,
    per_request: usize,
) -> Result<Value, Box<dyn Error>> {
    let (mut making, mut cpu, mut wall, mut sent) = (0.0, 0.0, 0.0, 0);
    while sent < total {
        let (making_before, mut requests) = (cpu_seconds()?, Vec::new());
        while requests.len() < CALL && sent < total {
            let count = per_request.min(total - sent);
            let chosen = (sent..sent + count).map(|n| rows[n % rows.len()].clone()).collect();
            requests.push(AppendRowsRequestBuilder::new(descriptor.clone(), chosen));
            sent += count;
        }
        let mut missing = requests.len();
        let (cpu_before, began) = (cpu_seconds()?, Instant::now());
        let mut answers = match stream.append_rows(requests).await {
            Ok(answers) => answers,
            Err(status) => return Ok(refused(status.code() as i32, status.message(), BTreeMap::new())),
        };
        while missing > 0 {
            let answer = match answers.message().await {
                Ok(answer) => answer.ok_or_else(|| format!("{missing} requests were not answered"))?,
                Err(status) => return Ok(refused(status.code() as i32, status.message(), BTreeMap::new())),
            };
            match answer.response {
                Some(Response::AppendResult(_)) if answer.row_errors.is_empty() => missing -= 1,
                Some(Response::Error(status)) => {
                    let faults = answer.row_errors.into_iter().map(|fault| (fault.index, fault.message)).collect();
                    return Ok(refused(status.code, &status.message, faults));
                }
                other => return Err(format!("an answer of neither kind: {other:?}, {:?}", answer.row_errors).into()),
            }
        }
        cpu += cpu_seconds()? - cpu_before;
        making += cpu_before - making_before;
        wall += began.elapsed().as_secs_f64();
    }
    Ok(json!({ "rows": sent, "making": making, "cpu": cpu, "seconds": wall }))
}

fn refused(code: i32, message: &str, faults: BTreeMap<i64, String>) -> Value {
    json!({ "code": code, "message": message, "faults": faults })
}

fn split(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut rows = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or("a row is cut off")?;
        rows.push(row.to_vec());
        bytes = rest;
    }
    if rows.is_empty() { Err("no rows".into()) } else { Ok(rows) }
}

/// Processor time of this process, in seconds.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
