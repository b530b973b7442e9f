//! The tracking script, compressed once at start, never per request.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::negotiate::{IDENTITY, matches_etag, quality};
use crate::collect::Reply;

/// The path carries no version, so a new release has to reach visitors within the hour; meanwhile nobody waits for it.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=3600, stale-while-revalidate=86400");

/// One file in all its encodings.
#[derive(Debug)]
pub struct Asset {
    content_type: HeaderValue,
    /// Best first.
    variants: [Variant; 3],
}

#[derive(Debug)]
struct Variant {
    encoding: &'static str,
    body: Bytes,
    etag: HeaderValue,
}

impl Asset {
    /// The tracking script.
    pub fn script() -> Asset {
        Asset::new("text/javascript; charset=utf-8", include_bytes!("../../static/v6.js"))
    }

    fn new(content_type: &'static str, content: &'static [u8]) -> Asset {
        let checksum = crc32c::crc32c(content);
        let variant = |encoding: &'static str, body: Bytes| {
            let etag = format!("\"{checksum:08x}-{:x}-{encoding}\"", content.len());
            let etag =
                HeaderValue::try_from(etag).expect("hexadecimal digits and an encoding's name are visible ASCII");
            Variant { encoding, body, etag }
        };
        Asset {
            content_type: HeaderValue::from_static(content_type),
            variants: [
                variant("br", brotli(content)),
                variant("gzip", gzip(content)),
                variant(IDENTITY, Bytes::from_static(content)),
            ],
        }
    }

    /// The answer to any request for this file. `HEAD` gets the body of `GET`, which whoever sends it leaves out.
    pub fn reply(&self, method: &Method, request: &HeaderMap) -> Reply {
        if method != Method::GET && method != Method::HEAD {
            let headers = vec![(header::ALLOW, HeaderValue::from_static("GET, HEAD"))];
            return Reply { status: StatusCode::METHOD_NOT_ALLOWED, headers, body: Bytes::new() };
        }
        let variant = self.choose(request);
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(8);
        headers.push((header::ETAG, variant.etag.clone()));
        headers.push((header::CACHE_CONTROL, CACHE_CONTROL));
        headers.push((header::VARY, HeaderValue::from_static("Accept-Encoding")));
        if matches_etag(request, &variant.etag) {
            return Reply { status: StatusCode::NOT_MODIFIED, headers, body: Bytes::new() };
        }
        headers.push((header::CONTENT_TYPE, self.content_type.clone()));
        if variant.encoding != IDENTITY {
            headers.push((header::CONTENT_ENCODING, HeaderValue::from_static(variant.encoding)));
        }
        headers.push((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        // The script is public: pages of other origins may check its integrity, and pages that isolate themselves may
        // load it.
        headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")));
        headers.push((CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin")));
        Reply { status: StatusCode::OK, headers, body: variant.body.clone() }
    }

    /// The client's favourite; among equals ours, which is the smallest.
    fn choose(&self, request: &HeaderMap) -> &Variant {
        let [.., identity] = &self.variants;
        let mut best = (identity, 0);
        for variant in &self.variants {
            let quality = quality(request, variant.encoding);
            if quality > best.1 {
                best = (variant, quality);
            }
        }
        best.0
    }
}

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

fn brotli(content: &[u8]) -> Bytes {
    let mut out = Vec::new();
    // 11 is the densest; 22 the window that every browser takes.
    let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 11, 22);
    encoder.write_all(content).expect("writing to a Vec cannot fail");
    drop(encoder);
    out.into()
}

fn gzip(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).expect("writing to a Vec cannot fail");
    encoder.finish().expect("writing to a Vec cannot fail").into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use super::*;

    fn get(headers: &[(HeaderName, &str)]) -> Reply {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        Asset::script().reply(&Method::GET, &map)
    }

    fn header(reply: &Reply, name: HeaderName) -> Option<&str> {
        reply.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_str().unwrap())
    }

    #[test]
    fn the_encoding_follows_the_clients_wishes() {
        for (accept, encoding) in [
            (Some("gzip, deflate, br, zstd"), Some("br")),
            (Some("gzip, deflate"), Some("gzip")),
            (Some("gzip;q=0, br;q=0"), None),
            (Some("gzip;q=1.0, br;q=0.5"), Some("gzip")),
            (Some("br;q=0, *"), Some("gzip")),
            (Some("*"), Some("br")),
            (Some("*;q=0"), None),
            (Some("identity, gzip;q=0.5"), None),
            (Some("GZIP"), Some("gzip")),
            (Some("br;q=nonsense, gzip;q=0.2"), Some("gzip")),
            (Some("br;q=NaN"), None),
            (Some(""), None),
            (None, None),
        ] {
            let headers: Vec<_> = accept.iter().map(|accept| (header::ACCEPT_ENCODING, *accept)).collect();
            assert_eq!(header(&get(&headers), header::CONTENT_ENCODING), encoding, "{accept:?}");
        }
    }

    #[test]
    fn every_encoding_holds_the_same_script() {
        let plain = get(&[]).body;
        let mut text = Vec::new();
        brotli::Decompressor::new(&get(&[(header::ACCEPT_ENCODING, "br")]).body[..], 4096)
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, plain);
        text.clear();
        flate2::read::GzDecoder::new(&get(&[(header::ACCEPT_ENCODING, "gzip")]).body[..])
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, plain);
    }

    #[test]
    fn a_known_tag_saves_the_body() {
        let etag = header(&get(&[]), header::ETAG).unwrap().to_string();
        for (tags, status) in [
            (etag.clone(), 304),
            (format!("W/{etag}"), 304),
            (format!("\"other\", {etag}"), 304),
            ("*".into(), 304),
            ("\"other\"".into(), 200),
        ] {
            let reply = get(&[(header::IF_NONE_MATCH, &tags)]);
            assert_eq!(reply.status, status, "{tags}");
            assert_eq!(reply.body.is_empty(), status == 304);
        }
        // Another encoding is another representation.
        let reply = get(&[(header::IF_NONE_MATCH, &etag), (header::ACCEPT_ENCODING, "br")]);
        assert_eq!(reply.status, 200);
    }

    #[test]
    fn other_methods_are_not_allowed() {
        let reply = Asset::script().reply(&Method::POST, &HeaderMap::new());
        assert_eq!((reply.status.as_u16(), header(&reply, header::ALLOW)), (405, Some("GET, HEAD")));
    }
}
