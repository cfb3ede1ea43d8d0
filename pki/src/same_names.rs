//! Whether a request asks for exactly the names that a certificate has: what renewal by EST demands.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::certificate;
use crate::csr::{RequestedName, VerifiedRequest};
use crate::error::Error;
use crate::text;

/// Checks that subject and subjectAltName of the request are those of the certificate (RFC 7030 §4.2.2).
///
/// The new certificate is made from the register whatever the request says; this finds clients that hold one certificate and
/// believe to renew another. Which string type a name is written in does not count.
///
/// # Errors
/// [`Error::NamesDiffer`]; [`Error::MalformedCertificate`].
pub fn check_same_names(request: &VerifiedRequest, certificate_der: &[u8]) -> Result<(), Error> {
    let certificate = certificate::parse(certificate_der)?;
    let (_, parsed) = X509CertificationRequest::from_der(request.der())
        .map_err(|_| Error::MalformedCsr("it is not a PKCS#10 request"))?;
    let (asked, current) = (&parsed.certification_request_info.subject, certificate.subject());
    if attributes(asked) != attributes(current) {
        let (asked, current) = (text::shown(&asked.to_string()), text::shown(&current.to_string()));
        return Err(Error::NamesDiffer { what: "subject", asked, current });
    }
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| Error::MalformedCertificate("an extension is damaged"))?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let current: Vec<_> = names.iter().map(|name: &GeneralName<'_>| RequestedName::read(name)).collect();
    let asked = request.requested_names();
    if asked.len() != current.len() || !asked.iter().all(|name| current.contains(name)) {
        return Err(Error::NamesDiffer { what: "subjectAltName", asked: list(asked), current: list(&current) });
    }
    Ok(())
}

/// The attributes of each relative distinguished name, in order, those of one in any order.
fn attributes(name: &X509Name<'_>) -> Vec<Vec<(String, Vec<u8>)>> {
    let of_one = |rdn: &x509_parser::x509::RelativeDistinguishedName<'_>| {
        let mut attributes: Vec<_> = rdn
            .iter()
            .map(|attribute| {
                let value = attribute.as_str().map_or_else(|_| attribute.as_slice(), str::as_bytes);
                (attribute.attr_type().to_id_string(), value.to_vec())
            })
            .collect();
        attributes.sort_unstable();
        attributes
    };
    name.iter_rdn().map(of_one).collect()
}

fn list(names: &[RequestedName]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
