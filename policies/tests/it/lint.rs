//! What `policy check` remarks on documents without faults.

use policies::*;

/// Nothing to remark.
const GOOD: &str = r#"
[[resource_server]]
identifier = "api"
scopes = [{ name = "read" }, { name = "write" }]

[[network]]
name = "office"
cidrs = ["203.0.113.0/24"]

[[usage_plan]]
name = "standard"
throttle = { rate = 50, burst = 100 }

[[partner]]
id = "acme"
networks = ["office"]

[[client]]
id = "acme-orders"
partner = "acme"
scopes = ["api/read", "api/write"]
networks = ["office"]
usage_plan = "standard"

[[route]]
name = "orders"
methods = ["GET"]
path = "/orders/{id}"
accept = [["mutual_tls"], ["bearer"]]
scopes = { any = ["api/read"] }
networks = ["office"]
action = { mock = {} }
"#;

fn warnings_of(text: &str, around: &Surroundings) -> Vec<String> {
    let documents = [Document::new("p.toml", text)];
    let (_, warnings) = Policy::lint(&documents, around)
        .unwrap_or_else(|faults| panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    warnings.iter().map(ToString::to_string).collect()
}

/// [`GOOD`] with `from` replaced, taken alone.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    warnings_of(&GOOD.replacen(from, to, 1), &Surroundings::default())
}

fn more(text: &str) -> Vec<String> {
    warnings_of(&format!("{GOOD}{text}"), &Surroundings::default())
}

#[test]
fn good_documents_get_no_remark() {
    assert_eq!(warnings_of(GOOD, &Surroundings::default()), [""; 0]);
}

#[test]
fn what_nobody_uses() {
    assert_eq!(
        more("[[network]]\nname = \"old\"\ncidrs = [\"10.0.0.0/8\"]\n"),
        ["p.toml:34:8: network \"old\" is not used: no client, partner or route of these documents names it"]
    );
    assert_eq!(
        changed("usage_plan = \"standard\"\n", ""),
        ["p.toml:11:8: usage plan \"standard\" is not used: no client or partner of these documents has it"]
    );
    // What the registry names is used.
    let registry = RegistryFacts { usage_plans: ["standard".to_owned()].into(), ..RegistryFacts::default() };
    let around = Surroundings { registry: Some(registry), ..Surroundings::default() };
    assert_eq!(warnings_of(&GOOD.replacen("usage_plan = \"standard\"\n", "", 1), &around), [""; 0]);
}

#[test]
fn allowlists_that_exclude_everyone() {
    assert_eq!(
        changed("cidrs = [\"203.0.113.0/24\"]", "cidrs = [\"203.0.113.0/24\"]\nexcept = [\"203.0.0.0/16\"]")[0],
        "p.toml:7:8: network \"office\" excludes everyone: its exceptions take all of its CIDRs"
    );
    let elsewhere = "\n[[network]]\nname = \"elsewhere\"\ncidrs = [\"198.51.100.0/24\", \"2001:db8::/32\"]\n";
    let apart = GOOD.replacen("networks = [\"office\"]\n\n[[client]]", "networks = [\"elsewhere\"]\n\n[[client]]", 1);
    assert_eq!(
        warnings_of(&(apart + elsewhere), &Surroundings::default()),
        [
            "p.toml:19:6: client \"acme-orders\" may call from nowhere: its networks (office) and those of its partner (elsewhere) have no address in common"
        ]
    );
    let unreachable = GOOD.replacen("networks = [\"office\"]\naction", "networks = [\"elsewhere\"]\naction", 1);
    assert_eq!(
        warnings_of(&(unreachable + elsewhere), &Surroundings::default()),
        ["p.toml:28:8: route \"orders\" excludes everyone: no client that holds its scopes may call from elsewhere"]
    );
}

#[test]
fn scopes_that_nobody_holds() {
    assert_eq!(
        changed("\"api/read\", \"api/write\"", "\"api/write\""),
        ["p.toml:4:20: no client of these documents holds scope \"api/read\", which route \"orders\" asks for"]
    );
    assert_eq!(
        changed("\"api/read\", \"api/write\"", "\"api/read\""),
        ["p.toml:4:39: no client of these documents holds scope \"api/write\""]
    );
    let registry =
        RegistryFacts { scopes: ["api/write".parse().unwrap()].into_iter().collect(), ..RegistryFacts::default() };
    let around = Surroundings { registry: Some(registry), ..Surroundings::default() };
    assert_eq!(warnings_of(&GOOD.replacen("\"api/read\", \"api/write\"", "\"api/read\"", 1), &around), [""; 0]);
}

#[test]
fn modes_of_rules_that_are_not_there() {
    assert_eq!(
        changed("networks = [\"office\"]\naction", "rules = { networks = \"shadow\" }\naction"),
        ["p.toml:28:8: rules.networks of route \"orders\" is of no use: it may be called from anywhere"]
    );
    assert_eq!(
        changed("id = \"acme\"\nnetworks = [\"office\"]", "id = \"acme\"\nrules = { networks = \"off\" }"),
        ["p.toml:15:6: rules.networks of partner \"acme\" is of no use: it may call from anywhere"]
    );
}

#[test]
fn plans_where_nobody_is_asked_who_they_are() {
    let public = GOOD.replacen(
        "accept = [[\"mutual_tls\"], [\"bearer\"]]\nscopes = { any = [\"api/read\"] }",
        "public = true",
        1,
    );
    assert_eq!(
        warnings_of(&public, &Surroundings::default()),
        ["p.toml:11:8: usage plan \"standard\" limits nobody: every route is public, and those do not ask who calls"]
    );
}

#[test]
fn listeners_that_cannot_meet_a_route() {
    let listener = |name: &str, serves_routes: bool, takes_certificates: bool| ListenerFacts {
        name: name.to_owned(),
        serves_routes,
        takes_certificates,
    };
    let listeners =
        vec![listener("gateway", true, false), listener("mtls", true, true), listener("admin", false, true)];
    let around = Surroundings { listeners: Some(listeners), ..Surroundings::default() };
    assert_eq!(warnings_of(GOOD, &around), [""; 0], "a token can be shown anywhere");
    let certificate =
        GOOD.replacen("[[\"mutual_tls\"], [\"bearer\"]]", "[[\"mutual_tls\"], [\"mutual_tls\", \"bearer\"]]", 1);
    let place = "p.toml:28:8: route \"orders\"";
    assert_eq!(
        warnings_of(&certificate, &around),
        [format!(
            "{place} cannot be called on listener \"gateway\": it asks for a client certificate, and the listener takes none"
        )]
    );
    let on = |listener: &str| certificate.replacen("action", &format!("listeners = [\"{listener}\"]\naction"), 1);
    assert_eq!(warnings_of(&on("mtls"), &around), [""; 0]);
    assert_eq!(warnings_of(&on("mtsl"), &around), [format!("{place} is on listener \"mtsl\", which there is not")]);
    assert_eq!(
        warnings_of(&on("admin"), &around),
        [format!("{place} is on listener \"admin\", which serves no routes of the policy")]
    );
}

#[test]
fn patterns_that_take_from_one_another() {
    let route = |name: &str, method: &str, path: &str, rest: &str| {
        format!("[[route]]\nname = \"{name}\"\nmethods = [\"{method}\"]\npath = \"{path}\"\n{rest}\n")
    };
    let mock = "accept = [[\"mutual_tls\"], [\"bearer\"]]\nscopes = { any = [\"api/read\"] }\nnetworks = [\"office\"]\naction = { mock = {} }";
    let proxy = "accept = [[\"bearer\"]]\naction = { proxy = { upstream = \"http://127.0.0.1:9000\" } }";
    assert_eq!(
        more(&route("export", "POST", "/orders/export", mock)),
        [
            "p.toml:36:8: GET /orders/export is denied: the most specific pattern decides alone, and only /orders/{id} of route \"orders\" serves it"
        ]
    );
    assert_eq!(more(&route("export", "GET", "/orders/export", mock)), [""; 0], "a mock folds no spelling");
    assert_eq!(
        more(&route("all", "GET", "/{*rest}", proxy)),
        [
            "p.toml:36:8: route \"all\" takes other spellings of /orders/{id}, such as /ORDERS/{ID}, which route \"orders\" guards otherwise; an upstream that folds case would serve them as the same"
        ]
    );
    // Another listener, another world.
    let elsewhere = format!("{proxy}\nlisteners = [\"mtls\"]");
    let here = GOOD.replacen("action", "listeners = [\"gateway\"]\naction", 1);
    assert_eq!(
        warnings_of(&format!("{here}{}", route("all", "GET", "/{*rest}", &elsewhere)), &Surroundings::default()),
        [""; 0]
    );
}

#[test]
fn faults_come_before_remarks() {
    let faulty = GOOD.replacen("\"office\"]\naction", "\"ofice\"]\naction", 1);
    let faults = Policy::lint(&[Document::new("p.toml", faulty.clone())], &Surroundings::default()).unwrap_err();
    assert_eq!(faults, Policy::parse(&[Document::new("p.toml", faulty)]).unwrap_err());
}

/// Many routes, clients and CIDRs are remarked on in reasonable time.
#[test]
fn large_documents_are_linted_quickly() {
    let cidrs: Vec<String> =
        (0..50_000_u32).map(|n| format!("\"10.{}.{}.{}/32\"", n >> 15, (n >> 7) & 255, (n & 127) * 2)).collect();
    let mut text = format!("[[network]]\nname = \"big\"\ncidrs = [{}]\n", cidrs.join(","));
    text.push_str("[[resource_server]]\nidentifier = \"api\"\nscopes = [{ name = \"read\" }]\n");
    for n in 0..900 {
        text.push_str(&format!(
            "[[route]]\nmethods = [\"GET\"]\npath = \"/a{n}/{{id}}\"\naccept = [[\"bearer\"]]\nnetworks = [\"big\"]\naction = {{ mock = {{}} }}\n"
        ));
    }
    for n in 0..1_000 {
        text.push_str(&format!(
            "[[client]]\nid = \"c{n}\"\npartner = \"acme\"\nscopes = [\"api/read\"]\nnetworks = [\"big\"]\n"
        ));
    }
    // Whoever compared all with all would still be at it when the run is given up.
    assert_eq!(warnings_of(&text, &Surroundings::default()), [""; 0]);
}
