//! What the operator may say about the access log.

use serde::{Deserialize, Serialize};

use super::Handler;
use crate::{enrich::IpMask, problem::Problem};

/// `server.access_log:` - one line for each request, at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// The share of requests that get a line, 0 to 1. Those answered 5xx always do.
    pub sample: f64,
    /// The same for events that were taken and for health checks that were answered: their number tells nothing that
    /// metrics do not.
    pub sample_events: f64,
    /// What is shown of the target.
    pub query: Query,
    /// What is shown of the client's address.
    pub client_ip: IpMask,
}

/// What is shown of a request's target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Query {
    /// All but what `collect.redact` takes out.
    #[default]
    Redact,
    /// The same without the query.
    Drop,
    /// All of it.
    Keep,
}

impl Default for AccessLogConfig {
    fn default() -> AccessLogConfig {
        AccessLogConfig {
            enabled: true,
            sample: 1.0,
            sample_events: 0.0,
            query: Query::default(),
            client_ip: IpMask::None,
        }
    }
}

impl AccessLogConfig {
    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        for (key, share) in [("sample", self.sample), ("sample_events", self.sample_events)] {
            if !(0.0..=1.0).contains(&share) {
                let problem = Problem::new(format!("{path}.{key}"), format!("`{share}` is no share of requests"));
                problems.push(problem.hint("0 is none, 0.01 is one in a hundred, 1 is all"));
            }
        }
    }

    /// Whether a request gets a line. `luck` is drawn evenly from 0 to 1, without 1. Status 0 is no answer.
    pub fn keeps(&self, handler: Handler, status: u16, luck: f64) -> bool {
        let is_routine = matches!(handler, Handler::Collect | Handler::Health) && status < 400;
        let share = if is_routine { self.sample_events } else { self.sample };
        self.enabled && (status >= 500 || luck < share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_always_get_a_line_and_the_rest_their_share() {
        let config = AccessLogConfig { sample: 0.25, sample_events: 0.5, ..AccessLogConfig::default() };
        for (handler, status, luck, kept) in [
            (Handler::Proxy, 200, 0.249, true),
            (Handler::Proxy, 200, 0.25, false),
            (Handler::Proxy, 404, 0.3, false),
            (Handler::Proxy, 502, 0.999, true),
            (Handler::Proxy, 0, 0.1, true),
            (Handler::Collect, 200, 0.3, true),
            (Handler::Collect, 200, 0.5, false),
            // One that was refused is no routine.
            (Handler::Collect, 429, 0.3, false),
            (Handler::Collect, 503, 0.999, true),
            (Handler::Health, 200, 0.4, true),
        ] {
            assert_eq!(config.keeps(handler, status, luck), kept, "{handler:?} {status} {luck}");
        }
        let usual = AccessLogConfig::default();
        assert!(usual.keeps(Handler::Proxy, 200, 0.999_999) && !usual.keeps(Handler::Collect, 200, 0.0));
        assert!(!usual.keeps(Handler::Health, 200, 0.0) && usual.keeps(Handler::Collect, 400, 0.9));
        let off = AccessLogConfig { enabled: false, ..usual };
        assert!(!off.keeps(Handler::Proxy, 502, 0.0));
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let mut problems = Vec::new();
            AccessLogConfig { sample: share, ..AccessLogConfig::default() }.check("a", &mut problems);
            assert_eq!(problems.len(), 1, "{share}");
        }
    }
}
