//! Damaged rows are refused or read, the same way by every reader, and never crash one.

use proptest::prelude::*;
use prost::{Message, encoding};
use prost_reflect::DynamicMessage;
use real_streaming::schema::{self, DecodeError, Fault, reference::Event, wire::WireError};

use super::{forms, random, random_row, repeatable};

/// Reads `bytes` with every reader; they have to come to the same end, and prost is the judge of what it is.
fn check(bytes: &[u8]) {
    let json = schema::json::value(bytes);
    let arrow = schema::arrow::record_batch([bytes]).map(|batch| forms::from_arrow(&batch).remove(0));
    match (json, arrow, Event::decode(bytes)) {
        (Ok(json), Ok(arrow), Ok(event)) => {
            let event = DynamicMessage::decode(random::descriptor(), event.encode_to_vec().as_slice()).unwrap();
            assert_eq!(json, forms::reference(&event));
            assert_eq!(arrow, json);
        }
        (Err(json), Err(arrow), Err(_)) => assert_eq!((arrow.row, json.row), (Some(0), None)),
        // The one thing we are stricter about: groups, which prost skips where it does not know the field.
        (Err(DecodeError { fault: Fault::Wire(WireError::WireType(3)), .. }), Err(_), Ok(_)) => {}
        (json, arrow, prost) => panic!("readers differ on {bytes:x?}: {json:?}, {arrow:?}, {prost:?}"),
    }
}

#[test]
fn a_row_cut_short_anywhere_is_refused_or_read_in_part() {
    for seed in 0..8 {
        let (bytes, _) = random_row(seed, 20);
        for end in 0..bytes.len() {
            check(&bytes[..end]);
        }
    }
}

proptest! {
    #![proptest_config(repeatable(1024))]

    #[test]
    fn random_bytes_never_crash_a_reader(bytes: Vec<u8>) {
        check(&bytes);
    }

    #[test]
    fn a_damaged_byte_never_crashes_a_reader(seed: u64, place: prop::sample::Index, byte: u8) {
        let (mut bytes, _) = random_row(seed, 30);
        if !bytes.is_empty() {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        check(&bytes);
    }

    #[test]
    fn two_rows_end_to_end_are_one_that_merges_them(first: u64, second: u64, density in 0..60u8) {
        let (mut bytes, _) = random_row(first, density);
        bytes.extend(random_row(second, density).0);
        check(&bytes);
    }
}

#[test]
fn fields_of_a_newer_version_are_skipped() {
    let (row, expected) = random_row(5, 50);
    // One of each wire type, under numbers that no column has, at the top and inside a record.
    let mut newer = Vec::new();
    encoding::uint64::encode(9001, &u64::MAX, &mut newer);
    encoding::double::encode(9002, &1.5, &mut newer);
    encoding::string::encode(9003, &"new".to_owned(), &mut newer);
    encoding::fixed32::encode(9004, &7, &mut newer);
    let device = Event { device: Some(Default::default()), ..Event::default() };
    let without = schema::json::value(&device.encode_to_vec()).unwrap();
    let mut with = Vec::new();
    encoding::encode_key(15, encoding::WireType::LengthDelimited, &mut with);
    encoding::encode_varint(newer.len() as u64, &mut with);
    with.extend_from_slice(&newer);
    assert_eq!(schema::json::value(&with).unwrap(), without);
    check(&with);

    let bytes = [newer.as_slice(), &row, &newer].concat();
    assert_eq!(schema::json::value(&bytes).unwrap(), expected);
    check(&bytes);
}

#[test]
fn an_error_names_the_row_and_the_column() {
    let good = Event { event_name: Some("page_view".to_owned()), ..Event::default() }.encode_to_vec();
    // device { web_info { browser: <invalid> } }, and event_name as a number.
    let not_utf8 = b"\x7a\x05\x7a\x03\x0a\x01\xff";
    let mistyped = b"\x18\x01";
    for (bad, expected) in [
        (&not_utf8[..], "row 1: column `device.web_info.browser`: text is not valid UTF-8"),
        (mistyped, "row 1: column `event_name`: wire type varint does not fit the column"),
        (&good[..good.len() - 1], "row 1: the bytes end inside a value"),
    ] {
        let error = schema::arrow::record_batch([good.as_slice(), bad, &good]).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(DecodeError { row: Some(1), ..schema::json::row(bad).unwrap_err() }.to_string(), expected);
    }
}
