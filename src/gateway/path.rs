//! One spelling for every path. What two programs may read differently is refused, so that the bytes that are matched
//! against the routes are the bytes that the upstream gets.

/// Longest path that is judged.
const PATH_BYTES_MAX: usize = 4096;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathFault {
    #[error("the path must start with a slash")]
    NoSlash,
    #[error("the path is longer than 4096 bytes")]
    TooLong,
    #[error("empty path segments (//) are not allowed")]
    EmptySegment,
    #[error("dot segments (. and ..) are not allowed")]
    DotSegment,
    #[error("backslashes and semicolons are not allowed in a path")]
    Separator,
    #[error("percent-encoded separators, control characters and % itself are not allowed")]
    EncodedSeparator,
    #[error("characters that may stand as they are in a path must not be percent-encoded")]
    EncodedUnreserved,
    #[error("a percent sign must be followed by two hexadecimal digits")]
    BadEncoding,
    #[error("the percent-encoded bytes are not UTF-8")]
    NotUtf8,
    #[error("the path holds a character that a URL may not")]
    BadCharacter,
}

/// A path in its one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NormalPath<'a>(&'a str);

impl<'a> NormalPath<'a> {
    /// Takes the raw path of a request (no query).
    pub(super) fn parse(raw: &'a str) -> Result<Self, PathFault> {
        let bytes = raw.as_bytes();
        if bytes.first() != Some(&b'/') {
            return Err(PathFault::NoSlash);
        }
        if bytes.len() > PATH_BYTES_MAX {
            return Err(PathFault::TooLong);
        }
        let mut encoded = false;
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'%' => {
                    let decoded = decode(bytes.get(at + 1..at + 3)).ok_or(PathFault::BadEncoding)?;
                    match decoded {
                        // `/admin%2f..`, `%5c`, `%00`, `%25xx` (double encoding), `%3b`: CVE-2021-29492 and its kin.
                        b'/' | b'\\' | b'%' | b';' | b'?' | b'#' | 0..=0x1f | 0x7f => {
                            return Err(PathFault::EncodedSeparator);
                        }
                        // `/%61dmin` would miss the rule for /admin and still reach it upstream.
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                            return Err(PathFault::EncodedUnreserved);
                        }
                        // The same for what may stand literally: `/v1/orders%3Acancel` would miss the rule for
                        // /v1/orders:cancel, match /v1/{name}, and be decoded by whoever is behind us.
                        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => {
                            return Err(PathFault::EncodedUnreserved);
                        }
                        _ => encoded = true,
                    }
                    at += 2;
                }
                b'\\' | b';' => return Err(PathFault::Separator),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {}
                b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b','
                | b'=' | b':' | b'@' => {}
                _ => return Err(PathFault::BadCharacter),
            }
            at += 1;
        }
        let mut segments = raw[1..].split('/').peekable();
        while let Some(segment) = segments.next() {
            match segment {
                "" if segments.peek().is_some() => return Err(PathFault::EmptySegment),
                "." | ".." => return Err(PathFault::DotSegment),
                _ => {}
            }
        }
        if encoded && percent_encoding::percent_decode_str(raw).decode_utf8().is_err() {
            return Err(PathFault::NotUtf8);
        }
        Ok(Self(raw))
    }

    pub(super) fn as_str(self) -> &'a str {
        self.0
    }
}

fn decode(digits: Option<&[u8]>) -> Option<u8> {
    let [high, low] = digits? else { return None };
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    u8::try_from(value(high)? * 16 + value(low)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{NormalPath, PathFault};

    #[test]
    fn ordinary_paths_pass() {
        for path in ["/", "/test/hello-world", "/a/", "/a.b/c~d", "/with%20space/%C3%A9", "/@x:y,z=(1)!*'"] {
            assert_eq!(NormalPath::parse(path).map(NormalPath::as_str), Ok(path));
        }
    }

    #[test]
    fn every_confusing_spelling_is_refused() {
        for (path, fault) in [
            ("*", PathFault::NoSlash),
            ("", PathFault::NoSlash),
            ("//", PathFault::EmptySegment),
            ("/a//b", PathFault::EmptySegment),
            ("/a/../b", PathFault::DotSegment),
            ("/a/.", PathFault::DotSegment),
            ("/a/%2e%2e/b", PathFault::EncodedUnreserved),
            ("/a/.%2e/b", PathFault::EncodedUnreserved),
            ("/%61dmin", PathFault::EncodedUnreserved),
            ("/v1/orders%3Acancel", PathFault::EncodedUnreserved),
            ("/users/%40me", PathFault::EncodedUnreserved),
            ("/a%2Bb", PathFault::EncodedUnreserved),
            ("/a%2fb", PathFault::EncodedSeparator),
            ("/a%2Fb", PathFault::EncodedSeparator),
            ("/a%5cb", PathFault::EncodedSeparator),
            ("/a%00", PathFault::EncodedSeparator),
            ("/a%252fb", PathFault::EncodedSeparator),
            ("/a%3bx", PathFault::EncodedSeparator),
            ("/a;x=y", PathFault::Separator),
            ("/a/..;/b", PathFault::Separator),
            ("/a\\b", PathFault::Separator),
            ("/a%", PathFault::BadEncoding),
            ("/a%zz", PathFault::BadEncoding),
            ("/%ff", PathFault::NotUtf8),
            ("/%c0%af", PathFault::NotUtf8),
            ("/a{b}", PathFault::BadCharacter),
            ("/a|b", PathFault::BadCharacter),
        ] {
            assert_eq!(NormalPath::parse(path), Err(fault), "{path}");
        }
    }

    proptest! {
        /// Decoding a path that passed yields the same segments: no separator and no dot segment can appear later.
        #[test]
        fn decoding_never_changes_the_structure(path in "/[ -~]{0,60}") {
            if let Ok(normal) = NormalPath::parse(&path) {
                let decoded = percent_encoding::percent_decode_str(normal.as_str()).decode_utf8().unwrap();
                prop_assert_eq!(decoded.split('/').count(), path.split('/').count());
                prop_assert!(decoded.split('/').all(|segment| segment != "." && segment != ".."));
                // One place, one spelling: what it decodes to is itself, or is not a path that could be asked for.
                prop_assert!(decoded == path || NormalPath::parse(&decoded).is_err());
            }
        }
    }
}
