//! A stand-in for Pub/Sub's subscriber, as far as subscriptions are made and changed: with the documented limits, and
//! with a look at the table that one is to write into.

use std::sync::Arc;

use parking_lot::Mutex;
use prost_types::Duration;
use real_streaming::gcp::proto::pubsub::{
    BigQueryConfig, ExpirationPolicy, GetSubscriptionRequest, Subscription, UpdateSubscriptionRequest, big_query_config,
};
use serde_json::Value;
use tonic::{Request, Response, Status};

use super::{
    pubsub::{State, id, named, service::subscriber_server::Subscriber},
    schemas,
};

const DAY: i64 = 86_400;

pub struct Service(pub Arc<Mutex<State>>);

#[tonic::async_trait]
impl Subscriber for Service {
    async fn create_subscription(&self, request: Request<Subscription>) -> Result<Response<Subscription>, Status> {
        let mut state = self.0.lock();
        let name = request.get_ref().name.clone();
        state.admit(&request, "name", &name)?;
        named(&name, "subscriptions")?;
        let mut subscription = request.into_inner();
        if state.subscriptions.contains_key(&name) {
            let words = format!("Resource already exists in the project (resource={}).", id(&name));
            return Err(Status::already_exists(words));
        }
        check(&state, &subscription)?;
        // What the service fills in.
        subscription.ack_deadline_seconds = subscription.ack_deadline_seconds.max(10);
        subscription.message_retention_duration.get_or_insert(Duration { seconds: 7 * DAY, nanos: 0 });
        let month = Duration { seconds: 31 * DAY, nanos: 0 };
        subscription.expiration_policy.get_or_insert(ExpirationPolicy { ttl: Some(month) });
        if let Some(config) = &mut subscription.bigquery_config {
            config.state = big_query_config::State::Active.into();
        }
        state.changes.push(format!("create {name}"));
        state.subscriptions.insert(name, subscription.clone());
        Ok(Response::new(subscription))
    }

    async fn get_subscription(
        &self,
        request: Request<GetSubscriptionRequest>,
    ) -> Result<Response<Subscription>, Status> {
        let mut state = self.0.lock();
        let name = request.get_ref().subscription.clone();
        state.admit(&request, "subscription", &name)?;
        match state.subscriptions.get(&name) {
            Some(subscription) => Ok(Response::new(subscription.clone())),
            None => Err(Status::not_found(format!("Resource not found (resource={}).", id(&name)))),
        }
    }

    async fn update_subscription(
        &self,
        request: Request<UpdateSubscriptionRequest>,
    ) -> Result<Response<Subscription>, Status> {
        let mut state = self.0.lock();
        let update = request.get_ref().subscription.clone().unwrap_or_default();
        state.admit(&request, "subscription.name", &update.name)?;
        let paths = request.into_inner().update_mask.map(|mask| mask.paths).unwrap_or_default();
        let Some(mut subscription) = state.subscriptions.get(&update.name).cloned() else {
            return Err(Status::not_found(format!("Resource not found (resource={}).", id(&update.name))));
        };
        if paths.is_empty() {
            return Err(Status::invalid_argument("The update_mask must be specified and non-empty."));
        }
        for path in &paths {
            match path.as_str() {
                // Each as a whole: what is left out is reset.
                "bigquery_config" => {
                    let state = subscription.bigquery_config.map_or(0, |config| config.state);
                    subscription.bigquery_config =
                        update.bigquery_config.clone().map(|config| BigQueryConfig { state, ..config });
                }
                "message_retention_duration" => {
                    subscription.message_retention_duration = update.message_retention_duration;
                }
                "retry_policy" => subscription.retry_policy = update.retry_policy,
                "expiration_policy" => subscription.expiration_policy = update.expiration_policy,
                "dead_letter_policy" => subscription.dead_letter_policy = update.dead_letter_policy.clone(),
                other => {
                    return Err(Status::invalid_argument(format!(
                        "Invalid update_mask provided: unknown path {other}"
                    )));
                }
            }
        }
        check(&state, &subscription)?;
        state.changes.push(format!("update {} {}", update.name, paths.join(",")));
        state.subscriptions.insert(update.name, subscription.clone());
        Ok(Response::new(subscription))
    }
}

fn check(state: &State, subscription: &Subscription) -> Result<(), Status> {
    let invalid = |words: String| Err(Status::invalid_argument(words));
    if !state.topics.contains(&subscription.topic) {
        return Err(Status::not_found(format!("Resource not found (resource={}).", id(&subscription.topic))));
    }
    if let Some(retention) = &subscription.message_retention_duration
        && !(600..=31 * DAY).contains(&retention.seconds)
    {
        return invalid("Message retention must be between 10 minutes and 31 days".to_owned());
    }
    if let Some(ttl) = subscription.expiration_policy.as_ref().and_then(|policy| policy.ttl)
        && ttl.seconds < DAY
    {
        return invalid("The expiration TTL must be at least one day".to_owned());
    }
    if let Some(policy) = &subscription.retry_policy {
        let seconds = |duration: &Option<Duration>| duration.as_ref().map_or(0, |duration| duration.seconds);
        let (least, most) = (seconds(&policy.minimum_backoff), seconds(&policy.maximum_backoff));
        if least > most || most > 600 {
            return invalid("Backoff durations must be between 0 and 600 seconds".to_owned());
        }
    }
    if let Some(policy) = &subscription.dead_letter_policy {
        if !state.topics.contains(&policy.dead_letter_topic) {
            return Err(Status::not_found(format!("Resource not found (resource={}).", id(&policy.dead_letter_topic))));
        }
        if !(5..=100).contains(&policy.max_delivery_attempts) {
            return invalid("max_delivery_attempts must be between 5 and 100".to_owned());
        }
    }
    subscription.bigquery_config.as_ref().map_or(Ok(()), |config| check_table(state, config, &subscription.topic))
}

/// The service looks at the table, with its own account.
fn check_table(state: &State, config: &BigQueryConfig, topic: &str) -> Result<(), Status> {
    let invalid = |words: &str| Err(Status::invalid_argument(words));
    if config.use_table_schema && config.use_topic_schema {
        return invalid("use_topic_schema and use_table_schema cannot both be set");
    }
    if state.agent_is_powerless {
        return Err(Status::permission_denied("The caller does not have permission"));
    }
    let parts: Vec<_> = config.table.split('.').collect();
    let [project, dataset, table] = parts[..] else {
        return invalid("the table is not of the form {projectId}.{datasetId}.{tableId}");
    };
    let Some(bigquery) = &state.bigquery else { return Ok(()) };
    let bigquery = bigquery.lock();
    let Some(table) = bigquery.tables.get(&format!("{project}/{dataset}/{table}")) else {
        return Err(Status::not_found(format!("Table not found: {}", config.table)));
    };
    let columns = table.body["schema"]["fields"].as_array().cloned().unwrap_or_default();
    let column = |name: &str| columns.iter().find(|column| column["name"] == name);
    if config.use_table_schema {
        let required = columns.iter().find(|column| column["mode"] == "REQUIRED");
        if let Some(name) = required.and_then(|column| column["name"].as_str()) {
            return Err(Status::invalid_argument(format!("Incompatible schema: {name} is required")));
        }
    } else if config.use_topic_schema {
        schemas::fits_table(state, topic, &columns).map_err(Status::invalid_argument)?;
    } else if column("data").is_none() {
        return invalid("Incompatible schema: the table has no column `data`");
    }
    if config.write_metadata {
        for (name, kinds) in [
            ("subscription_name", &["STRING"][..]),
            ("message_id", &["STRING"]),
            ("publish_time", &["TIMESTAMP"]),
            ("attributes", &["STRING", "JSON"]),
        ] {
            let kind = column(name).and_then(|column| column["type"].as_str());
            if !kind.is_some_and(|kind| kinds.contains(&kind)) {
                let words = format!("Incompatible schema: metadata column {name} has type {:?}", Value::from(kind));
                return Err(Status::invalid_argument(words));
            }
        }
    }
    Ok(())
}
