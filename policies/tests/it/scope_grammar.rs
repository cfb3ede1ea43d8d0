//! RFC 6749 §3.3 and Cognito's form.

use policies::*;

use crate::fixtures::scopes;

#[test]
fn the_last_slash_splits() {
    let split = |text: &str| {
        let scope: Scope = text.parse().unwrap();
        (scope.resource_server().to_owned(), scope.name().to_owned())
    };
    let pair = |identifier: &str, name: &str| (identifier.to_owned(), name.to_owned());
    assert_eq!(split("api/read"), pair("api", "read"));
    assert_eq!(split("https://x.example/test/hello-world"), pair("https://x.example/test", "hello-world"));
    assert_eq!(split("a/b/c"), pair("a/b", "c"));
    assert_eq!(split("a//c"), pair("a/", "c"));
    assert_eq!(split("//c"), pair("/", "c"));
    assert_eq!(split("portcullis/admin.read"), pair("portcullis", "admin.read"));
    assert_eq!(split("!#[]~/!#[]~"), pair("!#[]~", "!#[]~"));
}

#[test]
fn what_is_not_a_scope() {
    let long = "x".repeat(257);
    let good = "x".repeat(256);
    assert!(format!("{good}/{good}").parse::<Scope>().is_ok());
    let bad = [
        "",
        "/",
        "read",
        "api/",
        "/read",
        "api/re ad",
        "api read/x",
        "api/\"",
        "api/\\",
        "a\\b/c",
        "a\"/c",
        "api/ré",
        "api/read\n",
        "api/\tread",
        "api/read\u{7f}",
        "api/\0",
        " api/read",
        "api/read ",
    ];
    for text in bad.iter().copied().map(str::to_owned).chain([format!("{long}/x"), format!("x/{long}")]) {
        let error = text.parse::<Scope>().expect_err(&text);
        assert!(error.to_string().len() < 300, "a message is not as long as what it refuses");
    }
}

#[test]
fn every_byte_of_the_grammar_and_no_other() {
    for byte in 0..=u8::MAX {
        let allowed = byte == 0x21 || (0x23..=0x5B).contains(&byte) || (0x5D..=0x7E).contains(&byte);
        let Ok(text) = String::from_utf8(vec![b'a', b'/', byte]) else { continue };
        assert_eq!(text.parse::<Scope>().is_ok(), allowed && byte != b'/', "byte {byte:#x}");
    }
}

#[test]
fn scopes_are_compared_byte_for_byte() {
    let set = scopes("https://x.example/test/hello-world");
    assert!(set.contains("https://x.example/test/hello-world"));
    for near in [
        "https://x.example/test/hello-worldx",
        "https://x.example/test/hello-worl",
        "https://x.example/test/HELLO-WORLD",
        "HTTPS://x.example/test/hello-world",
        "https://x.example/test/hello%2Dworld",
        "https://x.example/test//hello-world",
        "hello-world",
    ] {
        assert!(!set.contains(near), "{near}");
    }
}

#[test]
fn lists_are_split_on_single_spaces() {
    let list = |text: &str| ScopeSet::parse_list(text).map(|set| set.to_string());
    assert_eq!(list("").unwrap(), "");
    assert_eq!(list("api/b api/a").unwrap(), "api/a api/b");
    assert_eq!(list("api/a api/a api/a").unwrap(), "api/a");
    for bad in
        [" ", "api/a ", " api/a", "api/a  api/b", "api/a\tapi/b", "api/a,api/b c", "api/a\napi/b", "api/a api", "\""]
    {
        assert!(list(bad).is_err(), "{bad:?}");
    }
    assert!(list(&"api/a ".repeat(20_000)).is_err(), "lists are bounded");
}

#[test]
fn sets_do_what_sets_do() {
    let (ab, bc) = (scopes("a b"), scopes("b c"));
    assert_eq!(ab.intersection(&bc), scopes("b"));
    assert_eq!(ab.union(&bc), scopes("a b c"));
    assert_eq!(ab.union(&scopes("a")), ab);
    assert!(ab.intersects(&bc) && !ab.intersects(&scopes("c")));
    assert!(scopes("b").is_subset(&ab) && !ab.is_subset(&bc) && ScopeSet::default().is_subset(&ab));
    assert_eq!((ab.len(), ab.is_empty(), ScopeSet::default().is_empty()), (2, false, true));
    assert!(ab.contains(ab.iter().next().unwrap()));
}

#[test]
fn requirements() {
    let granted = scopes("a b");
    assert!(ScopeRequirement::None.is_met(&ScopeSet::default()));
    assert!(ScopeRequirement::Any(scopes("b c")).is_met(&granted));
    assert!(!ScopeRequirement::All(scopes("b c")).is_met(&granted));
    assert!(ScopeRequirement::All(scopes("a b")).is_met(&granted));
    assert!(!ScopeRequirement::Any(scopes("")).is_met(&granted));
    assert!(!ScopeRequirement::All(scopes("")).is_met(&granted));
}

#[test]
fn admin_scopes_are_built_in() {
    assert_eq!(ADMIN_SCOPES, [ADMIN_READ, ADMIN_WRITE]);
    for scope in ADMIN_SCOPES {
        let scope: Scope = scope.parse().unwrap();
        assert_eq!(scope.resource_server(), RESERVED_RESOURCE_SERVER);
        assert!(Policy::default().has_scope(&scope));
    }
    assert!(!Policy::default().has_scope(&"portcullis/admin".parse().unwrap()));
    assert!(is_reserved_scope(INTROSPECT));
    assert!(!is_reserved_scope("portcullis/admin.readx"));
}
