//! Lines for other programs, printed part by part: a month of a large installation is not held in memory.

use serde_json::Value;

use super::{ExportFormat, part};
use crate::cli::admin_api::AdminApi;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::moment;
use crate::cli::query::Query;

const TEXTS: [&str; 7] = ["partner", "client", "credential", "route", "method", "outcome", "listener"];
const NUMBERS: [&str; 4] = ["requests", "request_bytes", "response_bytes", "micros"];
/// Upper bounds of the classes of `latency`, as names of columns.
pub(super) const CLASSES: [&str; 13] =
    ["0.1ms", "0.5ms", "1ms", "2.5ms", "5ms", "10ms", "25ms", "50ms", "100ms", "250ms", "1s", "5s", "longer"];

pub(super) async fn run(
    api: &mut AdminApi,
    query: &Query,
    format: ExportFormat,
    context: &Context,
) -> Result<(), CliError> {
    if format == ExportFormat::Csv {
        context.output.text(&csv([heading()])?)?;
    }
    let mut after = None;
    loop {
        let (items, next) = part(api, query, after.as_deref()).await?;
        let text = match format {
            ExportFormat::Csv => csv(items.iter().map(fields))?,
            ExportFormat::Jsonl => items.iter().map(|item| format!("{item}\n")).collect(),
        };
        context.output.text(&text)?;
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// RFC 4180 §2.
fn csv(rows: impl IntoIterator<Item = Vec<String>>) -> Result<String, CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::new(format!("the rows cannot be written: {error}"));
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|error| failed(&error))?;
    }
    let text = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(text).map_err(|error| failed(&error))
}

fn heading() -> Vec<String> {
    let names = ["id", "hour", "complete"].into_iter().chain(TEXTS).chain(NUMBERS).map(str::to_owned);
    let classes = CLASSES.iter().map(|class| format!("took_{class}"));
    names.chain(classes).collect()
}

fn fields(item: &Value) -> Vec<String> {
    let mut fields = vec![
        text(&item["id"]),
        item["hour"].as_i64().map_or_else(String::new, moment::rfc3339),
        item["complete"].to_string(),
    ];
    fields.extend(TEXTS.iter().map(|name| text(&item[name])));
    fields.extend(NUMBERS.iter().map(|name| item[name].to_string()));
    fields.extend((0..CLASSES.len()).map(|class| item["latency"][class].to_string()));
    fields
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{csv, fields, heading};

    #[test]
    fn a_line_has_a_field_for_each_name() {
        let item = json!({
            "id": "00ff", "hour": 1_800_000_000, "complete": true, "partner": "acme", "client": "acme-orders",
            "credential": "api-key:4f client-certificate:01", "route": "GET|HEAD \"/a,b\"", "method": "GET",
            "outcome": "allowed", "listener": null, "requests": 3, "request_bytes": 0, "response_bytes": 84, "micros": 120,
            "latency": [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        });
        assert_eq!(
            csv([fields(&item)]).unwrap(),
            "00ff,2027-01-15T08:00:00Z,true,acme,acme-orders,api-key:4f client-certificate:01,\"GET|HEAD \"\"/a,b\"\"\",GET,\
             allowed,,3,0,84,120,3,0,0,0,0,0,0,0,0,0,0,0,0\r\n"
        );
        assert_eq!(heading().len(), fields(&item).len());
        assert!(csv([heading()]).unwrap().ends_with(",took_1s,took_5s,took_longer\r\n"));
    }
}
