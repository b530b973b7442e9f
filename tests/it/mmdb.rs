//! Writes small databases in the MaxMind DB format, version 2.0, from its public specification: a binary tree over the
//! bits of addresses, sixteen zero bytes, the records, a marker and the metadata.

use std::net::IpAddr;

use serde_json::{Value, json};

/// A database to be.
pub struct Mmdb {
    kind: &'static str,
    ip_version: u16,
    record_size: u16,
    nodes: Vec<[Child; 2]>,
    /// Encoded, each with its offset.
    data: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    /// Offset in the data section.
    Record(usize),
}

/// Where a record stands; networks may share it.
#[derive(Clone, Copy)]
pub struct Record(usize);

impl Mmdb {
    /// An empty one: 4 or 6 for `ip_version`; 24, 28 or 32 bits for `record_size`.
    pub fn new(kind: &'static str, ip_version: u16, record_size: u16) -> Mmdb {
        Mmdb { kind, ip_version, record_size, nodes: vec![[Child::Nothing; 2]], data: Vec::new() }
    }

    /// A city database for IPv4 and IPv6.
    pub fn city() -> Mmdb {
        Mmdb::new("Test-City", 6, 24)
    }

    pub fn record(&mut self, value: &Value) -> Record {
        let at = self.data.len();
        encode(value, &mut self.data);
        Record(at)
    }

    /// Every address of the network, such as `203.0.113.0/24`, has this record.
    pub fn network(&mut self, network: &str, Record(offset): Record) {
        let (address, length) = network.split_once('/').unwrap();
        let mut length: u32 = length.parse().unwrap();
        let bits = match (address.parse::<IpAddr>().unwrap(), self.ip_version) {
            (IpAddr::V4(v4), 4) => u128::from(v4.to_bits()) << 96,
            (IpAddr::V4(v4), _) => {
                length += 96;
                u128::from(v4.to_bits())
            }
            (IpAddr::V6(v6), _) => v6.to_bits(),
        };
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                self.nodes[node][side] = Child::Record(offset);
                return;
            }
            node = match self.nodes[node][side] {
                Child::Node(next) => next,
                _ => {
                    self.nodes.push([Child::Nothing; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Child::Node(next);
                    next
                }
            };
        }
    }

    pub fn with(mut self, network: &str, value: &Value) -> Mmdb {
        let record = self.record(value);
        self.network(network, record);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let count = self.nodes.len();
        let mut bytes = Vec::new();
        for node in &self.nodes {
            let [left, right] = node.map(|child| match child {
                Child::Nothing => count,
                Child::Node(next) => next,
                Child::Record(offset) => count + 16 + offset,
            } as u32);
            let [left, right] = [left.to_be_bytes(), right.to_be_bytes()];
            match self.record_size {
                24 => bytes.extend([&left[1..], &right[1..]].concat()),
                28 => bytes.extend([&left[1..], &[left[0] << 4 | right[0]], &right[1..]].concat()),
                _ => bytes.extend([left, right].concat()),
            }
        }
        bytes.extend([0; 16]);
        bytes.extend(&self.data);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        let fields: [(&str, Vec<u8>); 9] = [
            ("binary_format_major_version", number(5, 2)),
            ("binary_format_minor_version", number(5, 0)),
            ("build_epoch", number(9, 1_700_000_000)),
            ("database_type", encoded(&json!(self.kind))),
            ("description", encoded(&json!({ "en": "made by a test" }))),
            ("ip_version", number(5, self.ip_version.into())),
            ("languages", encoded(&json!(["en"]))),
            ("node_count", number(6, count as u64)),
            ("record_size", number(5, self.record_size.into())),
        ];
        control(7, fields.len(), &mut bytes);
        for (key, value) in fields {
            encode(&json!(key), &mut bytes);
            bytes.extend(value);
        }
        bytes
    }
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes);
    bytes
}

fn encode(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::String(text) => {
            control(2, text.len(), bytes);
            bytes.extend(text.bytes());
        }
        Value::Number(value) => bytes.extend(number(6, value.as_u64().unwrap())),
        Value::Bool(value) => control(14, usize::from(*value), bytes),
        Value::Array(items) => {
            control(11, items.len(), bytes);
            items.iter().for_each(|item| encode(item, bytes));
        }
        Value::Object(entries) => {
            control(7, entries.len(), bytes);
            for (key, value) in entries {
                encode(&json!(key), bytes);
                encode(value, bytes);
            }
        }
        Value::Null => panic!("the format has no null"),
    }
}

/// An unsigned number of a type, without leading zero bytes.
fn number(kind: u8, value: u64) -> Vec<u8> {
    let all = value.to_be_bytes();
    let significant = &all[value.leading_zeros() as usize / 8..];
    let mut bytes = Vec::new();
    control(kind, significant.len(), &mut bytes);
    bytes.extend(significant);
    bytes
}

/// The control byte of a value: its type and size, in up to five bytes.
fn control(kind: u8, size: usize, bytes: &mut Vec<u8>) {
    let (short, rest) = match size {
        0..29 => (size as u8, vec![]),
        29..285 => (29, vec![(size - 29) as u8]),
        _ => (30, u16::try_from(size - 285).unwrap().to_be_bytes().to_vec()),
    };
    match kind {
        0..8 => bytes.push(kind << 5 | short),
        _ => bytes.extend([short, kind - 7]),
    }
    bytes.extend(rest);
}
