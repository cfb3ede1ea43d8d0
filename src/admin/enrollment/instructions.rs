//! What a partner is told to paste: text that makes the key on the partner's machine, sends the request with the token, and puts
//! the certificate beside the key. The texts are whole: the CA's root is in them, so that the partner need not fetch and believe
//! one over the network first.

use pki::KeyAlgorithm;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::PENDING_RETRY_SECONDS;

const OPENSSL: &str = include_str!("openssl.sh");
const KEYTOOL: &str = include_str!("keytool.sh");
const POWERSHELL: &str = include_str!("powershell.ps1");
/// The part that the shell texts have in common.
const SEND: &str = include_str!("send.sh");
/// ub-common-name of X.520. A longer client id, or one that a tool would read as several names, stays out of the subject: nothing
/// is authorised by it.
const SUBJECT_CHARS_MAX: usize = 64;

/// The texts to send to a partner, whole and ready to paste. The token stands in them.
#[derive(Serialize, ToSchema)]
pub(super) struct Instructions {
    /// For a shell with openssl and curl.
    openssl: String,
    /// For a shell with Java's keytool and curl.
    keytool: String,
    /// For PowerShell; null for kinds of keys that .NET cannot make.
    powershell: Option<String>,
}

/// What the texts are about.
pub(super) struct Invitation<'a> {
    pub(super) client: &'a str,
    pub(super) token: &'a str,
    /// Where the request goes.
    pub(super) url: &'a str,
    /// The CA's root, PEM.
    pub(super) root_pem: &'a str,
    /// Whether the listener at `url` has a certificate under that root.
    pub(super) own_server_certificate: bool,
    pub(super) key: KeyAlgorithm,
}

impl Instructions {
    pub(super) fn of(invitation: &Invitation<'_>) -> Self {
        let kind = Kind::of(invitation.key);
        let fill = |template: &str| invitation.fill(&template.replace("{{SEND}}", SEND), &kind);
        Self {
            openssl: fill(OPENSSL),
            keytool: fill(KEYTOOL),
            powershell: kind.powershell.as_ref().map(|_| fill(POWERSHELL)),
        }
    }
}

impl Invitation<'_> {
    fn fill(&self, template: &str, kind: &Kind) -> String {
        // Client ids are letters, digits and `._+-`, and so need no quoting; a `+` means two names to openssl.
        let plain = self.client.len() <= SUBJECT_CHARS_MAX && !self.client.contains('+');
        let subject = if plain { self.client } else { "client" };
        let retry = PENDING_RETRY_SECONDS.to_string();
        let (key, request, join) = kind.powershell.unwrap_or_default();
        [
            ("{{ROOT}}", self.root_pem),
            ("{{CACERT}}", if self.own_server_certificate { "--cacert portcullis-ca.pem " } else { "" }),
            ("{{NAME}}", self.client),
            ("{{ALIAS}}", &self.client.to_ascii_lowercase()),
            ("{{OPENSSL_KEY}}", kind.openssl),
            ("{{KEYTOOL_KEY}}", kind.keytool),
            ("{{POWERSHELL_KEY}}", key),
            ("{{POWERSHELL_REQUEST}}", request),
            ("{{POWERSHELL_JOIN}}", join),
            ("{{SUBJECT}}", subject),
            ("{{URL}}", self.url),
            ("{{RETRY}}", &retry),
            ("{{TOKEN}}", self.token),
        ]
        .into_iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

/// How each tool is asked for a kind of key.
struct Kind {
    openssl: &'static str,
    keytool: &'static str,
    /// How the key is made, what the request takes, and the class that joins key and certificate.
    powershell: Option<(&'static str, &'static str, &'static str)>,
}

macro_rules! ecdsa {
    ($openssl:literal, $bits:literal, $hash:literal) => {
        Kind {
            openssl: concat!("-newkey ec -pkeyopt ec_paramgen_curve:", $openssl, " -", $hash),
            keytool: concat!("-keyalg EC -keysize ", $bits),
            powershell: Some((
                concat!(
                    "[Security.Cryptography.ECDsa]::Create([Security.Cryptography.ECCurve]::CreateFromFriendlyName('nistP",
                    $bits,
                    "'))"
                ),
                "'CN={{SUBJECT}}', $key, ([Security.Cryptography.HashAlgorithmName]::SHA256)",
                "Security.Cryptography.X509Certificates.ECDsaCertificateExtensions",
            )),
        }
    };
}

macro_rules! rsa {
    ($bits:literal) => {
        Kind {
            openssl: concat!("-newkey rsa:", $bits, " -sha256"),
            keytool: concat!("-keyalg RSA -keysize ", $bits),
            powershell: Some((
                concat!("[Security.Cryptography.RSA]::Create(", $bits, ")"),
                "'CN={{SUBJECT}}', $key, ([Security.Cryptography.HashAlgorithmName]::SHA256), \
                 ([Security.Cryptography.RSASignaturePadding]::Pkcs1)",
                "Security.Cryptography.X509Certificates.RSACertificateExtensions",
            )),
        }
    };
}

impl Kind {
    fn of(key: KeyAlgorithm) -> Self {
        match key {
            KeyAlgorithm::EcdsaP256 => ecdsa!("P-256", "256", "sha256"),
            KeyAlgorithm::EcdsaP384 => ecdsa!("P-384", "384", "sha384"),
            KeyAlgorithm::Ed25519 => Self { openssl: "-newkey ed25519", keytool: "-keyalg Ed25519", powershell: None },
            KeyAlgorithm::Rsa2048 => rsa!("2048"),
            KeyAlgorithm::Rsa3072 => rsa!("3072"),
            KeyAlgorithm::Rsa4096 => rsa!("4096"),
        }
    }
}

#[cfg(test)]
mod tests {
    use pki::KeyAlgorithm;

    use super::{Instructions, Invitation};

    fn texts(client: &str, key: KeyAlgorithm, own_server_certificate: bool) -> Vec<String> {
        let invitation = Invitation {
            client,
            token: "pe_test_TOKEN",
            url: "https://gate.example.com/v1/enroll",
            root_pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            own_server_certificate,
            key,
        };
        let Instructions { openssl, keytool, powershell } = Instructions::of(&invitation);
        [openssl, keytool].into_iter().chain(powershell).collect()
    }

    #[test]
    fn no_place_is_left_open() {
        for key in KeyAlgorithm::ALL {
            let texts = texts("acme-orders", key, true);
            assert_eq!(texts.len(), if key == KeyAlgorithm::Ed25519 { 2 } else { 3 });
            for text in texts {
                assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
                for part in
                    ["Bearer pe_test_TOKEN", "https://gate.example.com/v1/enroll", "acme-orders", "BEGIN CERTIFICATE"]
                {
                    assert!(text.contains(part), "{part} is not in {text}");
                }
            }
        }
    }

    #[test]
    fn a_listener_with_a_certificate_from_outside_is_trusted_as_the_partner_trusts_others() {
        for (own, expected) in [(true, true), (false, false)] {
            let texts = texts("acme-orders", KeyAlgorithm::EcdsaP256, own);
            assert_eq!(texts.iter().filter(|text| text.contains("--cacert")).count() == 2, expected);
        }
    }

    #[test]
    fn a_name_that_means_two_is_not_put_into_the_subject() {
        for client in ["a+b", &"a".repeat(65)] {
            assert!(
                texts(client, KeyAlgorithm::Rsa3072, true).iter().all(|text| text.contains("CN=client")),
                "{client}"
            );
        }
    }
}
