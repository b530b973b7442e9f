//! What would be done with a request, and where every value of its rows would come from. The rules are those that serve;
//! nothing is kept, counted or answered.

mod json;
mod listing;
mod raw;

use std::net::IpAddr;

use super::{
    client_ip::Client,
    cors::Verdict,
    endpoint::{Head, now},
    request::{RequestId, entropy, host},
    route::{Action, Asked},
    rules::Rules,
};
use crate::{collect::Micros, pipeline::Explanation};

pub use self::raw::{RawRequest, Unreadable, requests};

/// Over which connection the requests would come.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The TCP peer.
    pub peer: IpAddr,
    /// Whether the client spoke TLS, whatever a proxy says.
    pub tls: bool,
    /// Time of receipt and randomness of all requests; those of the moment when `None`.
    pub moment: Option<(Micros, u128)>,
}

/// What would be done with one request.
#[derive(Debug)]
pub struct Explained {
    /// Counted from 1.
    number: usize,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// It cannot be read, nor can what follows.
    Unreadable(Unreadable),
    Read {
        line: String,
        client: Client,
        fate: Fate,
    },
}

#[derive(Debug)]
enum Fate {
    /// It is not an event; whose is it?
    Elsewhere(String),
    Event(Box<Explanation>),
}

impl Explained {
    /// Whether the request could be read.
    pub fn is_read(&self) -> bool {
        !matches!(self.outcome, Outcome::Unreadable(_))
    }
}

impl Rules {
    /// Explains the requests in `input`, HTTP/1.1 one after another, as if they came now from `peer`.
    pub fn explain<'a>(&'a self, input: &'a [u8], peer: IpAddr, tls: bool) -> impl Iterator<Item = Explained> + 'a {
        self.explain_as(input, Asker { peer, tls, moment: None })
    }

    /// The same, with everything else that can be said about it.
    pub fn explain_as<'a>(&'a self, input: &'a [u8], asker: Asker) -> impl Iterator<Item = Explained> + 'a {
        requests(input).enumerate().map(move |(index, read)| {
            let outcome = match read {
                Ok(request) => self.judge(&request, asker),
                Err(why) => Outcome::Unreadable(why),
            };
            Explained { number: index + 1, outcome }
        })
    }

    fn judge(&self, request: &RawRequest<'_>, asker: Asker) -> Outcome {
        let RawRequest { method, uri, headers, body } = request;
        let (client, id) = self.caller(asker.peer, asker.tls, headers);
        let elsewhere = |whose: &str| Fate::Elsewhere(format!("not an event: {whose}"));
        let host = host(uri, headers);
        let asked = Asked { method, host: &host, path: uri.path(), query: uri.query(), headers };
        let fate = match self.router.action(&asked) {
            Action::Collect { .. } => {
                let head = Head::new(method, uri, headers, &self.router, &client);
                Fate::Event(Box::new(self.event(&head, body, asker, &client, &id)))
            }
            Action::Script => elsewhere("the tracking script"),
            Action::Health => elsewhere("the health check"),
            Action::Site { route } => elsewhere(&format!("the site's, by routes[{route}]")),
            Action::NotFound => elsewhere("there is no route for this request"),
        };
        Outcome::Read { line: format!("{method} {uri}"), client, fate }
    }

    fn event(&self, head: &Head<'_>, body: &[u8], asker: Asker, client: &Client, id: &RequestId) -> Explanation {
        let verdict: Verdict = head.verdict(self);
        let mut explanation = match head.preflight(self, &verdict) {
            Ok(Some(reply)) => Explanation { refusal: None, reply, events: Vec::new(), more: 0 },
            Ok(None) => match head.admit(self) {
                Ok(_) => {
                    let (received_at, random) = asker.moment.unwrap_or_else(|| (now(), entropy()));
                    self.pipeline.explain(&head.hit(body, received_at, random), id)
                }
                Err(refusal) => Explanation::of(refusal, id),
            },
            Err(refusal) => Explanation::of(refusal, id),
        };
        self.decorate(&verdict, client, &mut explanation.reply.headers);
        explanation
    }
}
