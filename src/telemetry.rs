//! What is said about the running server: structured logs and Prometheus metrics.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};
use crate::failure::Fault;

/// Upper bounds of the decision histogram, in seconds.
const DECISION_BUCKETS_SECONDS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Starts the logs on standard error. A second call in one process (tests) does nothing.
pub fn start_logging(settings: &LogSettings) -> Result<(), Fault> {
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|error| Fault::new(format!("log.filter {:?}: {error}", settings.filter)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let _ = match settings.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// The metrics of this process. The recorder is global; the first call installs it, later ones (tests) share it.
pub fn metrics() -> Result<PrometheusHandle, Fault> {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    static INSTALLING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _installing = INSTALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), DECISION_BUCKETS_SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Fault::new(format!("metrics: {error}")))?;
    describe();
    Ok(HANDLE.get_or_init(|| handle).clone())
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        "portcullis_decisions_total",
        "Requests judged, by listener and outcome (allowed, or the denial's code)"
    );
    describe_histogram!("portcullis_decision_seconds", "From the request head to the decision, without the upstream");
    describe_counter!("portcullis_handshakes_total", "TLS handshakes, by listener and kind (full, resumed)");
    describe_counter!("portcullis_handshakes_failed_total", "TLS handshakes that failed, by listener");
    describe_counter!("portcullis_connections_refused_total", "Connections closed before TLS, by listener and reason");
    describe_gauge!("portcullis_connections_open", "Open connections, by listener");
    describe_gauge!("portcullis_expiring", "Live credentials that end within so many days");
    describe_gauge!("portcullis_expiry_seconds", "When what is the installation's own ends, in seconds since 1970");
    describe_counter!("portcullis_webhook_messages_total", "Messages to the webhook, by outcome");
    describe_gauge!("portcullis_sightings_held", "Credentials whose last use is in memory");
    describe_counter!("portcullis_sightings_written_total", "Sightings of credentials written to the database");
    describe_counter!("portcullis_sightings_dropped_total", "Sightings lost because too many credentials were held");
    describe_gauge!("portcullis_usage_keys", "What usage was counted apart in the last batch");
    describe_gauge!("portcullis_usage_rows", "Rows of usage in the database");
    describe_counter!("portcullis_usage_rows_written_total", "Rows of usage added to the database");
    describe_counter!("portcullis_usage_rows_removed_early_total", "Rows of usage removed because there were too many");
    describe_counter!(
        "portcullis_usage_folded_total",
        "Times that usage was counted under * because too much was counted apart"
    );
    describe_gauge!("portcullis_audit_queue", "Audit records waiting to be written");
    describe_counter!("portcullis_audit_dropped_total", "Audit records lost because the queue was full");
    describe_counter!("portcullis_audit_write_failures_total", "Failed attempts to write audit records");
    describe_counter!(
        "portcullis_unknown_certificates_total",
        "Good chains whose serial we never issued: a stolen CA key or a restored backup"
    );
    describe_gauge!("portcullis_policy_version", "Version of the policy in force");
}
