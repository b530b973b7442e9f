//! What of a site's answer is not for the visitor: what belongs to the site's connection to us, and what no answer of its
//! kind may say.

use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use pingora::{Error, ErrorType, Result, http::ResponseHeader};

use super::super::list::members_of;

/// What belongs to a connection, beside `Connection`, whether that names it or not (RFC 9110, 7.6.1). Not among them is
/// what frames the body: that is Pingora's to translate.
static HOP_BY_HOP: [HeaderName; 6] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::UPGRADE,
];

/// Leaves in the head of an answer what may go on to a client that speaks `version`. `upgrade`: the site was asked to
/// speak another protocol.
///
/// # Errors
/// The site speaks another protocol without being asked: its next bytes are nobody's answer.
pub fn settle(response: &mut ResponseHeader, upgrade: bool, version: Version) -> Result<()> {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        if !upgrade {
            let error = Error::explain(ErrorType::InvalidHTTPHeader, "the site changes protocols without being asked");
            return Err(error.into_up());
        }
        return Ok(());
    }
    // RFC 9110, 8.6 and RFC 9112, 6.1. What a site sends behind such a head is not read as its body, either.
    let has_no_body = response.status == StatusCode::NO_CONTENT || response.status.is_informational();
    // Pingora carries trailers from HTTP/2 to HTTP/2 only. RFC 9110, 6.6.2: whoever drops them need not announce them.
    let has_no_trailers = response.version != Version::HTTP_2 || version != Version::HTTP_2;
    // Over HTTP/1 Pingora says anew what becomes of the client's connection.
    let is_said_anew = version != Version::HTTP_2 && !response.status.is_informational();
    // Of few headers hardly one is among these: a look at each costs less than a search for each of these.
    let mut going = Vec::new();
    for (name, value) in &response.headers {
        let goes = match *name {
            header::CONTENT_LENGTH | header::TRANSFER_ENCODING => has_no_body,
            header::TRAILER => has_no_trailers,
            header::CONNECTION => {
                going.extend(nominated(value));
                !is_said_anew
            }
            _ => HOP_BY_HOP.contains(name),
        };
        if goes {
            going.push(name.clone());
        }
    }
    for name in going {
        response.remove_header(&name);
    }
    Ok(())
}

/// What a `Connection` names beside.
fn nominated(connection: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    // The usual ones are no names of headers, or go in any case.
    let words = members_of(connection.as_bytes())
        .filter(|word| !word.eq_ignore_ascii_case(b"close") && !word.eq_ignore_ascii_case(b"keep-alive"));
    let names = words.filter_map(|word| HeaderName::from_bytes(word).ok());
    names.filter(|name| !matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING))
}
