//! Google's messages and clients, generated from `proto/google`: the part of the APIs that is spoken here. Fields that
//! are left out there are skipped when they come.

#![allow(missing_docs, clippy::all, clippy::pedantic)] // generated

/// `google.rpc`: how calls fail.
pub use google::rpc;

/// The Storage Write API.
pub use google::cloud::bigquery::storage::v1 as storage;

/// Pub/Sub.
pub use google::pubsub::v1 as pubsub;

/// The packages as they are nested: the generated code refers to its neighbours by relative paths.
mod google {
    pub mod rpc {
        include!(concat!(env!("OUT_DIR"), "/google/google.rpc.rs"));
    }
    pub mod cloud {
        pub mod bigquery {
            pub mod storage {
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/google/google.cloud.bigquery.storage.v1.rs"));
                }
            }
        }
    }
    pub mod pubsub {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/google/google.pubsub.v1.rs"));
        }
    }
}
