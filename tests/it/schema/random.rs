//! Events of every shape, made from the descriptor so that no column is forgotten: unset, set to zero, at the edges
//! of its type, and in between.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use real_streaming::schema::reference::DESCRIPTOR_SET;

pub fn descriptor() -> MessageDescriptor {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).unwrap());
    POOL.get_message_by_name("real_streaming.Event").unwrap()
}

/// The event of this seed; about `density` percent of the fields are set in each record.
pub fn event(seed: u64, density: u8) -> DynamicMessage {
    Random { state: seed, density: u64::from(density) }.message(&descriptor())
}

struct Random {
    state: u64,
    density: u64,
}

impl Random {
    fn message(&mut self, descriptor: &MessageDescriptor) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            if self.below(100) >= self.density {
                continue;
            }
            if field.is_list() {
                let values = (0..self.below(4)).map(|_| self.value(&field)).collect();
                message.set_field(&field, Value::List(values));
            } else {
                let value = self.value(&field);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn value(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::String => Value::String(self.text()),
            Kind::Int64 => {
                // 0001-01-01 and 9999-12-31 in microseconds, and the instants next to them.
                const EDGES: [i64; 11] = [
                    0,
                    1,
                    -1,
                    i64::MIN,
                    i64::MAX,
                    (1 << 53) + 1,
                    -62_135_596_800_000_000,
                    -62_135_596_800_000_001,
                    253_402_300_799_999_999,
                    253_402_300_800_000_000,
                    1_709_164_799_000_007,
                ];
                let any = self.next();
                Value::I64(self.edge(&EDGES).unwrap_or((any as i64) >> (any % 64)))
            }
            Kind::Int32 => {
                const EDGES: [i32; 8] = [0, -1, i32::MIN, i32::MAX, -719_162, -719_163, 2_932_896, 2_932_897];
                let any = self.next();
                Value::I32(self.edge(&EDGES).unwrap_or((any as i32) >> (any % 32)))
            }
            Kind::Double => {
                const EDGES: [f64; 9] =
                    [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX, 0.1, 1e15];
                let any = self.next();
                Value::F64(self.edge(&EDGES).unwrap_or(f64::from_bits(any)))
            }
            Kind::Bool => Value::Bool(self.below(2) == 1),
            Kind::Message(descriptor) => Value::Message(self.message(&descriptor)),
            other => panic!("no column has type {other:?}"),
        }
    }

    fn text(&mut self) -> String {
        const EDGES: [&str; 8] = [
            "",
            "page_view",
            "a \"quoted\" \\ text",
            "\0\u{1}\n\t\u{7f}",
            "Grüße, 東京",
            "👩‍👩‍👧",
            "\u{2028}\u{fffd}\u{10ffff}",
            "null",
        ];
        match self.edge(&EDGES) {
            Some(text) => text.to_owned(),
            // Longer than one byte of length can say.
            None => "xyz-é".repeat(self.below(60) as usize),
        }
    }

    /// One of `edges`, two times out of three.
    fn edge<T: Copy>(&mut self, edges: &[T]) -> Option<T> {
        let pick = self.below(edges.len() as u64 * 3 / 2) as usize;
        edges.get(pick).copied()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
