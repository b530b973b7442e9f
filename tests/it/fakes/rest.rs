//! Tables and data sets by REST, with Google's answers.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    bigquery::{State, Table},
    rules,
};

pub async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, state.clone()));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let method = request.method().as_str().to_owned();
    let path = request.uri().path().to_owned();
    let fields = request.uri().query().and_then(|query| query.strip_prefix("fields=")).map(str::to_owned);
    let etag = request.headers().get("if-match").and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    let quota =
        request.headers().get("x-goog-user-project").and_then(|project| project.to_str().ok()).map(str::to_owned);
    let token = request.headers().get("authorization").and_then(|token| token.to_str().ok()).map(str::to_owned);
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, body) = {
        let mut state = state.lock();
        state.rest_seen.push(format!("{method} {path}"));
        state.rest_quota.push(quota);
        let scripted = state.refusals.iter().position(|(on, _, _)| *on == method);
        match scripted.and_then(|at| state.refusals.remove(at)) {
            Some((_, status, reason)) => refusal(status, reason, "as the script says"),
            None if token.is_some_and(|token| state.bad_tokens.contains(&token)) => {
                refusal(401, "authError", "Request had invalid authentication credentials.")
            }
            None => match act(&mut state, &method, &path, etag.as_deref(), body) {
                (200, body) => (200, only(fields.as_deref(), body)),
                refused => refused,
            },
        }
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::from(body.to_string())).unwrap())
}

fn act(state: &mut State, method: &str, path: &str, etag: Option<&str>, body: Value) -> (u16, Value) {
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match (method, &parts[..]) {
        ("POST", ["bigquery", "v2", "projects", project, "datasets"]) => {
            let dataset = body["datasetReference"]["datasetId"].as_str().unwrap_or_default();
            let key = format!("{project}/{dataset}");
            if let Some(location) = body["location"].as_str() {
                state.locations.insert(key.clone(), location.to_owned());
            }
            match state.datasets.insert(key) {
                true => (200, body),
                false => refusal(409, "duplicate", &format!("Already Exists: Dataset {project}:{dataset}")),
            }
        }
        (_, ["bigquery", "v2", "projects", project, "datasets", dataset, rest @ ..]) => {
            let key = format!("{project}/{dataset}");
            if !state.datasets.contains(&key) {
                return refusal(404, "notFound", &format!("Not found: Dataset {project}:{dataset}"));
            }
            match (method, rest) {
                ("GET", []) => {
                    let location = state.locations.get(&key).map_or("US", |location| location);
                    (200, json!({ "id": format!("{project}:{dataset}"), "location": location }))
                }
                ("POST", ["tables"]) => {
                    let table = body["tableReference"]["tableId"].as_str().unwrap_or_default().to_owned();
                    let key = format!("{key}/{table}");
                    if state.tables.contains_key(&key) {
                        state.duplicates += 1;
                        return refusal(
                            409,
                            "duplicate",
                            &format!("Already Exists: Table {project}:{dataset}.{table}"),
                        );
                    }
                    if let Some(fault) = rules::fault_of_new(&body) {
                        return refusal(400, "invalid", &fault);
                    }
                    state.tables_made += 1;
                    let made = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
                    let table = Table { body, made, incarnation: state.tables_made, ..Table::default() };
                    state.tables.insert(key.clone(), table);
                    (200, shown(&state.tables[&key]))
                }
                (_, ["tables", table]) => {
                    let no_patch = state.no_patch;
                    let Some(found) = state.tables.get_mut(&format!("{key}/{table}")) else {
                        return refusal(404, "notFound", &format!("Not found: Table {project}:{dataset}.{table}"));
                    };
                    match method {
                        "PATCH" if no_patch => {
                            refusal(403, "accessDenied", "Access Denied: Permission bigquery.tables.update denied")
                        }
                        "PATCH" if etag.is_some_and(|etag| etag != found.version.to_string()) => {
                            refusal(412, "conditionNotMet", "Precondition Failed")
                        }
                        "PATCH" => match rules::fault_of_patch(&found.body, &body) {
                            Some(fault) => refusal(400, "invalid", &fault),
                            None => {
                                rules::merge(&mut found.body, body);
                                found.version += 1;
                                (200, shown(found))
                            }
                        },
                        _ => (200, shown(found)),
                    }
                }
                _ => refusal(404, "notFound", "no such method"),
            }
        }
        _ => refusal(404, "notFound", "no such path"),
    }
}

fn shown(table: &Table) -> Value {
    let mut body = table.body.clone();
    body["creationTime"] = table.made.to_string().into();
    body["etag"] = table.version.to_string().into();
    body["type"] = if table.body["view"].is_null() { "TABLE" } else { "VIEW" }.into();
    body
}

/// The members that were asked for.
fn only(fields: Option<&str>, body: Value) -> Value {
    let (Some(fields), Value::Object(members)) = (fields, &body) else { return body };
    let asked: Vec<_> = fields.split(',').collect();
    let kept = members.iter().filter(|(name, _)| asked.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn refusal(status: u16, reason: &str, message: &str) -> (u16, Value) {
    let error = json!({ "code": status, "message": message, "errors": [{ "domain": "global", "reason": reason }] });
    (status, json!({ "error": error }))
}
