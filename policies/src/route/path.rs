//! The grammar of path patterns.

/// Longest pattern, in bytes.
pub const MAX_PATH_BYTES: usize = 1_024;
/// Most parameters of one pattern.
pub const MAX_PATH_PARAMETERS: usize = 16;

/// Checks a pattern and gives its shape: the pattern with its parameters numbered instead of named.
///
/// Two patterns of one shape match the same paths, so they are one place in the table. Only normal forms pass, since
/// the gateway matches normalised paths: a pattern with `//`, a dot segment, `;` or `%` would never match, and its
/// author would believe that something is guarded which is not (Envoy CVE-2019-9901, CVE-2026-73551, CVE-2026-73553).
pub(crate) fn check_pattern(pattern: &str) -> Result<String, String> {
    if pattern.len() > MAX_PATH_BYTES {
        return Err(format!("path is longer than {MAX_PATH_BYTES} bytes"));
    }
    let Some(rest) = pattern.strip_prefix('/') else {
        return Err(format!("path {pattern:?} must begin with '/'"));
    };
    let mut shape = String::with_capacity(pattern.len());
    let mut names: Vec<&str> = Vec::new();
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        shape.push('/');
        match parameter(segment) {
            Some((name, takes_rest)) => {
                check_parameter(pattern, name, takes_rest && !is_last, &names)?;
                names.push(name);
                let star = if takes_rest { "*" } else { "" };
                shape.push_str(&format!("{{{star}p{}}}", names.len()));
            }
            None => {
                check_segment(pattern, segment, is_last)?;
                shape.push_str(segment);
            }
        }
    }
    Ok(shape)
}

/// `{name}` or `{*name}`: the name, and whether it takes the rest of the path.
fn parameter(segment: &str) -> Option<(&str, bool)> {
    let inside = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(inside.strip_prefix('*').map_or((inside, false), |name| (name, true)))
}

fn check_parameter(pattern: &str, name: &str, rest_too_early: bool, names: &[&str]) -> Result<(), String> {
    let is_name = name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(format!("path {pattern:?}: a parameter is {{name}} or {{*name}} with letters, digits and '_'"));
    }
    if rest_too_early {
        return Err(format!("path {pattern:?}: {{*{name}}} takes the rest of the path and must come last"));
    }
    if names.contains(&name) {
        return Err(format!("path {pattern:?} has two parameters {name:?}"));
    }
    // matchit panics above 26.
    if names.len() >= MAX_PATH_PARAMETERS {
        return Err(format!("path {pattern:?} has more than {MAX_PATH_PARAMETERS} parameters"));
    }
    Ok(())
}

fn check_segment(pattern: &str, segment: &str, is_last: bool) -> Result<(), String> {
    if segment.is_empty() && !is_last {
        return Err(format!("path {pattern:?} has an empty segment \"//\""));
    }
    if matches!(segment, "." | "..") {
        return Err(format!("path {pattern:?} has a dot segment {segment:?}"));
    }
    if let Some(bad) = segment.chars().find(|c| !is_path_character(*c)) {
        let advice = match bad {
            '{' | '}' | '*' => "; a parameter is a whole segment, {name} or {*name}",
            '%' => "; write the path decoded",
            _ => "",
        };
        return Err(format!("path {pattern:?} has {bad:?}, which a path in normal form does not hold{advice}"));
    }
    Ok(())
}

/// RFC 3986 §3.3 `pchar` without `%` (compared decoded), `;` (path parameters confuse upstreams) and `*` (our syntax).
fn is_path_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~!$&'()+,=:@".contains(character)
}
