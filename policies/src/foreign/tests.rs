use super::*;

const OWN: &str = "api.example.com";

fn rules(permitted: &[&str], mappings: &[&str]) -> Result<ForeignRules, Vec<String>> {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    ForeignRules::parse(&owned(permitted), &owned(mappings), OWN)
}

fn uri(text: &str) -> PresentedNames {
    PresentedNames { uris: vec![text.to_owned()], ..PresentedNames::default() }
}

fn dns(text: &str) -> PresentedNames {
    PresentedNames { dns: vec![text.to_owned()], ..PresentedNames::default() }
}

fn acme() -> ForeignRules {
    rules(
        &["uri:spiffe://acme.example/m2m/", "dns:.m2m.acme.example", "email:@acme.example"],
        &[
            "uri:spiffe://acme.example/m2m/{name}=acme-{name}",
            "uri:spiffe://acme.example/m2m/special=acme-special",
            "dns:{name}.m2m.acme.example=acme-{name}",
            "email:orders@acme.example=acme-orders",
        ],
    )
    .unwrap()
}

#[test]
fn a_name_means_the_client_that_the_operator_says() {
    let rules = acme();
    let client = |presented: &PresentedNames| rules.client_of(presented).map(|client| client.to_string());
    assert_eq!(client(&uri("spiffe://acme.example/m2m/orders")).unwrap(), "acme-orders");
    assert_eq!(client(&dns("orders.m2m.acme.example")).unwrap(), "acme-orders");
    assert_eq!(client(&dns("ORDERS.M2M.Acme.Example")).unwrap(), "acme-orders");
    let mail = PresentedNames { emails: vec!["orders@ACME.example".into()], ..PresentedNames::default() };
    assert_eq!(client(&mail).unwrap(), "acme-orders");
    // Two names of one client are one client.
    let both =
        PresentedNames { dns: vec!["orders.m2m.acme.example".into()], ..uri("spiffe://acme.example/m2m/orders") };
    assert_eq!(client(&both).unwrap(), "acme-orders");
}

#[test]
fn a_name_of_somebody_else_spoils_the_certificate() {
    let rules = acme();
    for foreign in [
        uri("spiffe://globex.example/m2m/orders"),
        uri("spiffe://acme.example/m2m"),
        uri("spiffe://acme.example/humans/eve"),
        uri("spiffe://acme.example.evil.example/m2m/orders"),
        uri("spiffe://api.example.com/partner/globex/client/globex-orders"),
        dns("m2m.acme.example"),
        dns("orders.m2m.acme.example.evil.example"),
        dns("evilm2m.acme.example"),
        PresentedNames { emails: vec!["orders@sub.acme.example".into()], ..PresentedNames::default() },
    ] {
        assert!(matches!(rules.client_of(&foreign), Err(ForeignRefusal::NotPermitted(_))), "{foreign:?}");
        // Also beside a good one.
        let mut beside = uri("spiffe://acme.example/m2m/orders");
        beside.dns.extend(foreign.dns.clone());
        beside.uris.extend(foreign.uris.clone());
        beside.emails.extend(foreign.emails.clone());
        assert!(matches!(rules.client_of(&beside), Err(ForeignRefusal::NotPermitted(_))), "{beside:?}");
    }
    let addressed = PresentedNames { others: 1, ..uri("spiffe://acme.example/m2m/orders") };
    assert_eq!(rules.client_of(&addressed), Err(ForeignRefusal::OtherKinds(1)));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let rules = acme();
    for odd in [
        uri("spiffe://acme.example/m2m/*"),
        uri("spiffe://acme.example/m2m/../humans"),
        uri("spiffe://acme.example/m2m/./orders"),
        uri("spiffe://acme.example/m2m//orders"),
        uri("spiffe://acme.example/m2m/orders/"),
        uri("spiffe://acme.example/m2m/%6frders"),
        uri("spiffe://ACME.example/m2m/orders"),
        uri("SPIFFE://acme.example/m2m/orders"),
        uri("spiffe://acme.example:443/m2m/orders"),
        uri("spiffe://eve@acme.example/m2m/orders"),
        uri("spiffe://acme.example/m2m/orders?x"),
        uri("spiffe://acme.example/m2m/orders#x"),
        uri("spiffe://acme.example/m2m/orders\0"),
        uri("spiffe://acme.example/m2m/ordérs"),
        uri("/m2m/orders"),
        uri(""),
        dns("*.m2m.acme.example"),
        dns("orders.m2m.acme.example."),
        dns("orders\0.m2m.acme.example"),
        dns("orders..m2m.acme.example"),
        dns(" orders.m2m.acme.example"),
        PresentedNames { emails: vec!["orders@evil@acme.example".into()], ..PresentedNames::default() },
        PresentedNames { emails: vec!["\"orders\"@acme.example".into()], ..PresentedNames::default() },
    ] {
        assert!(matches!(rules.client_of(&odd), Err(ForeignRefusal::NotCanonical(_))), "{odd:?}");
    }
}

#[test]
fn a_template_takes_one_segment_and_no_more() {
    let rules = acme();
    assert_eq!(rules.client_of(&uri("spiffe://acme.example/m2m/a/b")), Err(ForeignRefusal::Unmapped));
    assert_eq!(rules.client_of(&dns("a.b.m2m.acme.example")), Err(ForeignRefusal::Unmapped));
    assert_eq!(
        rules.client_of(&uri("spiffe://acme.example/m2m/a~b")),
        Err(ForeignRefusal::NoClientId("acme-a~b".into()))
    );
}

#[test]
fn two_clients_are_none() {
    let rules = acme();
    let two =
        PresentedNames { dns: vec!["billing.m2m.acme.example".into()], ..uri("spiffe://acme.example/m2m/orders") };
    assert!(matches!(rules.client_of(&two), Err(ForeignRefusal::Ambiguous(..))));
    // The same client by a template and by its pair.
    assert_eq!(rules.client_of(&uri("spiffe://acme.example/m2m/special")).unwrap().as_str(), "acme-special");
    let clashing =
        self::rules(&["dns:.acme.example"], &["dns:{name}.acme.example=acme-{name}", "dns:orders.acme.example=other"]);
    assert!(matches!(clashing.unwrap().client_of(&dns("orders.acme.example")), Err(ForeignRefusal::Ambiguous(..))));
}

#[test]
fn a_common_name_counts_only_where_a_rule_reads_it() {
    let named = |name: &str| PresentedNames { common_name: Some(name.to_owned()), ..PresentedNames::default() };
    assert_eq!(acme().client_of(&named("orders")), Err(ForeignRefusal::Unmapped));
    let rules = rules(&["other"], &["cn:Acme Orders=acme-orders", "cn:acme {name}=acme-{name}"]).unwrap();
    assert_eq!(rules.client_of(&named("Acme Orders")).unwrap().as_str(), "acme-orders");
    assert_eq!(rules.client_of(&named("acme billing")).unwrap().as_str(), "acme-billing");
    assert_eq!(rules.client_of(&named("acme a b")), Err(ForeignRefusal::Unmapped));
    assert_eq!(rules.client_of(&named("acme orders")).unwrap().as_str(), "acme-orders");
    assert!(matches!(rules.client_of(&named("Acme\0Orders")), Err(ForeignRefusal::NotCanonical(_))));
    assert_eq!(rules.client_of(&PresentedNames { others: 3, ..named("Acme Orders") }).unwrap().as_str(), "acme-orders");
    // Such a certificate has no other names: they would be names that this authority may not speak for.
    let with_host = PresentedNames { dns: vec!["acme.example".into()], ..named("Acme Orders") };
    assert!(matches!(rules.client_of(&with_host), Err(ForeignRefusal::NotPermitted(_))));
}

#[test]
fn rules_that_bound_nothing_are_refused() {
    for permitted in [
        "uri:spiffe://",
        "uri:spiffe:///",
        "uri:/",
        "uri:",
        "uri:*",
        "dns:.",
        "dns:.example",
        "dns:*",
        "dns:",
        "email:@",
        "cn:x",
        "x",
        "",
        "uri:urn:acme/",
        "uri:spiffe://acme.example:",
    ] {
        assert!(permitted.parse::<PermittedName>().is_err(), "{permitted}");
    }
    for mapping in [
        "uri:spiffe://{name}/orders=acme-{name}",
        "uri:{name}://acme.example/orders=acme-{name}",
        "uri:spiffe://acme.example/{name}/{name}=acme-{name}",
        "uri:spiffe://acme.example/{name}=acme-orders",
        "uri:spiffe://acme.example/orders=acme-{name}",
        "uri:spiffe://acme.example/{other}=acme-{other}",
        "dns:{name}.example=acme-{name}",
        "dns:acme.{name}=acme-{name}",
        "dns:{name}=acme-{name}",
        "dns:*.acme.example=acme-orders",
        "email:orders@{name}=acme-{name}",
        "cn:a=b c",
        "dns:acme.example",
        "=",
    ] {
        assert!(mapping.parse::<Mapping>().is_err(), "{mapping}");
    }
}

#[test]
fn every_fault_of_the_rules_is_listed() {
    let faults = rules(
        &["uri:spiffe://api.example.com/partner/acme/", "uri:spiffe://api.example.com/x", "nothing"],
        &["dns:orders.acme.example=acme-orders", "dns:orders.acme.example=acme-billing", "?"],
    )
    .unwrap_err();
    assert_eq!(faults.len(), 7, "{faults:#?}");
    assert_eq!(rules(&["dns:.acme.example"], &[]).unwrap_err().len(), 1);
    // Somebody else's trust domain that begins like ours is somebody else's.
    assert!(
        rules(&["uri:spiffe://api.example.com.acme.example/"], &["uri:spiffe://api.example.com.acme.example/a=b"])
            .is_ok()
    );
}

#[test]
fn rules_read_as_they_are_written() {
    for text in [
        "dns:.acme.example",
        "uri:spiffe://acme.example/m2m/",
        "uri:urn:acme:m2m:",
        "email:@acme.example",
        "other",
        "dns:a.b",
    ] {
        assert_eq!(text.parse::<PermittedName>().unwrap().to_string(), text);
    }
    for text in ["uri:urn:acme:m2m:{name}={name}", "cn:Acme {name}={name}-x", "dns:a-{name}.acme.example=acme-{name}"] {
        assert_eq!(text.parse::<Mapping>().unwrap().to_string(), text);
    }
}

#[test]
fn too_many_names_are_not_looked_at() {
    let many = PresentedNames {
        dns: vec!["orders.m2m.acme.example".into(); MAX_FOREIGN_NAMES + 1],
        ..PresentedNames::default()
    };
    assert_eq!(acme().client_of(&many), Err(ForeignRefusal::TooManyNames));
}
