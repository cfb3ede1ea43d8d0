use clap::{CommandFactory, Parser};

use super::Arguments;
use super::context::Outcome;
use super::output::Format;

/// Every command without subcommands of its own, with its path.
fn leaves(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
    let path = format!("{path} {}", command.get_name()).trim().to_owned();
    if !command.has_subcommands() {
        return vec![(path, command.clone())];
    }
    command.get_subcommands().filter(|sub| sub.get_name() != "help").flat_map(|sub| leaves(sub, &path)).collect()
}

/// The `portcullis …` commands in an example text, as a shell would split them.
fn examples(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let commands = lines.iter().flat_map(|line| {
        let begins = |at: usize| at == 0 || line[..at].ends_with([' ', '(']);
        line.match_indices("portcullis ").filter(move |(at, _)| begins(*at)).map(|(at, _)| &line[at..])
    });
    // A folder of that name is no command.
    commands.map(split).filter(|words| words.len() > 1).collect()
}

fn split(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            '|' | '>' | ')' if !quoted => break,
            ' ' if !quoted => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            _ => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

fn parse(command: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(split(command))
}

#[test]
fn the_commands_are_well_formed() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_has_examples_and_all_of_them_parse() {
    let mut command = Arguments::command();
    command.build();
    let leaves = leaves(&command, "");
    assert!(leaves.len() > 40, "{}", leaves.len());
    for (path, leaf) in leaves {
        let help = leaf.get_after_help().map(ToString::to_string).unwrap_or_default();
        let found = examples(&help);
        let name = path.rsplit(' ').next().unwrap();
        assert!(found.iter().any(|words| words.contains(&name.to_owned())), "{path} has no example of itself: {help}");
        for words in found {
            if let Err(error) = Arguments::try_parse_from(&words) {
                panic!("the example {words:?} of {path} does not parse: {error}");
            }
        }
    }
}

#[test]
fn every_option_is_explained() {
    let mut command = Arguments::command();
    command.build();
    for (path, leaf) in leaves(&command, "") {
        assert!(leaf.get_about().is_some(), "{path} does not say what it does");
        for argument in leaf.get_arguments() {
            assert!(argument.get_help().is_some(), "{path} does not explain {}", argument.get_id());
        }
    }
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    for command in [
        "portcullis --data d --output json client list",
        "portcullis client --data d list --output json",
        "portcullis client list --output json --data d",
    ] {
        let global = parse(command).unwrap().global;
        assert_eq!((global.data(), global.output), (Some("d".into()), Format::Json), "{command}");
    }
    let global = parse("portcullis partner list --admin https://a:1 --ca c --certificate e --key k").unwrap().global;
    assert_eq!((global.admin.as_deref(), global.key), (Some("https://a:1"), Some("k".into())));
}

#[test]
fn the_demos_admin_address_is_not_the_admin_url() {
    parse("portcullis demo").unwrap();
    parse("portcullis demo --data d --gateway 127.0.0.1:0 --mtls 127.0.0.1:0 --admin 127.0.0.1:0 --pki 127.0.0.1:0")
        .unwrap();
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for command in [
        "portcullis",
        "portcullis frobnicate",
        "portcullis client",
        "portcullis client show",
        "portcullis --output yaml client list",
        "portcullis certificate revoke",
        "portcullis certificate revoke 5f --client acme-orders",
        "portcullis certificate issue --client a --lifetime 90",
        "portcullis certificate sign --client a",
        "portcullis certificate sign a.csr --csr b.csr --client a",
        "portcullis certificate verify chain.pem",
        "portcullis token inspect --profile cognito t",
        "portcullis token revoke",
        "portcullis policy check",
        "portcullis policy explain",
        "portcullis policy explain /x",
        "portcullis policy explain GET /x --path /y",
        "portcullis policy explain --path /x --presents api_key",
        "portcullis policy rollback last",
        "portcullis audit list --since yesterday",
        "portcullis key list --limit 0",
        "portcullis ca export --force",
    ] {
        assert_eq!(parse(command).map(|_| ()).map_err(|error| error.exit_code()), Err(2), "{command}");
    }
    for command in ["portcullis --help", "portcullis --version", "portcullis certificate issue --help"] {
        assert_eq!(parse(command).map(|_| ()).map_err(|error| error.exit_code()), Err(0), "{command}");
    }
}

#[test]
fn outcomes_have_their_exit_codes() {
    assert_eq!([Outcome::Done, Outcome::Refused, Outcome::ClaimsRefused].map(Outcome::exit_code), [0, 1, 3]);
}
