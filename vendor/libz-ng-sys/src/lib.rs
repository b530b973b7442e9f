//! Stand-in for `libz-ng-sys`, so that the build needs a C compiler but no cmake.
//!
//! Pingora asks `flate2` for its zlib-ng backend, whose crate builds C sources with cmake. This one offers the same
//! symbols over `libz-rs-sys`, zlib in Rust. It can go when Pingora lets its users choose flate2's backend.
#![allow(non_camel_case_types, non_snake_case, clippy::missing_safety_doc)]
use core::ffi::{c_char, c_int, c_void};
use libz_rs_sys as z;
pub use z::{uInt, uLong, voidpf, Bytef};
pub type internal_state = z::internal_state;
pub type usize_t = uLong;
pub type alloc_func = extern "C" fn(*mut c_void, uInt, uInt) -> *mut c_void;
pub type free_func = extern "C" fn(*mut c_void, *mut c_void);
#[repr(C)]
pub struct z_stream {
    pub next_in: *mut Bytef,
    pub avail_in: uInt,
    pub total_in: usize_t,
    pub next_out: *mut Bytef,
    pub avail_out: uInt,
    pub total_out: usize_t,
    pub msg: *mut c_char,
    pub state: *mut internal_state,
    pub zalloc: alloc_func,
    pub zfree: free_func,
    pub opaque: voidpf,
    pub data_type: c_int,
    pub adler: uLong,
    pub reserved: uLong,
}
const _: () = assert!(core::mem::size_of::<z_stream>() == core::mem::size_of::<z::z_stream>());
pub use z::{
    Z_BLOCK, Z_BUF_ERROR, Z_DATA_ERROR, Z_DEFAULT_STRATEGY, Z_DEFLATED, Z_FINISH, Z_FULL_FLUSH, Z_MEM_ERROR,
    Z_NEED_DICT, Z_NO_FLUSH, Z_OK, Z_PARTIAL_FLUSH, Z_STREAM_END, Z_STREAM_ERROR, Z_SYNC_FLUSH,
};
pub fn zlibVersion() -> *const c_char {
    z::zlibVersion()
}
macro_rules! fwd { ($($n:ident ( $($a:ident : $t:ty),* );)*) => { $(
  pub unsafe extern "C" fn $n(s: *mut z_stream $(, $a: $t)*) -> c_int { z::$n(s.cast() $(, $a)*) } )* } }
fwd! {
  deflate(flush: c_int); deflateEnd(); deflateReset();
  inflate(flush: c_int); inflateEnd(); inflateReset2(wb: c_int);
  deflateInit2_(level: c_int, method: c_int, wb: c_int, mem: c_int, strat: c_int, ver: *const c_char, size: c_int);
  inflateInit2_(wb: c_int, ver: *const c_char, size: c_int);
  deflateParams(level: c_int, strat: c_int);
}
pub unsafe extern "C" fn deflateSetDictionary(s: *mut z_stream, d: *const u8, n: uInt) -> c_int {
    z::deflateSetDictionary(s.cast(), d, n)
}
pub unsafe extern "C" fn inflateSetDictionary(s: *mut z_stream, d: *const u8, n: uInt) -> c_int {
    z::inflateSetDictionary(s.cast(), d, n)
}
