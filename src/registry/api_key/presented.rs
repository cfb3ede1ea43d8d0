//! The text of an API key: `pc_<env>_<id>_<secret><checksum>`.
//!
//! `_` is not in base62, so a double click takes the whole key; the prefix and the checksum let a leak scanner recognise a key
//! and tell it from one that was mistyped, and let the gate refuse rubbish without a look-up.

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::failure::Fault;
use crate::registry::Pepper;
use crate::registry::base62;

/// The first word of every key.
const PREFIX: &str = "pc_";
/// Letters and digits of the environment.
pub(super) const ENVIRONMENT_CHARS_MAX: usize = 16;
/// Base62 characters of the public part.
const ID_CHARS: usize = 10;
/// Base62 characters of the secret part: 190 bits.
const SECRET_CHARS: usize = 32;
/// Base62 characters of the CRC-32.
const CHECKSUM_CHARS: usize = 6;
/// Longer text is no key, whatever it says.
const KEY_CHARS_MAX: usize = 128;
/// Keeps the HMACs of keys apart from those of other secrets.
const DOMAIN: &str = "api-key";

/// A key as it was presented: well-formed, and not yet known to be good.
#[derive(Clone, Copy)]
pub struct PresentedApiKey<'a> {
    environment: &'a str,
    id: &'a str,
    secret: &'a str,
}

impl<'a> PresentedApiKey<'a> {
    /// Takes the text apart without a copy. `None` when the shape or the checksum is wrong.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > KEY_CHARS_MAX || !text.is_ascii() {
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
        end.chars().eq(checksum(body)).then_some(Self { environment, id, secret: &tail[..SECRET_CHARS] })
    }

    /// A well-formed key that no server issues, for documentation and for tests from outside: its id and secret are zeros.
    /// `environment` must be `[a-z0-9]{1,16}`, else it is not well-formed.
    pub fn example(environment: &str) -> String {
        let mut text = format!("{PREFIX}{environment}_{}_{}", "0".repeat(ID_CHARS), "0".repeat(SECRET_CHARS));
        text.extend(checksum(&text));
        text
    }

    /// Which installation it says that it opens.
    pub fn environment(&self) -> &'a str {
        self.environment
    }

    /// The public part, under which the key is looked up.
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// What must equal the stored HMAC, in constant time. Compute it for unknown ids too, so that the time taken does not say
    /// which ids exist.
    pub fn mac(&self, pepper: &Pepper) -> [u8; 32] {
        pepper.hmac(DOMAIN, self.secret.as_bytes())
    }
}

impl std::fmt::Debug for PresentedApiKey<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PresentedApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// `[a-z0-9]{1,16}`.
pub(in crate::registry) fn is_environment(text: &str) -> bool {
    (1..=ENVIRONMENT_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// CRC-32 of all that stands before it.
fn checksum(body: &str) -> [char; CHECKSUM_CHARS] {
    base62::six_digits(crc32fast::hash(body.as_bytes())).map(char::from)
}

/// A key that was just made.
pub(super) struct MintedApiKey {
    pub(super) id: String,
    /// `pc_<env>_<id>`.
    pub(super) prefix: String,
    /// The end of the checksum. It tells 24 bits about the secret's 190, for people to tell keys apart.
    pub(super) last4: String,
    pub(super) hmac: [u8; 32],
    /// The whole text, to be shown once.
    pub(super) text: SecretString,
}

impl MintedApiKey {
    /// Makes a key of an environment.
    pub(super) fn random(environment: &str, pepper: &Pepper) -> Result<Self, Fault> {
        if !is_environment(environment) {
            return Err(Fault::new(format!("the environment {environment:?} is not [a-z0-9]{{1,16}}")));
        }
        let id = base62::random(ID_CHARS)?.to_string();
        let prefix = format!("{PREFIX}{environment}_{id}");
        let secret = base62::random(SECRET_CHARS)?;
        let mut text = Zeroizing::new(String::with_capacity(KEY_CHARS_MAX));
        text.push_str(&prefix);
        text.push('_');
        text.push_str(&secret);
        let checksum = checksum(&text);
        text.extend(checksum);
        let hmac = pepper.hmac(DOMAIN, secret.as_bytes());
        Ok(Self { id, prefix, last4: checksum[2..].iter().collect(), hmac, text: SecretString::from(text.as_str()) })
    }
}
