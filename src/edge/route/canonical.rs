//! One form for all the ways to write a path.
//!
//! A route that guards `/admin` must not be passed by as `//admin`, `/x/../admin` or `/%61dmin`, all of which many
//! servers take for the same. So routes are compared with the path as such a server would understand it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The path with escapes undone once (`%2F` included), `.` and `..` resolved and repeated slashes merged. What is no
/// UTF-8 becomes U+FFFD. A target that is no path, such as `*`, stays as it is.
pub fn canonical(path: &str) -> Cow<'_, str> {
    if !path.starts_with('/') || !is_odd(path.as_bytes()) {
        return Cow::Borrowed(path);
    }
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut out = String::with_capacity(decoded.len());
    let mut is_folder = true;
    for segment in decoded.split('/').skip(1) {
        is_folder = matches!(segment, "" | "." | "..");
        if segment == ".." {
            out.truncate(out.rfind('/').unwrap_or(0));
        } else if !is_folder {
            out.push('/');
            out.push_str(segment);
        }
    }
    if is_folder {
        out.push('/');
    }
    Cow::Owned(out)
}

/// Whether there is anything to do; for nearly all paths there is not.
fn is_odd(path: &[u8]) -> bool {
    path.windows(2).any(|pair| matches!(pair, b"//" | b"/.")) || path.contains(&b'%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_path_becomes_one() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("/a.b", "/a.b"),
            ("//", "/"),
            ("//admin", "/admin"),
            ("/a//b///", "/a/b/"),
            ("/./admin", "/admin"),
            ("/x/../admin", "/admin"),
            ("/x/..", "/"),
            ("/x/.", "/x/"),
            ("/../../admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/%2e%2E/admin", "/admin"),
            ("/x%2f..%2fadmin", "/admin"),
            ("/admin%2Fx", "/admin/x"),
            ("/%252e", "/%2e"),
            ("/100%", "/100%"),
            ("/%zz%4", "/%zz%4"),
            ("/.hidden", "/.hidden"),
            ("/...", "/..."),
            ("/%C3%A4", "/\u{e4}"),
            ("/%ff", "/\u{fffd}"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(canonical(path), expected, "{path}");
            assert!(path.contains("%25") || canonical(&canonical(path)) == expected, "{path} stays");
        }
    }
}
