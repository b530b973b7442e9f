//! Topics and subscriptions: what there is, and making more.

use tonic::{Code, transport::Channel};

use crate::gcp::{
    Endpoint, Failure, Tokens,
    call::{answer, request, with_token},
    proto::pubsub::{
        GetSubscriptionRequest, GetTopicRequest, Subscription, Topic, UpdateSubscriptionRequest,
        publisher_client::PublisherClient, subscriber_client::SubscriberClient,
    },
};

/// Sees to topics and subscriptions, over one connection. Names are whole: `projects/P/topics/T`.
pub struct Admin {
    topics: PublisherClient<Channel>,
    subscriptions: SubscriberClient<Channel>,
    tokens: Tokens,
}

impl Admin {
    /// Of the service at this address.
    pub fn new(endpoint: &Endpoint, tokens: Tokens) -> Result<Admin, Failure> {
        let channel = endpoint.channel().map_err(|error| Failure::unreachable(&error))?;
        let (topics, subscriptions) = (PublisherClient::new(channel.clone()), SubscriberClient::new(channel));
        Ok(Admin { topics, subscriptions, tokens })
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
        let update_mask = prost_types::FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() };
        let update =
            UpdateSubscriptionRequest { subscription: Some(subscription.clone()), update_mask: Some(update_mask) };
        let updated = with_token(&self.tokens, |token| {
            let request = request("subscription.name", &subscription.name, update.clone(), token);
            let mut client = self.subscriptions.clone();
            async move { answer(client.update_subscription(request)).await }
        });
        updated.await.map(|_| ())
    }
}

fn unless_missing<T>(found: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.code == Code::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}
