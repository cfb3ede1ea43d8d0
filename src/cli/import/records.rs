//! A file of rows, one at a time: CSV (RFC 4180) with a header line, or JSON lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::cli::error::CliError;

/// What a file of rows may have at most: some five million rows.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// A longer row is a quote that nobody closed.
const ROW_BYTES_MAX: usize = 64 * 1024;

/// The members of a row by the lower-case name of their column. Empty ones are left out.
pub(super) type Fields = Map<String, Value>;

/// The rows of a file.
pub(super) enum Records {
    Csv { reader: Box<csv::Reader<Source>>, columns: Vec<String>, record: csv::StringRecord },
    Lines(Source),
}

type Source = BufReader<Bounded>;

/// A file that is an error where it goes on past its bound: one that ended there would pass for a whole one.
pub(super) struct Bounded {
    file: Box<dyn Read + Send>,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "it is too large: import it in several files")
        })?;
        Ok(read)
    }
}

impl Records {
    /// Opens a file, `-` for standard input, and sees from its beginning what it is.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let source: Box<dyn Read + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            Box::new(
                File::open(path).map_err(|error| CliError::new(format!("cannot read {}: {error}", path.display())))?,
            )
        };
        Self::of(source, FILE_BYTES_MAX)
    }

    fn of(file: Box<dyn Read + Send>, bytes_max: u64) -> Result<Self, CliError> {
        let mut source = BufReader::with_capacity(1 << 16, Bounded { file, left: bytes_max });
        let mut start = source.fill_buf().map_err(broken)?;
        // Spreadsheets put a byte order mark before everything.
        if start.starts_with(b"\xef\xbb\xbf") {
            source.consume(3);
            start = source.fill_buf().map_err(broken)?;
        }
        if start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
            return Ok(Self::Lines(source));
        }
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(source);
        let columns: Vec<String> =
            reader.headers().map_err(|error| malformed(&error))?.iter().map(str::to_lowercase).collect();
        for (index, column) in columns.iter().enumerate() {
            if columns[..index].contains(column) {
                return Err(CliError::new(format!("two columns are called {column:?}")));
            }
        }
        Ok(Self::Csv { reader: Box::new(reader), columns, record: csv::StringRecord::new() })
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Option<Result<Fields, CliError>> {
        match self {
            Self::Csv { reader, columns, record } => match reader.read_record(record) {
                Ok(false) => None,
                Ok(true) if record.as_slice().len() > ROW_BYTES_MAX => Some(Err(too_long())),
                Ok(true) => Some(Ok(columns
                    .iter()
                    .zip(record.iter())
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(column, value)| (column.clone(), Value::from(value)))
                    .collect())),
                Err(error) => Some(Err(malformed(&error))),
            },
            Self::Lines(source) => next_line(source).transpose(),
        }
    }
}

/// Blank lines are passed over.
fn next_line(source: &mut Source) -> Result<Option<Fields>, CliError> {
    loop {
        let mut line = Vec::new();
        let read = source.by_ref().take(ROW_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line).map_err(broken)?;
        if read == 0 {
            return Ok(None);
        }
        if read > ROW_BYTES_MAX {
            return Err(too_long());
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        // What serde says may quote the line, and the line holds a secret.
        let fields: Fields = serde_json::from_slice(&line).map_err(|error| {
            CliError::new(format!("a line is not a JSON object: see its character {}", error.column()))
        })?;
        return Ok(Some(fields.into_iter().filter(|(_, value)| !value.is_null()).collect()));
    }
}

fn broken(error: io::Error) -> CliError {
    CliError::new(format!("the file cannot be read: {error}"))
}

fn too_long() -> CliError {
    CliError::new(format!("a row has more than {ROW_BYTES_MAX} bytes: is a quote not closed?"))
}

/// Where, not what: a row holds a secret.
fn malformed(error: &csv::Error) -> CliError {
    let line = error.position().map_or_else(String::new, |position| format!(" in line {}", position.line()));
    let what = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("a row has {len} fields where the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "a row is not UTF-8".to_owned(),
        csv::ErrorKind::Io(error) => return broken(io::Error::new(error.kind(), error.to_string())),
        _ => "the CSV cannot be read".to_owned(),
    };
    CliError::new(what + &line)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &'static str) -> Vec<Result<Value, String>> {
        read_within(text, FILE_BYTES_MAX)
    }

    fn read_within(text: &'static str, bytes_max: u64) -> Vec<Result<Value, String>> {
        let mut records = match Records::of(Box::new(text.as_bytes()), bytes_max) {
            Ok(records) => records,
            Err(error) => return vec![Err(error.to_string())],
        };
        let mut found = Vec::new();
        while let Some(record) = records.next() {
            found.push(record.map(Value::Object).map_err(|error| error.to_string()));
        }
        found
    }

    #[test]
    fn csv_as_spreadsheets_write_it_and_json_lines_read_alike() {
        let expected = [Ok(json!({"key": "abc", "name": "a \"b\", c"})), Ok(json!({"key": "def"}))];
        for text in [
            "\u{feff}Key,Name\r\nabc,\"a \"\"b\"\", c\"\r\ndef,\r\n",
            "\n {\"key\": \"abc\", \"name\": \"a \\\"b\\\", c\"}\n\n{\"key\":\"def\",\"name\":null}",
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_without_the_row() {
        for text in ["key,client\nsecret-value,a,b\n", "{\"key\": \"secret-value\", client}\n", "key,key\n1,2\n"] {
            let faults: Vec<_> = read(text).into_iter().filter_map(Result::err).collect();
            assert!(faults.len() == 1 && !faults[0].contains("secret-value"), "{faults:?}");
        }
        assert_eq!(read("").len(), 0);
    }

    #[test]
    fn a_file_past_its_bound_is_refused_and_not_cut() {
        for text in ["key\nabc\ndef\n", "{\"key\":1}\n\n\n"] {
            assert!(read_within(text, 12).iter().all(Result::is_ok), "{text}");
            let found = read_within(text, 11);
            assert!(
                found.last().is_some_and(|row| row.as_ref().is_err_and(|error| error.contains("too large"))),
                "{found:?}"
            );
        }
    }
}
