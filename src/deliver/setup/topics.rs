//! Topics, and the subscription that writes into the table.

use tonic::Code;

use super::{
    Request,
    difference::Difference,
    report::{Finding, Outcome, Report, failed},
};
use crate::{
    deliver::{
        config::{Encoding, WritersConfig},
        sink::SinkError,
        sinks::bigquery::{STRANGER, tokens_for},
    },
    gcp::{
        Endpoint, Failure, Tokens,
        proto::pubsub::{
            BigQueryConfig, DeadLetterPolicy, Encoding as Messages, ExpirationPolicy, RetryPolicy, SchemaSettings,
            Subscription, Topic, big_query_config::State,
        },
        pubsub::Admin,
    },
};

/// Times a message is tried before it becomes a dead letter: the fewest that Pub/Sub takes. A row that does not fit the
/// table does not fit it later.
const ATTEMPTS: i32 = 5;
/// What a topic's schema is called when there is none any more: it takes no message.
const DELETED_SCHEMA: &str = "_deleted-schema_";
/// How long messages are kept that nobody could write: the longest that Pub/Sub takes. A week, the default, is soon over
/// when nobody looks.
const RETENTION: prost_types::Duration = prost_types::Duration { seconds: 31 * 86_400, nanos: 0 };
/// Pauses between tries: five of them outlast a restart of something.
const BACKOFF: (prost_types::Duration, prost_types::Duration) =
    (prost_types::Duration { seconds: 10, nanos: 0 }, prost_types::Duration { seconds: 600, nanos: 0 });

/// Sees to the topics and subscriptions. `table`: whether there is one to write into.
pub async fn set_up(config: &WritersConfig, request: Request, table: bool, report: &mut Report) {
    let admin = match admin(config) {
        Ok(admin) => admin,
        Err(error) => {
            report.add(Finding::new(Outcome::Failed, "Pub/Sub").details([error]));
            return;
        }
    };
    let builder = Builder { config, request, admin };
    let pubsub = &config.pubsub;
    let schema = (pubsub.encoding == Encoding::Protobuf).then(|| builder.schema_settings());
    let topic = builder.topic_name(&pubsub.topic_id);
    let mut goes_on = schema.is_none() || report.add(builder.schema().await);
    goes_on = match goes_on {
        true => report.add(builder.topic(&topic, schema).await),
        false => report.add(after_a_failure(format!("topic `{topic}`"))),
    };
    if !pubsub.dead_letter_topic_id.is_empty() {
        let topic = builder.topic_name(&pubsub.dead_letter_topic_id);
        let made = report.add(builder.topic(&topic, None).await);
        goes_on &= made;
        if made {
            // Without a subscription a topic keeps nothing.
            let name = builder.subscription_name(&format!("{}-pull", pubsub.dead_letter_topic_id));
            report.add(builder.subscription(keeper(name, topic)).await);
        }
    }
    if pubsub.subscription_id.is_empty() {
        return;
    }
    let name = builder.subscription_name(&pubsub.subscription_id);
    if goes_on && table {
        report.add(builder.subscription(builder.writer(name)).await);
    } else {
        report.add(after_a_failure(format!("subscription `{name}`")));
    }
}

fn after_a_failure(what: String) -> Finding {
    Finding::new(Outcome::Failed, what).details(["it needs what could not be made above".to_owned()])
}

fn admin(config: &WritersConfig) -> Result<Admin, String> {
    let endpoint: Endpoint = config.pubsub.endpoint.parse().map_err(|error| format!("{error}"))?;
    let tokens = tokens_for(&endpoint, &Tokens::new(&config.pubsub.auth));
    Admin::new(&endpoint, tokens).map_err(|failure| failure.to_string())
}

/// See [`set_up`].
pub(super) struct Builder<'a> {
    pub config: &'a WritersConfig,
    pub request: Request,
    pub admin: Admin,
}

impl Builder<'_> {
    fn topic_name(&self, id: &str) -> String {
        format!("projects/{}/topics/{id}", self.config.project_id)
    }

    fn subscription_name(&self, id: &str) -> String {
        format!("projects/{}/subscriptions/{id}", self.config.project_id)
    }

    /// The subscription that writes into the table.
    fn writer(&self, name: String) -> Subscription {
        let WritersConfig { project_id, bq, pubsub, .. } = self.config;
        let dead_letters = Some(&pubsub.dead_letter_topic_id).filter(|id| !id.is_empty());
        Subscription {
            name,
            topic: self.topic_name(&pubsub.topic_id),
            message_retention_duration: Some(RETENTION),
            expiration_policy: Some(ExpirationPolicy { ttl: None }),
            retry_policy: Some(RetryPolicy { minimum_backoff: Some(BACKOFF.0), maximum_backoff: Some(BACKOFF.1) }),
            dead_letter_policy: dead_letters
                .map(|id| DeadLetterPolicy { dead_letter_topic: self.topic_name(id), max_delivery_attempts: ATTEMPTS }),
            bigquery_config: Some(BigQueryConfig {
                table: format!("{project_id}.{}.{}", bq.dataset_id, bq.table_id),
                use_table_schema: pubsub.encoding == Encoding::Json,
                use_topic_schema: pubsub.encoding == Encoding::Protobuf,
                write_metadata: true,
                // A field that the table does not know is a fault to be seen, not to be swallowed.
                drop_unknown_fields: false,
                ..BigQueryConfig::default()
            }),
            ..Subscription::default()
        }
    }

    /// `schema`: what it takes messages of; without one, it is to take whatever comes.
    async fn topic(&self, name: &str, schema: Option<SchemaSettings>) -> Finding {
        let what = format!("topic `{name}`");
        let takes = schema.as_ref().map(|schema| format!("takes messages of {} alone", described(schema)));
        let topic = Topic { name: name.to_owned(), schema_settings: schema.clone(), ..Topic::default() };
        let is = match self.admin.topic(name).await {
            Ok(Some(is)) => is.schema_settings.filter(|is| is.schema != DELETED_SCHEMA),
            Ok(None) => {
                if !self.request.dry_run
                    && let Err(failure) = self.admin.create_topic(&topic).await
                    && failure.code != Code::AlreadyExists
                {
                    return failed(what, self.refusal("create", "pubsub.topics.create", name, failure));
                }
                return Finding::new(Outcome::Created, what).details(takes);
            }
            Err(failure) => return failed(what, self.refusal("read", "pubsub.topics.get", name, failure)),
        };
        match (is, schema) {
            (Some(is), Some(schema)) if is.schema == schema.schema && is.encoding == schema.encoding => {
                match &is.last_revision_id[..] {
                    "" => Finding::new(Outcome::Same, what),
                    last => {
                        let words = format!("it takes revisions of its schema up to `{last}`: new columns are refused");
                        Finding::new(Outcome::Differs, what).details([words]).hint(self.give_schema(name, &schema))
                    }
                }
            }
            (Some(is), Some(schema)) => {
                let words = format!("it takes messages of {} and not of {}", described(&is), described(&schema));
                Finding::new(Outcome::Differs, what).details([words]).hint(self.give_schema(name, &schema))
            }
            (None, Some(_)) => {
                if !self.request.dry_run
                    && let Err(failure) = self.admin.update_topic(&topic, &["schema_settings"]).await
                {
                    return failed(what, self.refusal("change", "pubsub.topics.update", name, failure));
                }
                Finding::new(Outcome::Changed, what).details(takes)
            }
            (Some(is), None) if is.encoding() == Messages::Binary => {
                let words =
                    format!("it takes messages of {} alone, and will refuse what is published here", described(&is));
                let (project, id) = (&self.config.project_id, id(name));
                let hint = format!(
                    "name another topic, or free this one: gcloud pubsub topics update {id} --project={project} \
                     --clear-schema-settings"
                );
                Finding::new(Outcome::Differs, what).details([words]).hint(hint)
            }
            (_, None) => Finding::new(Outcome::Same, what),
        }
    }

    /// What gives a topic a schema that it has not, over whatever others publish to it.
    fn give_schema(&self, topic: &str, schema: &SchemaSettings) -> String {
        format!(
            "name another topic, or, if nobody else publishes to it: gcloud pubsub topics update {} --project={} \
             --clear-schema-settings, and run `setup` again for schema `{}`",
            id(topic),
            self.config.project_id,
            id(&schema.schema)
        )
    }

    async fn subscription(&self, mut wanted: Subscription) -> Finding {
        let what = format!("subscription `{}`", wanted.name);
        let is = match self.admin.subscription(&wanted.name).await {
            Ok(Some(is)) => is,
            Ok(None) => return self.new_subscription(what, &wanted).await,
            Err(failure) => {
                return failed(what, self.refusal("read", "pubsub.subscriptions.get", &wanted.name, failure));
            }
        };
        let mut found = Difference::of(&is, &mut wanted);
        if found.stays.is_empty()
            && !self.request.dry_run
            && let Err(failure) = self.change(&wanted, &mut found).await
        {
            return failed(what, self.refusal("change", "pubsub.subscriptions.update", &wanted.name, failure));
        }
        let trouble = is.bigquery_config.as_ref().and_then(|config| self.trouble(config.state()));
        let subscription = id(&wanted.name);
        match (found, trouble) {
            (Difference { stays, .. }, _) if !stays.is_empty() => {
                let project = &self.config.project_id;
                let hint = format!(
                    "name another one, or delete it with `gcloud pubsub subscriptions delete {subscription} \
                     --project={project}` if nobody needs it, and run `setup` again"
                );
                Finding::new(Outcome::Differs, what).details(stays).hint(hint)
            }
            (found, Some((words, hint))) => {
                Finding::new(Outcome::Differs, what).details(found.words()).details([words]).hint(hint)
            }
            (found, None) if found.changes.is_empty() => Finding::new(Outcome::Same, what).details(found.notes),
            (found, None) => {
                let finding = Finding::new(Outcome::Changed, what).details(found.words()).details(found.notes.clone());
                if found.paths().contains(&"dead_letter_policy") {
                    finding.hint(self.dead_letter_rights(&wanted))
                } else {
                    finding
                }
            }
        }
    }

    /// Changes what differs. Emulators cannot change how long messages are kept: then it stays as it is.
    async fn change(&self, wanted: &Subscription, found: &mut Difference) -> Result<(), Failure> {
        if found.changes.is_empty() {
            return Ok(());
        }
        match self.admin.update_subscription(wanted, &found.paths()).await {
            Err(failure)
                if matches!(failure.code, Code::InvalidArgument | Code::Unimplemented)
                    && failure.message.contains("retention")
                    && found.leave("message_retention_duration") =>
            {
                if found.changes.is_empty() {
                    return Ok(());
                }
                self.admin.update_subscription(wanted, &found.paths()).await
            }
            changed => changed,
        }
    }

    async fn new_subscription(&self, what: String, wanted: &Subscription) -> Finding {
        if !self.request.dry_run
            && let Err(failure) = self.create(wanted).await
        {
            if failure.code == Code::AlreadyExists {
                let words = "somebody made it at this moment: run `setup` again".to_owned();
                return Finding::new(Outcome::Failed, what).details([words]);
            }
            return failed(what, self.cannot_subscribe(wanted, failure));
        }
        let mut details = vec![format!("of topic `{}`, never expires", wanted.topic)];
        if let Some(config) = &wanted.bigquery_config {
            let by = if config.use_topic_schema { "the topic's schema" } else { "the table's columns" };
            details.push(format!("writes into `{}` by {by}, with metadata", config.table));
        }
        let finding = Finding::new(Outcome::Created, what);
        match &wanted.dead_letter_policy {
            None => finding.details(details),
            Some(policy) => {
                let words = format!("what fails {ATTEMPTS} times goes to `{}`", policy.dead_letter_topic);
                finding.details(details).details([words]).hint(self.dead_letter_rights(wanted))
            }
        }
    }

    /// With the longest retention that the service takes: emulators take a week, as the service once did.
    async fn create(&self, wanted: &Subscription) -> Result<(), Failure> {
        let created = self.admin.create_subscription(wanted).await;
        match created {
            Err(failure) if failure.code == Code::InvalidArgument && failure.message.contains("retention") => {
                let wanted = Subscription { message_retention_duration: None, ..wanted.clone() };
                self.admin.create_subscription(&wanted).await
            }
            created => created,
        }
    }

    /// Pub/Sub's own account, which writes into tables and forwards dead letters.
    fn service_agent(&self) -> String {
        let project = &self.config.project_id;
        format!(
            "`service-<number>@gcp-sa-pubsub.iam.gserviceaccount.com` (`gcloud projects describe {project} \
             --format='value(projectNumber)'` prints the number)"
        )
    }

    fn dead_letter_rights(&self, subscription: &Subscription) -> String {
        let project = &self.config.project_id;
        let (topic, name) = (&self.config.pubsub.dead_letter_topic_id, &subscription.name);
        let subscription = id(name);
        format!(
            "dead letters are forwarded only by {}; give it the rights: gcloud pubsub topics add-iam-policy-binding \
             {topic} --project={project} --role=roles/pubsub.publisher --member=serviceAccount:<it>; gcloud pubsub \
             subscriptions add-iam-policy-binding {subscription} --project={project} --role=roles/pubsub.subscriber \
             --member=serviceAccount:<it>",
            self.service_agent()
        )
    }

    fn table_rights(&self) -> String {
        let WritersConfig { project_id, bq, .. } = self.config;
        format!(
            "{} must be allowed to write into the table: bq query --use_legacy_sql=false 'GRANT \
             `roles/bigquery.dataEditor` ON SCHEMA `{project_id}.{}` TO \"serviceAccount:<it>\"'",
            self.service_agent(),
            bq.dataset_id
        )
    }

    /// Why a subscription writes nothing, and what to do.
    fn trouble(&self, state: State) -> Option<(String, String)> {
        let hint = match state {
            State::Unspecified | State::Active => return None,
            State::PermissionDenied => self.table_rights(),
            State::NotFound => "the table was not there when it last looked: if it is now, this passes".to_owned(),
            State::SchemaMismatch => {
                "columns were missing when it last looked: if they are added, this passes".to_owned()
            }
            _ => "it writes only where data may lie by the topic's and the table's locations".to_owned(),
        };
        Some((format!("it writes nothing, its state is {}", state.as_str_name()), hint))
    }

    /// A right that is missing here may be ours or that of Pub/Sub's own account, and the service does not say whose.
    fn cannot_subscribe(&self, wanted: &Subscription, failure: Failure) -> SinkError {
        let agent = failure.message.contains("gcp-sa-pubsub");
        let may_be_agents = failure.code == Code::PermissionDenied && wanted.bigquery_config.is_some();
        match self.refusal("create", "pubsub.subscriptions.create", &wanted.name, failure) {
            SinkError::Blocked { source, .. } if agent => {
                SinkError::Blocked { source, hint: self.table_rights().into() }
            }
            SinkError::Blocked { source, hint } if may_be_agents => {
                let hint = format!("{hint}; or it is Pub/Sub's own account that lacks one: {}", self.table_rights());
                SinkError::Blocked { source, hint: hint.into() }
            }
            error => error,
        }
    }

    /// What a refused call about a topic or a subscription means.
    pub(super) fn refusal(&self, action: &str, permission: &str, name: &str, failure: Failure) -> SinkError {
        let project = &self.config.project_id;
        let hint = match failure.code {
            Code::PermissionDenied => format!(
                "the account needs `{permission}` on project `{project}`; to grant the role that has it: gcloud \
                 projects add-iam-policy-binding {project} --role=roles/pubsub.editor --member=<the account>"
            ),
            Code::Unauthenticated => STRANGER.to_owned(),
            Code::NotFound => "check `writers.project_id`, and the names in `writers.pubsub`".to_owned(),
            Code::InvalidArgument | Code::FailedPrecondition => "check `writers.pubsub` and `writers.bq`".to_owned(),
            _ => {
                let retry_after = failure.retry_after;
                return SinkError::Transient {
                    source: format!("cannot {action} `{name}`: {failure}").into(),
                    retry_after,
                };
            }
        };
        SinkError::Blocked { source: format!("cannot {action} `{name}`: {failure}").into(), hint: hint.into() }
    }
}

/// The last part of a name, as commands have it.
fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// A schema and how messages have it.
fn described(schema: &SchemaSettings) -> String {
    format!("schema `{}` in {}", schema.schema, schema.encoding().as_str_name())
}

/// The subscription that keeps what is published to the topic of dead letters.
fn keeper(name: String, topic: String) -> Subscription {
    Subscription {
        name,
        topic,
        message_retention_duration: Some(RETENTION),
        expiration_policy: Some(ExpirationPolicy { ttl: None }),
        ..Subscription::default()
    }
}
