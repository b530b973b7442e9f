//! How long a route waits for its upstreams.

use serde::{Deserialize, Serialize};

use crate::{problem::Problem, units::Span};

/// `routes[].timeouts:` - patience with the upstreams. A key without a value has the edge's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsConfig {
    /// To connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Span>,
    /// From the end of the request to the head of its answer, for each attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Span>,
    /// Of silence, before and within an answer. Not for WebSocket and server-sent events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// From the beginning of the request to the end of its answer, with all attempts. Not for WebSocket and server-sent
    /// events, once they have begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Span>,
}

impl TimeoutsConfig {
    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let spans =
            [("connect", self.connect), ("first_byte", self.first_byte), ("idle", self.idle), ("total", self.total)];
        for (key, span) in spans {
            if let Some(span) = span.filter(|span| span.is_zero() || span.as_secs() > 24 * 3600) {
                let problem = Problem::new(format!("{path}.{key}"), format!("`{span}` is no time to wait"));
                problems.push(problem.hint("such as `5s`; a day at most"));
            }
        }
        if let (Some(first_byte), Some(total)) = (self.first_byte, self.total)
            && *first_byte > *total
        {
            let problem = Problem::new(format!("{path}.first_byte"), "is never reached: `total` is shorter");
            problems.push(problem.hint("leave one of them out, or make `total` the longer one"));
        }
        // Pingora has one patience for all reads of an answer.
        if let (Some(first_byte), Some(idle)) = (self.first_byte, self.idle)
            && *idle < *first_byte
        {
            let problem = Problem::new(format!("{path}.idle"), "counts for nothing: `first_byte` is longer");
            problems.push(problem.hint("silence within an answer may last as long as `first_byte`; leave `idle` out"));
        }
    }
}
