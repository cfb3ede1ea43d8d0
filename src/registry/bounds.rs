//! How large what people type may be.

use crate::failure::Refusal;

/// Names of partners, keys and secrets, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 128;
/// A partner's contact, in characters.
pub(crate) const CONTACT_CHARS_MAX: usize = 256;
/// A client's description, a policy's comment, a reason: in characters.
pub(crate) const REMARK_CHARS_MAX: usize = 512;
/// Scopes of one client or credential.
pub(crate) const SCOPES_MAX: usize = 50;
/// Networks of one client or credential.
pub(crate) const NETWORKS_MAX: usize = 100;

/// One line of text. Control characters are refused: a name with a line break forges log lines and terminal output.
pub(crate) fn line(what: &str, text: &str, chars_max: usize) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::invalid("text_empty", format!("The {what} is empty.")));
    }
    if text.chars().count() > chars_max {
        return Err(Refusal::invalid("text_too_long", format!("The {what} has more than {chars_max} characters.")));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid("text_not_plain", format!("The {what} has control characters.")));
    }
    Ok(())
}

/// As [`line`], when there is one.
pub(crate) fn optional_line(what: &str, text: Option<&str>, chars_max: usize) -> Result<(), Refusal> {
    text.map_or(Ok(()), |text| line(what, text, chars_max))
}

/// A list of at most `max` entries.
pub(crate) fn list(what: &str, list: &[String], max: usize) -> Result<(), Refusal> {
    if list.len() > max {
        return Err(Refusal::invalid("list_too_long", format!("More than {max} {what} are given.")));
    }
    Ok(())
}
