//! The rows of `mynah lab`.

use super::super::values::{output_file, put, switch, switch_text};
use super::super::{Command, LabChoice};
use super::{CommandRow, Effect, Flag};
use crate::base::text::suggest::suggest_or_list;
use crate::lab::EXPERIMENTS;

pub(super) const LAB: &str = "lab";

pub(super) const ROW: CommandRow = CommandRow {
    name: LAB,
    about: "ask the kernel: experiments on epoll and sockets",
    usage: "mynah lab [NAME|all] [OPTIONS]",
    word: |options, position, text| match position {
        0 => put(&mut options.lab.choice, choice(text).map(Some)),
        _ => Err("is one too many, lab takes one NAME or all".to_owned()),
    },
    words: (
        "Experiments",
        &[
            ("NAME", "play one, call by call; mynah lab lists the names"),
            ("all", "play all; exit code 8 if an answer differs"),
        ],
    ),
    finish: |options| match (options.lab.choice, options.lab.quiet, &options.lab.json) {
        _ if options.lab.trace.is_packets() => Err(
            "--trace: lab has both ends of its connections, which makes no packets; .txt, .json \
             or .html"
                .to_owned(),
        ),
        (None, ..) if options.lab.trace.file.is_some() => {
            Err("--trace: goes with NAME or all".to_owned())
        }
        (None, true, _) => Err("--quiet: goes with NAME or all".to_owned()),
        (None, _, Some(_)) => Err("--json: goes with NAME or all".to_owned()),
        _ => Ok(Command::Lab(options.lab)),
    },
    examples: &[
        ("mynah lab sticky", "do two sends arrive as two messages?"),
        (
            "mynah lab all --quiet",
            "what this kernel does, a line each",
        ),
    ],
};

fn choice(text: &str) -> Result<LabChoice, String> {
    if text == "all" {
        return Ok(LabChoice::All);
    }
    let place = EXPERIMENTS.iter().position(|it| it.name == text);
    place.map(LabChoice::One).ok_or_else(|| {
        let names = EXPERIMENTS.iter().map(|it| it.name);
        format!(
            "is no experiment; {}",
            suggest_or_list(text, names.chain(["all"]))
        )
    })
}

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        long: "--quiet",
        short: Some("-q"),
        group: "Output",
        commands: &[LAB],
        help: "a line for each experiment",
        default: |options| switch_text(options.lab.quiet),
        effect: Effect::Switch(|options, text| put(&mut options.lab.quiet, switch(text))),
    },
    Flag {
        long: "--json",
        short: None,
        group: "Output",
        commands: &[LAB],
        help: "write the results as JSON; without FILE to stdout",
        default: |_| String::new(),
        effect: Effect::Output(|options, text| {
            put(&mut options.lab.json, output_file(text).map(Some))
        }),
    },
];
