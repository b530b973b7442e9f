//! The types prost generates from `proto/event.proto`, and the compiled descriptor set beside them. They can decode;
//! rows are made with those of [`proto`](super::proto), whose encoder is tested against these.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/real_streaming.rs"));

/// `FileDescriptorSet` of `event.proto` with imports, comments and the custom column option.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/event.descriptor.bin"));
