//! Topics, their schemas and subscriptions: what there is, and making more.

use tonic::{Code, transport::Channel};

use crate::gcp::{
    Endpoint, Failure, Tokens,
    call::{answer, request, with_token},
    proto::pubsub::{
        CommitSchemaRequest, CreateSchemaRequest, GetSchemaRequest, GetSubscriptionRequest, GetTopicRequest, Schema,
        SchemaView, Subscription, Topic, UpdateSubscriptionRequest, UpdateTopicRequest,
        publisher_client::PublisherClient, schema_service_client::SchemaServiceClient,
        subscriber_client::SubscriberClient,
    },
};

/// Sees to topics, schemas and subscriptions, over one connection. Names are whole: `projects/P/topics/T`.
pub struct Admin {
    topics: PublisherClient<Channel>,
    schemas: SchemaServiceClient<Channel>,
    subscriptions: SubscriberClient<Channel>,
    tokens: Tokens,
}

impl Admin {
    /// Of the service at this address.
    pub fn new(endpoint: &Endpoint, tokens: Tokens) -> Result<Admin, Failure> {
        let channel = endpoint.channel().map_err(|error| Failure::unreachable(&error))?;
        Ok(Admin {
            topics: PublisherClient::new(channel.clone()),
            schemas: SchemaServiceClient::new(channel.clone()),
            subscriptions: SubscriberClient::new(channel),
            tokens,
        })
    }

    /// The topic; `None` when there is none.
    pub async fn topic(&self, name: &str) -> Result<Option<Topic>, Failure> {
        let found = with_token(&self.tokens, |token| {
            let request = request("topic", name, GetTopicRequest { topic: name.to_owned() }, token);
            let mut client = self.topics.clone();
            async move { answer(client.get_topic(request)).await }
        });
        unless_missing(found.await)
    }

    /// Creates a topic; `ALREADY_EXISTS` when there is one.
    pub async fn create_topic(&self, topic: &Topic) -> Result<(), Failure> {
        let created = with_token(&self.tokens, |token| {
            let request = request("name", &topic.name, topic.clone(), token);
            let mut client = self.topics.clone();
            async move { answer(client.create_topic(request)).await }
        });
        created.await.map(|_| ())
    }

    /// Replaces these members of the topic, each as a whole.
    pub async fn update_topic(&self, topic: &Topic, paths: &[&str]) -> Result<(), Failure> {
        let update = UpdateTopicRequest { topic: Some(topic.clone()), update_mask: Some(mask(paths)) };
        let updated = with_token(&self.tokens, |token| {
            let request = request("topic.name", &topic.name, update.clone(), token);
            let mut client = self.topics.clone();
            async move { answer(client.update_topic(request)).await }
        });
        updated.await.map(|_| ())
    }

    /// The schema `projects/P/schemas/S` by its latest revision, with its definition; `None` when there is none.
    pub async fn schema(&self, name: &str) -> Result<Option<Schema>, Failure> {
        let found = with_token(&self.tokens, |token| {
            let get = GetSchemaRequest { name: name.to_owned(), view: SchemaView::Full.into() };
            let request = request("name", name, get, token);
            let mut client = self.schemas.clone();
            async move { answer(client.get_schema(request)).await }
        });
        unless_missing(found.await)
    }

    /// Creates a schema; `ALREADY_EXISTS` when there is one.
    pub async fn create_schema(&self, schema: &Schema) -> Result<(), Failure> {
        let (parent, id) = schema.name.rsplit_once("/schemas/").unwrap_or_default();
        let create =
            CreateSchemaRequest { parent: parent.to_owned(), schema: Some(schema.clone()), schema_id: id.to_owned() };
        let created = with_token(&self.tokens, |token| {
            let request = request("parent", parent, create.clone(), token);
            let mut client = self.schemas.clone();
            async move { answer(client.create_schema(request)).await }
        });
        created.await.map(|_| ())
    }

    /// Gives a schema one more revision: 20 may be.
    pub async fn commit_schema(&self, schema: &Schema) -> Result<(), Failure> {
        let commit = CommitSchemaRequest { name: schema.name.clone(), schema: Some(schema.clone()) };
        let committed = with_token(&self.tokens, |token| {
            let request = request("name", &schema.name, commit.clone(), token);
            let mut client = self.schemas.clone();
            async move { answer(client.commit_schema(request)).await }
        });
        committed.await.map(|_| ())
    }

    /// The subscription; `None` when there is none.
    pub async fn subscription(&self, name: &str) -> Result<Option<Subscription>, Failure> {
        let found = with_token(&self.tokens, |token| {
            let request =
                request("subscription", name, GetSubscriptionRequest { subscription: name.to_owned() }, token);
            let mut client = self.subscriptions.clone();
            async move { answer(client.get_subscription(request)).await }
        });
        unless_missing(found.await)
    }

    /// Creates a subscription; `ALREADY_EXISTS` when there is one.
    pub async fn create_subscription(&self, subscription: &Subscription) -> Result<(), Failure> {
        let created = with_token(&self.tokens, |token| {
            let request = request("name", &subscription.name, subscription.clone(), token);
            let mut client = self.subscriptions.clone();
            async move { answer(client.create_subscription(request)).await }
        });
        created.await.map(|_| ())
    }

    /// Replaces these members of the subscription, each as a whole: a member of `bigquery_config` that is left out is
    /// reset, too.
    pub async fn update_subscription(&self, subscription: &Subscription, paths: &[&str]) -> Result<(), Failure> {
        let update =
            UpdateSubscriptionRequest { subscription: Some(subscription.clone()), update_mask: Some(mask(paths)) };
        let updated = with_token(&self.tokens, |token| {
            let request = request("subscription.name", &subscription.name, update.clone(), token);
            let mut client = self.subscriptions.clone();
            async move { answer(client.update_subscription(request)).await }
        });
        updated.await.map(|_| ())
    }
}

fn mask(paths: &[&str]) -> prost_types::FieldMask {
    prost_types::FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() }
}

fn unless_missing<T>(found: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.code == Code::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}
