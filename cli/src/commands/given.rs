//! A secret value that the caller gives: from standard input, a file or a variable, never from an argument, where every user of
//! the machine could read it.

use std::fs::File;
use std::io::{IsTerminal as _, Read};

use holdfast_reconciler::desired::SecretText;

use super::Run;
use crate::args::ValueArgs;
use crate::error::Failure;
use crate::output::Verbosity;

/// The longest value.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The value that was given, which is never empty: that would look like a removal.
pub(super) fn value(run: &Run, args: &ValueArgs) -> Result<SecretText, Failure> {
    let value = given(run, args)?;
    if value.expose().is_empty() {
        return Err(Failure::new("E_EMPTY_SECRET", "the value of the secret is empty")
            .help("pipe the value in; `remove` in the place of `set` takes it away"));
    }
    Ok(value)
}

fn given(run: &Run, args: &ValueArgs) -> Result<SecretText, Failure> {
    if let Some(name) = &args.from_env {
        let value = run.setting.variable(name).map(|value| SecretText::new(value.to_owned()));
        return value.ok_or_else(|| Failure::new("E_MISSING_VALUE", format!("the variable `{name}` is not set")));
    }
    if let Some(path) = &args.from_file {
        let path = run.setting.path(path);
        let what = format!("the file `{}`", path.display());
        let file = File::open(&path).map_err(|error| Failure::io("E_SECRET", format!("cannot read {what}"), &error))?;
        return read(file, &what);
    }
    if std::io::stdin().is_terminal() {
        return Err(Failure::usage("the value of a secret is not typed on a terminal, where it would be shown")
            .help("pipe it in, or use `--from-file PATH` or `--from-env NAME`"));
    }
    if run.output.verbosity == Verbosity::Verbose {
        run.output.say("reading the value from standard input");
    }
    read(std::io::stdin().lock(), "standard input")
}

/// Reads a value without the line break at its end. The buffer never grows, so that no copy of the value stays behind.
fn read(from: impl Read, what: &str) -> Result<SecretText, Failure> {
    let failed = |error: &std::io::Error| Failure::io("E_SECRET", format!("cannot read {what}"), error);
    let mut bytes = Vec::with_capacity(VALUE_BYTES_MAX + 2);
    from.take(VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(Failure::new("E_SECRET", format!("{what} has over {VALUE_BYTES_MAX} bytes")));
    }
    let mut value = String::from_utf8(bytes).map_err(|_| Failure::new("E_SECRET", format!("{what} is not UTF-8")))?;
    let end = value.strip_suffix("\r\n").or_else(|| value.strip_suffix('\n')).map_or(value.len(), str::len);
    value.truncate(end);
    Ok(SecretText::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_the_value() {
        for (input, value) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), (" a ", " a "), ("\n", "")] {
            assert_eq!(read(input.as_bytes(), "it").unwrap().expose(), value);
        }
        assert!(read(&[0xff_u8][..], "it").is_err());
        assert!(read(&vec![b'x'; VALUE_BYTES_MAX + 1][..], "it").is_err());
        assert!(read(&vec![b'x'; VALUE_BYTES_MAX][..], "it").is_ok());
    }
}
