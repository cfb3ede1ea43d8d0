#[path = "../../../src/registry/api_key/presented.rs"]
pub mod presented;
