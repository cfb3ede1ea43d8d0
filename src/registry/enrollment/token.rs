//! The text of an enrolment token: `pe_<env>_<id>_<secret><checksum>`, shaped like an API key so that leak scanners know it, and
//! with a first word of its own so that neither passes for the other.

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::failure::Fault;
use crate::registry::api_key::is_environment;
use crate::registry::{Pepper, base62};

/// The first word of every token.
const PREFIX: &str = "pe_";
/// Base62 characters of the public part.
const ID_CHARS: usize = 12;
/// Base62 characters of the secret part: 190 bits.
const SECRET_CHARS: usize = 32;
/// Base62 characters of the CRC-32.
const CHECKSUM_CHARS: usize = 6;
/// Longer text is no token, whatever it says.
const TOKEN_CHARS_MAX: usize = 128;
/// Keeps the HMACs of tokens apart from those of other secrets.
const DOMAIN: &str = "enrollment";

/// A token as it was presented: well-formed, and not yet known to be good.
#[derive(Clone, Copy)]
pub struct PresentedToken<'a> {
    id: &'a str,
    secret: &'a str,
}

impl<'a> PresentedToken<'a> {
    /// Takes the text apart without a copy. `None` when the shape or the checksum is wrong.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > TOKEN_CHARS_MAX || !text.is_ascii() {
            return None;
        }
        let (environment, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let (id, tail) = rest.split_once('_')?;
        let shaped = is_environment(environment)
            && id.len() == ID_CHARS
            && base62::is_base62(id)
            && tail.len() == SECRET_CHARS + CHECKSUM_CHARS
            && base62::is_base62(tail);
        if !shaped {
            return None;
        }
        let (body, end) = text.split_at_checked(text.len() - CHECKSUM_CHARS)?;
        end.chars().eq(checksum(body)).then_some(Self { id, secret: &tail[..SECRET_CHARS] })
    }

    /// The public part, under which the enrolment is looked up.
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// What must equal the stored HMAC, in constant time. Compute it for unknown ids too, so that the time taken does not say
    /// which ids exist.
    pub fn mac(&self, pepper: &Pepper) -> [u8; 32] {
        pepper.hmac(DOMAIN, self.secret.as_bytes())
    }
}

impl std::fmt::Debug for PresentedToken<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PresentedToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// CRC-32 of all that stands before it.
fn checksum(body: &str) -> [char; CHECKSUM_CHARS] {
    base62::six_digits(crc32fast::hash(body.as_bytes())).map(char::from)
}

/// A token that was just made.
pub(super) struct MintedToken {
    pub(super) id: String,
    pub(super) hmac: [u8; 32],
    /// The whole text, to be shown once.
    pub(super) text: SecretString,
}

impl MintedToken {
    /// Makes a token of an environment.
    pub(super) fn random(environment: &str, pepper: &Pepper) -> Result<Self, Fault> {
        if !is_environment(environment) {
            return Err(Fault::new(format!("the environment {environment:?} is not [a-z0-9]{{1,16}}")));
        }
        let (id, secret) = (base62::random(ID_CHARS)?.to_string(), base62::random(SECRET_CHARS)?);
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_CHARS_MAX));
        for part in [PREFIX, environment, "_", &id, "_", &secret] {
            text.push_str(part);
        }
        let checksum = checksum(&text);
        text.extend(checksum);
        Ok(Self { id, hmac: pepper.hmac(DOMAIN, secret.as_bytes()), text: SecretString::from(text.as_str()) })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::{MintedToken, PresentedToken};
    use crate::registry::{Pepper, PresentedApiKey};

    #[test]
    fn a_token_is_read_back_and_nothing_like_it() {
        let pepper = Pepper::from_bytes(&[7; 32]);
        let minted = MintedToken::random("demo", &pepper).unwrap();
        let text = minted.text.expose_secret();
        let presented = PresentedToken::parse(text).unwrap();
        assert_eq!((presented.id(), presented.mac(&pepper)), (minted.id.as_str(), minted.hmac));
        assert!(PresentedApiKey::parse(text).is_none());
        for index in 0..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[index] = if wrong[index] == b'a' { b'b' } else { b'a' };
            assert!(PresentedToken::parse(std::str::from_utf8(&wrong).unwrap()).is_none(), "{index}");
        }
        for text in ["", "pe_", "pe_demo_", &text[1..], &text[..text.len() - 1], &PresentedApiKey::example("demo")] {
            assert!(PresentedToken::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn no_debug_output_holds_the_secret() {
        let pepper = Pepper::from_bytes(&[7; 32]);
        let minted = MintedToken::random("demo", &pepper).unwrap();
        let text = minted.text.expose_secret();
        let shown = format!("{:?} {:?}", PresentedToken::parse(text).unwrap(), minted.text);
        assert!(!shown.contains(&text[text.len() - 20..]), "{shown}");
    }
}
