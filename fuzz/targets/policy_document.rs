//! A policy document: a policy or faults with their lines, and a policy that answers for every path.
#![no_main]

use policies::{Document, Policy};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Policy::parse(&[Document::new("fuzz.toml", text)]) {
        Ok(policy) => {
            for route in policy.routes.routes() {
                // A route may be hidden by a more specific one, but never answer for another method.
                for method in &route.methods {
                    if let Some(found) = policy.routes.find("gateway", method, &route.path) {
                        assert!(found.methods.contains(method) || method == "HEAD");
                    }
                }
            }
            assert!(policies::difference(&policy, &policy).is_empty(), "nothing differs from itself");
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "no policy and no reason");
            faults.iter().for_each(|fault| drop(fault.to_string()));
        }
    }
});
