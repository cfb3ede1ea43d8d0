use clap::Args;

use crate::cli::moment::{Instant, Since};
use crate::cli::query::Query;
use crate::cli::span::Span;

/// Which certificates, by what the inventory knows of them.
#[derive(Args, Debug)]
pub(super) struct InventoryFilter {
    /// Only `client`, `server` or `ocsp` certificates
    #[arg(long)]
    kind: Option<String>,
    /// Only those of this authority: its key id, as `ca show` tells it
    #[arg(long, value_name = "KEY-ID")]
    issuer: Option<String>,
    /// Only those with a key of this kind: `ecdsa-p256`, `rsa-2048`, …
    #[arg(long, value_name = "ALGORITHM")]
    key_type: Option<String>,
    /// Only good ones that expire within this time
    #[arg(long, visible_alias = "expires-within", value_name = "TIME")]
    expiring_within: Option<Span>,
    /// Only those that end before this time
    #[arg(long, value_name = "RFC3339")]
    expires_before: Option<Instant>,
    /// Only those that end at or after this time
    #[arg(long, value_name = "RFC3339")]
    expires_after: Option<Instant>,
    /// Only those that last let somebody in before this time, or so long ago: 90d
    #[arg(long, value_name = "TIME")]
    last_seen_before: Option<Since>,
    /// Only those that last let somebody in since this time, or within so long: 24h
    #[arg(long, value_name = "TIME")]
    last_seen_after: Option<Since>,
    /// Only those that were last seen from this address or network
    #[arg(long, value_name = "CIDR")]
    source: Option<String>,
    /// Only those that never let anybody in
    #[arg(long, conflicts_with_all = ["last_seen_before", "last_seen_after", "source"])]
    never_seen: bool,
}

impl InventoryFilter {
    pub(super) fn on(self, query: Query, now: i64) -> Query {
        let since = |since: Option<Since>| since.map(|since| since.unix_seconds(now));
        query
            .with("kind", self.kind)
            .with("issuer", self.issuer)
            .with("key_type", self.key_type)
            .with("expiring_within_seconds", self.expiring_within.map(Span::seconds))
            .with("expires_before", self.expires_before.map(|at| at.unix_seconds))
            .with("expires_after", self.expires_after.map(|at| at.unix_seconds))
            .with("last_seen_before", since(self.last_seen_before))
            .with("last_seen_after", since(self.last_seen_after))
            .with("source", self.source)
            .with("never_seen", self.never_seen.then_some(true))
    }
}
