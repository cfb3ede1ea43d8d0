//! Which route rules a path.

use policies::*;

use crate::fixtures::{route, scopes};

fn table(routes: Vec<Route>) -> RouteTable {
    RouteTable::new(routes).unwrap()
}

fn on(listeners: &[&str], route: Route) -> Route {
    let id = format!("{} on {}", route.id, listeners.join(","));
    Route { listeners: Some(listeners.iter().map(|name| (*name).to_owned()).collect()), id: id.into(), ..route }
}

fn faults(routes: Vec<Route>) -> Vec<String> {
    RouteTable::new(routes).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn static_beats_parameter_and_unknown_is_nothing() {
    let table = table(vec![
        route("GET", "/"),
        route("GET", "/orders"),
        route("GET", "/orders/{id}"),
        route("GET", "/orders/latest"),
        route("GET", "/orders/{id}/lines/{line}"),
        route("GET", "/files/{*rest}"),
        route("GET", "/files/readme"),
        route("GET", "/.well-known/x"),
    ]);
    let found = |path: &str| table.find("any", "GET", path).map(|route| route.path.clone());
    let is = |path: &str, pattern: &str| assert_eq!(found(path).as_deref(), Some(pattern), "{path}");
    is("/", "/");
    is("/orders", "/orders");
    is("/orders/7", "/orders/{id}");
    is("/orders/latest", "/orders/latest");
    is("/orders/latestx", "/orders/{id}");
    is("/orders/late", "/orders/{id}");
    is("/orders/7/lines/3", "/orders/{id}/lines/{line}");
    is("/orders/latest/lines/3", "/orders/{id}/lines/{line}");
    is("/files/a/b/c", "/files/{*rest}");
    is("/files/readme", "/files/readme");
    is("/files/readme/x", "/files/{*rest}");
    is("/.well-known/x", "/.well-known/x");
    for path in [
        "",
        "orders",
        "/orders/",
        "/Orders",
        "/orders/7/",
        "/orders//lines/3",
        "/orders/7/lines",
        "/files",
        "/files/",
        "/x",
    ] {
        assert_eq!(found(path), None, "{path}");
    }
    assert!(RouteTable::default().find("any", "GET", "/").is_none());
}

#[test]
fn methods_are_exact_and_head_inherits_get() {
    let table = table(vec![route("GET,POST", "/a"), route("GET", "/b"), route("HEAD", "/b"), route("POST", "/c")]);
    let found = |method: &str, path: &str| table.find("any", method, path).map(|route| route.id.to_string());
    assert_eq!(found("HEAD", "/a").as_deref(), Some("GET,POST /a"));
    assert_eq!(found("HEAD", "/b").as_deref(), Some("HEAD /b"));
    assert_eq!(found("HEAD", "/c"), None);
    for method in ["get", "PUT", "OPTIONS", "", "GETX"] {
        assert_eq!(found(method, "/a"), None, "{method}");
    }
    assert_eq!(table.allowed_methods("any", "/a"), ["GET", "HEAD", "POST"]);
    assert_eq!(table.allowed_methods("any", "/b"), ["GET", "HEAD"]);
    assert_eq!(table.allowed_methods("any", "/c"), ["POST"]);
    assert!(table.allowed_methods("any", "/d").is_empty());
}

#[test]
fn a_laxer_pattern_never_serves_a_stricter_path() {
    let table = table(vec![
        route("GET", "/orders/{id}"),
        route("POST", "/orders/admin"),
        route("GET", "/shop/{*rest}"),
        on(&["mtls"], route("GET", "/shop/payments")),
    ]);
    assert!(table.find("public", "GET", "/orders/admin").is_none(), "the path belongs to POST /orders/admin");
    assert!(table.find("public", "GET", "/shop/payments").is_none(), "the path belongs to the mtls listener");
    assert!(table.find("mtls", "GET", "/shop/payments").is_some());
    assert!(table.find("public", "GET", "/shop/books").is_some());
}

#[test]
fn another_spelling_of_a_stricter_path_has_no_route() {
    let table = table(vec![
        route("GET", "/{*rest}"),
        route("GET", "/admin"),
        route("GET", "/admin/{*rest}"),
        route("GET", "/users/{id}"),
        route("GET", "/users/Export"),
        route("GET", "/Both"),
        route("GET", "/both"),
    ]);
    let found = |path: &str| table.find("any", "GET", path).map(|route| route.path.clone());
    for path in [
        "/Admin",
        "/ADMIN",
        "/admin/",
        "/Admin/",
        "/ADMIN/x",
        "/aDmin/X/",
        "/Users/7",
        "/users/7/",
        "/users/export/",
        "/users/EXPORT",
    ] {
        assert_eq!(found(path), None, "{path}");
    }
    for (path, pattern) in [
        ("/admin/X", "/admin/{*rest}"),
        ("/admin/x/", "/admin/{*rest}"),
        ("/users/Seven", "/users/{id}"),
        ("/users/Export", "/users/Export"),
        ("/Both", "/Both"),
        ("/both", "/both"),
        ("/Else/Where/", "/{*rest}"),
        ("/", ""),
    ] {
        assert_eq!(found(path).as_deref(), Some(pattern).filter(|pattern| !pattern.is_empty()), "{path}");
    }
    assert!(table.allowed_methods("any", "/ADMIN/x").is_empty());
    assert_eq!(found("/users/export"), None, "in lower case, what is written with a capital is the other spelling");
}

#[test]
fn listeners() {
    let table = table(vec![on(&["a", "b"], route("GET", "/x")), on(&["c"], route("GET", "/x")), route("POST", "/x")]);
    let id = |listener: &str, method: &str| table.find(listener, method, "/x").map(|route| route.id.to_string());
    assert_eq!(id("a", "GET").as_deref(), Some("GET /x on a,b"));
    assert_eq!(id("b", "GET").as_deref(), Some("GET /x on a,b"));
    assert_eq!(id("c", "GET").as_deref(), Some("GET /x on c"));
    assert_eq!(id("d", "GET"), None);
    assert_eq!(id("d", "POST").as_deref(), Some("POST /x"));
    assert_eq!(table.allowed_methods("d", "/x"), ["POST"]);
    assert_eq!(table.routes().len(), 3);
}

#[test]
fn two_routes_for_one_thing_are_a_fault() {
    let named = |id: &str, route: Route| Route { id: id.into(), ..route };
    let twins = |one: Route, other: Route| faults(vec![named("one", one), named("two", other)]);
    let expected = "is already served by route one on the same listener";
    for (one, other) in [
        (route("GET", "/x"), route("GET", "/x")),
        (route("GET,POST", "/x"), route("POST,PUT", "/x")),
        (route("GET", "/x/{a}"), route("GET", "/x/{b}")),
        (route("GET", "/x/{*a}"), route("GET", "/x/{*b}")),
        (on(&["a"], route("GET", "/x")), route("GET", "/x")),
        (on(&["a", "b"], route("GET", "/x")), on(&["b", "c"], route("GET", "/x"))),
    ] {
        let faults = twins(one, other);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("route two: ") && faults[0].contains(expected), "{faults:?}");
    }
    assert!(RouteTable::new(vec![route("GET", "/x/{a}"), route("POST", "/x/{b}")]).is_ok());
    assert!(
        twins(route("GET", "/x/{a}"), route("GET", "/x/{*b}"))[0]
            .contains("as here and in \"/x/{a}\" of another route")
    );
    let same_id = faults(vec![named("one", route("GET", "/x")), named("one", route("GET", "/y"))]);
    assert_eq!(same_id, ["route one: another route has the same id; give each a name"]);
}

#[test]
fn routes_that_let_in_nobody_or_everybody_by_mistake() {
    let good = || route("GET", "/x");
    let one = |route: Route| {
        let faults = faults(vec![route]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults[0].clone()
    };
    assert!(one(Route { accept: vec![], ..good() }).contains("accept is empty"));
    let mut mixed = good();
    mixed.accept.push(AuthMethodSet::EMPTY);
    assert!(one(mixed).contains("a public route has no other alternatives"));
    let scoped = ScopeRequirement::Any(scopes("read"));
    assert!(one(Route { accept: Route::accept_anyone(), scopes: scoped, ..good() }).contains("no scopes"));
    assert!(one(Route { listeners: Some(vec![]), ..good() }).contains("could never be reached"));
    assert!(one(Route { methods: vec![], ..good() }).contains("methods is empty"));
    for method in ["CONNECT", "TRACE", "get", "", "GET POST", "G\u{c9}T", &"X".repeat(33)] {
        assert!(one(Route { methods: vec![method.to_owned()], ..good() }).contains("method"), "{method:?}");
    }
}

#[test]
fn patterns_are_in_normal_form() {
    let many: String = (0..=MAX_PATH_PARAMETERS).map(|n| format!("/{{p{n}}}")).collect();
    let long = format!("/{}", "x".repeat(MAX_PATH_BYTES));
    let bad = [
        "",
        "x",
        "*",
        "//",
        "/a//b",
        "/./a",
        "/a/.",
        "/a/..",
        "/../a",
        "/a;x=y",
        "/a/..;/b",
        "/a%2fb",
        "/a?b",
        "/a#b",
        "/a\\b",
        "/a\0b",
        "/a b",
        "/\u{e9}",
        "/{",
        "/}",
        "/{}",
        "/{*}",
        "/a{id}",
        "/{id}a",
        "/{a}{b}",
        "/{*rest}/a",
        "/{{a}}",
        "/{a b}",
        "/{1a}",
        "/{a}/{a}",
        "/a*",
        "/*rest",
        "/{a:int}",
        &many,
        &long,
    ];
    for path in bad {
        let faults = faults(vec![route("GET", path)]);
        assert_eq!(faults.len(), 1, "{path:?}: {faults:?}");
    }
    for path in [
        "/",
        "/a/",
        "/a/b.c",
        "/a/...",
        "/a/.b",
        "/{a}",
        "/{a}/",
        "/{*rest}",
        "/a/{b}/{*c}",
        "/~x/$y!/(z)",
        "/a:b@c,d=e&f'+",
    ] {
        assert!(RouteTable::new(vec![route("GET", path)]).is_ok(), "{path:?}");
    }
}

#[test]
fn a_table_grows_by_services_but_not_over_its_routes() {
    let table = table(vec![route("GET", "/x")]);
    let grown = table.with(vec![Route { action: Action::Service("token"), ..route("POST", "/oauth2/token") }]).unwrap();
    assert_eq!((table.routes().len(), grown.routes().len()), (1, 2));
    assert!(grown.find("any", "POST", "/oauth2/token").is_some());
    assert_eq!(table.with(vec![route("GET", "/x")]).unwrap_err()[0].index, 1);
}

#[test]
fn all_faults_of_all_routes_are_listed() {
    let routes = vec![
        route("get", "/a"),
        route("GET", "/b/../c"),
        route("GET", "/d"),
        route("GET", "/d"),
        route("TRACE", "/e;f"),
    ];
    let indices: Vec<usize> = RouteTable::new(routes).unwrap_err().iter().map(|fault| fault.index).collect();
    assert_eq!(indices, [0, 1, 3, 4, 4]);
    assert_eq!(faults(vec![route("GET", "/"); MAX_ROUTES + 1]).len(), 1);
}

#[test]
fn ten_thousand_routes() {
    let routes = (0..MAX_ROUTES).map(|n| route("GET", &format!("/r{n}/{{id}}"))).collect();
    let table = table(routes);
    assert_eq!(table.find("any", "GET", "/r9999/x").unwrap().path, "/r9999/{id}");
    assert!(table.find("any", "GET", "/r10000/x").is_none());
}
