//! How a program in another language looks into the stand-ins and makes them fail: JSON over HTTP, on a port of its own.

use std::{convert::Infallible, net::Ipv4Addr};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::fakes::{bigquery::BigQuery, pubsub::PubSub, tally::Tally};

/// Serves on `port`; 0 chooses one. The port.
pub async fn serve(port: u16, bigquery: BigQuery, pubsub: PubSub) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let fakes = (bigquery.clone(), pubsub.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, fakes.clone()));
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

type Fakes = (BigQuery, PubSub);

async fn answer(request: Request<Incoming>, fakes: Fakes) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, body) = match act(&path, &body, &fakes) {
        Some(body) => (200, body),
        None => (404, Value::Null),
    };
    Ok(Response::builder().status(status).body(Full::from(body.to_string())).unwrap())
}

fn act(path: &str, body: &Value, (bigquery, pubsub): &Fakes) -> Option<Value> {
    let mut state = bigquery.state.lock();
    let done = Some(json!({}));
    match path {
        // Rows of a table as they were read, each as the bytes that the stand-in writes of it.
        _ if path.starts_with("/rows/") => {
            let table = state.tables.get(path.strip_prefix("/rows/")?)?;
            Some(table.rows.iter().map(|row| BASE64_STANDARD.encode(row.columns.encode_to_vec())).collect())
        }
        "/seen" => {
            let seen = state.seen.iter().map(|seen| json!({ "routing": seen.routing, "size": seen.size }));
            Some(seen.collect())
        }
        "/messages" => {
            let state = pubsub.state.lock();
            let messages = state.messages.iter().map(|(topic, message)| {
                let data = BASE64_STANDARD.encode(&message.data);
                json!({ "topic": topic, "data": data, "attributes": message.attributes })
            });
            Some(messages.collect())
        }
        "/tally" => {
            let mut tally = shown(&state.tally);
            tally["calls"] = state.calls.into();
            tally["pubsub"] = pubsub.state.lock().tally.as_ref().map(shown).into();
            Some(tally)
        }
        "/moments" => Some(json!(state.tally.moments)),
        // Of a thousand requests, so many meet a fault.
        "/storm" => {
            let storm = body["per_mille"].as_u64().map(|share| {
                let seed = body["seed"].as_u64().unwrap_or_default();
                (fastrand::Rng::with_seed(seed), share)
            });
            state.storm.clone_from(&storm);
            pubsub.state.lock().storm = storm;
            done
        }
        // Requests are neither read nor answered.
        "/stall" => {
            state.stalled = body["on"].as_bool()?;
            done
        }
        // Appends need no routing header.
        "/us" => {
            state.us_alone = body["on"].as_bool()?;
            done
        }
        // The next calls are strangers'.
        "/strangers" => {
            let status = || tonic::Status::unauthenticated("Request had invalid authentication credentials.");
            let calls = body["calls"].as_u64()?;
            state.openings.extend((0..calls).map(|_| status()));
            done
        }
        // Only these tokens are not taken.
        "/refuse" => {
            let tokens =
                body["tokens"].as_array()?.iter().filter_map(|token| Some(format!("Bearer {}", token.as_str()?)));
            state.bad_tokens = tokens.collect();
            done
        }
        "/cut" => {
            drop(state);
            bigquery.cut();
            pubsub.cut();
            done
        }
        _ => None,
    }
}

fn shown(tally: &Tally) -> Value {
    json!({
        "rows": tally.rows, "distinct": tally.distinct(), "strays": tally.strays, "excused": tally.excused,
        "requests": tally.requests, "runs": tally.runs(),
    })
}
