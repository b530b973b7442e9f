//! Certificates of our own from an authority that speaks ACME (RFC 8555), such as Let's Encrypt.
//!
//! `order` gets one certificate for the domains of one list, `challenges` holds what proves that they are ours for as long
//! as that takes, `store` keeps account and certificate, and how often an order has failed: who starts again and again
//! must not ask again and again.

mod challenges;
mod config;
mod order;
mod pace;
mod store;

pub use self::{
    challenges::{Challenges, HTTP_PATH, TLS_PROTOCOL},
    config::{AcmeConfig, Wanted},
    order::{Failed, order},
    pace::{is_due_at, next_attempt},
    store::{Failures, Kept, Store},
};
