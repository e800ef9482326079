//! Completions for bash, zsh and fish, made from the tables.
//!
//! Each script completes commands and services, then the flags of the command, and the words of
//! `help` and `completions`. After a flag that takes a file it completes files. What else a value
//! can be is not completed.

use super::super::services::SERVICES;
use super::super::table::{COMMANDS, CommandRow, Effect, Flag};
use super::TEXTS;
use crate::cli::manual::TOPICS;
use crate::protocol::framing::FRAMINGS;

/// Makes a script.
type Script = fn() -> String;

/// The shells and their scripts.
pub(super) const SHELLS: &[(&str, Script)] = &[("bash", bash), ("zsh", zsh), ("fish", fish)];

/// The first words: commands and services.
fn first_words() -> impl Iterator<Item = (&'static str, &'static str)> {
    let commands = COMMANDS.iter().map(|row| (row.name, row.about));
    let texts = TEXTS.iter().map(|row| (row.name, row.about));
    commands.chain(texts).chain(services())
}

fn services() -> impl Iterator<Item = (&'static str, &'static str)> {
    COMMANDS[0].words.1.iter().copied()
}

/// What `mynah help` takes.
#[inline(never)]
fn helped() -> String {
    let commands = COMMANDS.iter().map(|row| row.name);
    let topics = TOPICS.iter().map(|topic| topic.name);
    let topics = topics.filter(|name| COMMANDS.iter().all(|row| row.name != *name));
    commands.chain(topics).collect::<Vec<_>>().join(" ")
}

#[inline(never)]
fn shells() -> String {
    let names = SHELLS.iter().map(|(name, _)| *name);
    names.collect::<Vec<_>>().join(" ")
}

/// The framings that are whole words.
#[inline(never)]
fn framings() -> String {
    let words = FRAMINGS.iter().flat_map(|row| row.words.split(' '));
    let whole = words.filter(|word| !word.contains(':'));
    whole.collect::<Vec<_>>().join(" ")
}

/// All spellings of the flags of `command` that `keep` keeps.
#[inline(never)]
fn spellings(command: &CommandRow, keep: fn(&Flag) -> bool) -> Vec<&'static str> {
    let kept = command.flags().filter(|flag| keep(flag));
    kept.flat_map(|flag| flag.short.into_iter().chain([flag.long]))
        .collect()
}

fn takes_file(flag: &Flag) -> bool {
    matches!(flag.effect, Effect::Output(_) | Effect::Value("FILE", _))
}

fn takes_value(flag: &Flag) -> bool {
    matches!(flag.effect, Effect::Value(..)) && !takes_file(flag)
}

fn bash() -> String {
    let first: Vec<&str> = first_words().map(|(word, _)| word).collect();
    let mut script = format!(
        "# bash completion of mynah: mynah completions bash > /etc/bash_completion.d/mynah\n\
         _mynah() {{\n\
         \x20   local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n\
         \x20   local command=${{COMP_WORDS[1]}} flags= files= values=\n\
         \x20   COMPREPLY=()\n\
         \x20   if ((COMP_CWORD == 1)) && [[ $cur != -* ]]; then\n\
         \x20       COMPREPLY=($(compgen -W '{}' -- \"$cur\"))\n\
         \x20       return\n\
         \x20   fi\n\
         \x20   case $command in\n\
         \x20   help) COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return ;;\n\
         \x20   completions) COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return ;;\n\
         \x20   man | version) return ;;\n",
        first.join(" "),
        helped(),
        shells(),
    );
    // The first command is the default, and a service may stand in its place.
    for command in COMMANDS.iter().skip(1).chain(&COMMANDS[..1]) {
        let pattern = match command.name == COMMANDS[0].name {
            true => "*",
            false => command.name,
        };
        script += &format!(
            "    {pattern})\n\
             \x20       flags='{}'\n\
             \x20       files='{}'\n\
             \x20       values='{}' ;;\n",
            spellings(command, |_| true).join(" "),
            spellings(command, takes_file).join(" "),
            spellings(command, takes_value).join(" "),
        );
    }
    script += &format!(
        "    esac\n\
         \x20   if [[ $prev == --frame ]]; then\n\
         \x20       COMPREPLY=($(compgen -W '{}' -- \"$cur\"))\n\
         \x20   elif [[ \" $files \" == *\" $prev \"* ]]; then\n\
         \x20       COMPREPLY=($(compgen -f -- \"$cur\"))\n\
         \x20   elif [[ \" $values \" == *\" $prev \"* ]]; then\n\
         \x20       return\n\
         \x20   elif [[ $cur == -* ]]; then\n\
         \x20       COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n\
         \x20   elif [[ $command == serve ]]; then\n\
         \x20       COMPREPLY=($(compgen -W '{}' -- \"$cur\"))\n\
         \x20   fi\n\
         }}\n\
         complete -F _mynah mynah\n",
        framings(),
        SERVICES
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(" "),
    );
    script
}

/// Text within single quotes of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn zsh() -> String {
    let described = |words: &mut dyn Iterator<Item = (&'static str, &'static str)>| {
        let words = words.map(|(word, about)| quoted(&format!("{word}:{about}")));
        words.collect::<Vec<_>>().join(" ")
    };
    let mut script = format!(
        "#compdef mynah\n\
         # zsh completion of mynah: mynah completions zsh > _mynah, in a folder of $fpath\n\
         _mynah() {{\n\
         \x20   local -a words_of flags files values\n\
         \x20   local command=${{words[2]}} prev=${{words[CURRENT-1]}}\n\
         \x20   if ((CURRENT == 2)) && [[ $PREFIX != -* ]]; then\n\
         \x20       words_of=({})\n\
         \x20       _describe command words_of\n\
         \x20       return\n\
         \x20   fi\n\
         \x20   case $command in\n\
         \x20   help) compadd {}; return ;;\n\
         \x20   completions) compadd {}; return ;;\n\
         \x20   man | version) return ;;\n",
        described(&mut first_words()),
        helped(),
        shells(),
    );
    for command in COMMANDS.iter().skip(1).chain(&COMMANDS[..1]) {
        let pattern = match command.name == COMMANDS[0].name {
            true => "*",
            false => command.name,
        };
        let flags = command.flags().flat_map(|flag| {
            let names = flag.short.into_iter().chain([flag.long]);
            names.map(|name| quoted(&format!("{name}:{}", flag.help)))
        });
        script += &format!(
            "    {pattern})\n\
             \x20       flags=({})\n\
             \x20       files=({})\n\
             \x20       values=({}) ;;\n",
            flags.collect::<Vec<_>>().join(" "),
            spellings(command, takes_file).join(" "),
            spellings(command, takes_value).join(" "),
        );
    }
    script += &format!(
        "    esac\n\
         \x20   if [[ $prev == --frame ]]; then\n\
         \x20       compadd {}\n\
         \x20   elif ((${{files[(Ie)$prev]}})); then\n\
         \x20       _files\n\
         \x20   elif ((${{values[(Ie)$prev]}})); then\n\
         \x20       return\n\
         \x20   elif [[ $PREFIX == -* ]]; then\n\
         \x20       _describe option flags\n\
         \x20   elif [[ $command == serve ]]; then\n\
         \x20       words_of=({})\n\
         \x20       _describe service words_of\n\
         \x20   fi\n\
         }}\n\
         if [[ $funcstack[1] == _mynah ]]; then\n\
         \x20   _mynah \"$@\"\n\
         else\n\
         \x20   compdef _mynah mynah\n\
         fi\n",
        framings(),
        described(&mut services()),
    );
    script
}

fn fish() -> String {
    let mut script = "# fish completion of mynah: for ~/.config/fish/completions/mynah.fish\n\
         complete -c mynah -f\n"
        .to_owned();
    for (word, about) in first_words() {
        script += &format!(
            "complete -c mynah -n __fish_is_first_token -a {word} -d {}\n",
            quoted(about)
        );
    }
    script += &format!(
        "complete -c mynah -n '__fish_seen_subcommand_from help' -a '{}'\n\
         complete -c mynah -n '__fish_seen_subcommand_from completions' -a '{}'\n",
        helped(),
        shells(),
    );
    let others = COMMANDS.iter().skip(1).map(|row| row.name);
    let others = others.chain(TEXTS.iter().map(|row| row.name));
    let others = others.collect::<Vec<_>>().join(" ");
    for command in COMMANDS {
        let when = match command.name == COMMANDS[0].name {
            true => format!("not __fish_seen_subcommand_from {others}"),
            false => format!("__fish_seen_subcommand_from {}", command.name),
        };
        for flag in command.flags() {
            script += &format!("complete -c mynah -n '{when}'");
            for name in flag.short.into_iter().chain([flag.long]) {
                script += &match name.strip_prefix("--") {
                    Some(long) => format!(" -l {long}"),
                    None => format!(" -s {}", name.trim_start_matches('-')),
                };
            }
            match flag.effect {
                _ if flag.long == "--frame" => script += &format!(" -x -a '{}'", framings()),
                _ if takes_file(flag) => script += " -r -F",
                _ if takes_value(flag) => script += " -x",
                _ => {}
            }
            script += &format!(" -d {}\n", quoted(flag.help));
        }
    }
    script
}
