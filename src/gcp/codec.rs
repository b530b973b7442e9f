//! Messages of gRPC calls as bytes: prost's, into a buffer that is large enough from the start.
//!
//! tonic's own encoder begins with 8 KiB and doubles: half a megabyte of rows would be copied once more on the way there, and
//! leave as much behind for the allocator.

use std::marker::PhantomData;

use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::{ProstCodec, ProstDecoder};

/// See the module.
pub struct Roomy<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Roomy<T, U> {
    fn default() -> Self {
        Roomy(PhantomData)
    }
}

impl<T, U> Codec for Roomy<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = RoomyEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> RoomyEncoder<T> {
        RoomyEncoder(PhantomData)
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::default())
    }
}

/// Writes messages.
pub struct RoomyEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for RoomyEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.encoded_len());
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}
