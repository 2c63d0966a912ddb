use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn any_record() -> impl Strategy<Value = Record> {
    let number = 0..=varint::MAX;
    prop_oneof![
        (0..=varint::MAX - MAX_CHUNK as u64, vec(any::<u8>(), 1..300)).prop_map(
            |(offset, data)| Record::Data {
                offset,
                data: data.into()
            }
        ),
        number.clone().prop_map(|size| Record::End { size }),
        (number.clone(), number).prop_map(|(received, limit)| Record::Received { received, limit }),
    ]
}

fn taken(bytes: &[u8]) -> Result<Option<Record>, StripeError> {
    Record::take(&mut BytesMut::from(bytes))
}

#[test]
fn a_flow_has_two_to_eight_lanes_and_none_but_those() {
    let last = Lane {
        number: 7,
        lanes: 8,
    };
    assert_eq!(Lane::new(7, 8), Ok(last));
    assert_eq!(Lane::new(0, 1), Err(StripeError::Lanes(1)));
    assert_eq!(Lane::new(0, 9), Err(StripeError::Lanes(9)));
    assert!(Lane::new(u64::MAX, 2).is_err() && Lane::new(0, u64::MAX).is_err());
    let text = Lane::new(2, 2).unwrap_err().to_string();
    assert_eq!(text, "lane 2 of a flow whose lanes are 0 to 1");
}

#[test]
fn a_record_that_cannot_be_is_refused_before_its_data_has_come() {
    assert_eq!(taken(&[3]), Err(StripeError::Kind(3)));
    assert_eq!(taken(&[DATA, 0, 0]), Err(StripeError::Length(0)));
    let mut long = vec![DATA, 0];
    varint::write(MAX_CHUNK as u64 + 1, &mut long);
    assert_eq!(taken(&long), Err(StripeError::Length(65_537)));
    let mut far = vec![DATA];
    varint::write(varint::MAX, &mut far);
    far.push(1);
    let expected = StripeError::Offset {
        offset: varint::MAX,
        length: 1,
    };
    assert_eq!(taken(&far), Err(expected));
}

proptest! {
    #[test]
    fn records_come_out_whole_however_the_stream_is_cut(
        records in vec(any_record(), 0..8),
        step in 1..50_usize,
    ) {
        let parts = records.iter().map(Record::encode);
        let whole: Vec<u8> = parts.flat_map(|(head, data)| [head, data].concat()).collect();
        let (mut stream, mut found) = (BytesMut::new(), Vec::new());
        for piece in whole.chunks(step) {
            stream.extend_from_slice(piece);
            while let Some(one) = Record::take(&mut stream).unwrap() {
                found.push(one);
            }
        }
        prop_assert_eq!(found, records);
        prop_assert!(stream.is_empty());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..64)) {
        let _ = taken(&bytes);
    }
}
