//! Messages of gRPC calls as bytes, into a buffer that is large enough from the start.
//!
//! tonic's own encoder begins with 8 KiB and doubles: half a megabyte of rows would be copied once more on the way there, and
//! leave as much behind for the allocator.

use std::marker::PhantomData;

use bytes::BufMut;
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::{ProstCodec, ProstDecoder};

/// What can be sent.
pub trait Encode: Send + Sync + 'static {
    /// Bytes that it takes.
    fn size(&self) -> usize;
    /// Writes as many.
    fn write(&self, buffer: &mut impl BufMut);
}

impl<T: Message + 'static> Encode for T {
    fn size(&self) -> usize {
        self.encoded_len()
    }

    fn write(&self, buffer: &mut impl BufMut) {
        self.encode_raw(buffer);
    }
}

/// See the module.
pub struct Roomy<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Roomy<T, U> {
    fn default() -> Self {
        Roomy(PhantomData)
    }
}

impl<T, U> Codec for Roomy<T, U>
where
    T: Encode,
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
        ProstCodec::<U, U>::raw_decoder(BufferSettings::default())
    }
}

/// Writes messages.
pub struct RoomyEncoder<T>(PhantomData<T>);

impl<T: Encode> Encoder for RoomyEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.size());
        message.write(buffer);
        Ok(())
    }
}
