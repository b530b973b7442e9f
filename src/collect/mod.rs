//! From bytes on the wire to claims: what clients say happened, and how they are answered. Pure and synchronous; it
//! names no server, no runtime and no clock.

mod browser;
mod caller;
mod claim;
mod config;
mod consent;
mod cookie;
mod drop_reason;
mod encoding;
mod hit;
mod identity;
mod limits;
mod native;
mod overrides;
mod privacy;
mod read;
mod redact;
mod refusal;
mod remark;
mod reply;
mod text;
mod validate;

pub use browser::Browser;
pub use caller::{ApiKey, Caller};
pub use claim::Claim;
pub use config::{Ack, Config, ConsentDenied, RateLimitConfig, StreamConfig, Timezone, is_stream_id};
pub use consent::{Consent, Grant};
pub use cookie::{CookieConfig, Domain, SameSite, Secure};
pub use drop_reason::DropReason;
pub use encoding::Codings;
pub use hit::{Hit, Micros};
pub use identity::{IdSource, Identity, Visitor, first_touch};
pub use limits::{Limits, LimitsConfig, Profile};
pub use native::{Claims, read};
pub use overrides::Overrides;
pub use privacy::PrivacyConfig;
pub use redact::{RedactConfig, Redaction};
pub use refusal::Refusal;
pub use remark::{Code, Detail, Log, Remark, RemarkKind, echo};
pub use reply::{Accepted, Message, Reply};
pub use text::{Text, read as read_text};
pub use validate::validate;
