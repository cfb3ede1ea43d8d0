//! Every fault of every document, with its place and what to do.

use policies::*;

use crate::fixtures::parse;

const GOOD: &str = r#"
[[resource_server]]
identifier = "api"
name = "API"
scopes = [{ name = "read" }, { name = "write", description = "Write" }]

[[network]]
name = "acme-offices"
cidrs = ["203.0.113.0/24"]

[[usage_plan]]
name = "standard"
throttle = { rate = 50, burst = 100 }
quota = { limit = 10, period = "month", anchor_day = 31 }

[[client]]
id = "acme-orders"
partner = "acme"
scopes = ["api/read"]
networks = ["acme-offices"]
usage_plan = "standard"

[[route]]
methods = ["GET"]
path = "/a/{id}"
accept = [["mutual_tls"]]
scopes = { any = ["api/read"] }
action = { mock = { status = 200 } }
"#;

const GOLDEN: &str = include_str!("document_faults.txt");

fn told(text: &str) -> Vec<String> {
    parse(text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn dump() {
    for line in std::fs::read_to_string("/tmp/cases.txt").unwrap().lines() {
        let (from, to) = line.split_once(" => ").unwrap();
        let new = to.replace("\\n", "\n");
        assert!(GOOD.contains(from), "{from}");
        println!("@{from} => {to}\n@    {}", told(&GOOD.replacen(from, &new, 1)).join("\n    @"));
    }
}
