//! Looks up a word of the command line: the row of a command or a flag, or a suggestion.

use super::super::bench;
use super::{COMMANDS, CommandRow, FLAGS, Flag, SERVICES, connect, decode, serve};
use crate::base::text::suggest::{suggest, suggest_or_list};
use crate::kernel::Endpoint;

/// The flags of all commands, with the flags that every command has at the end.
pub(in crate::cli::options) fn flags() -> impl Iterator<Item = &'static Flag> + Clone {
    let serve = serve::FLAGS.iter();
    let commands = serve.chain(bench::FLAGS).chain(connect::FLAGS);
    commands.chain(decode::FLAGS).chain(FLAGS)
}

/// The command with this name.
pub(in crate::cli::options) fn command(name: &str) -> Option<&'static CommandRow> {
    COMMANDS.iter().find(|row| row.name == name)
}

impl CommandRow {
    /// The flags of this command, in the order of the table.
    pub(in crate::cli::options) fn flags(
        &self,
    ) -> impl Iterator<Item = &'static Flag> + Clone + use<> {
        let name = self.name;
        flags().filter(move |flag| flag.commands.is_empty() || flag.commands.contains(&name))
    }

    /// The flag with this spelling, or an error that says what would be right.
    pub(in crate::cli::options) fn flag(&self, written: &str) -> Result<&'static Flag, String> {
        let is = |flag: &&Flag| flag.long == written || flag.short == Some(written);
        if let Some(flag) = self.flags().find(is) {
            return Ok(flag);
        }
        if let Some(flag) = flags().find(is) {
            return Err(format!(
                "belongs to mynah {}",
                flag.commands.join(" and mynah ")
            ));
        }
        match suggest(written, self.flags().map(|flag| flag.long)) {
            Some(near) => Err(format!("unknown, did you mean {near}?")),
            None => Err(format!("unknown, see mynah {} --help", self.name)),
        }
    }
}

/// Explains why the first word is not a command.
pub(in crate::cli::options) fn unknown_word(word: &str) -> String {
    let services = SERVICES.iter().map(|(name, _)| *name);
    let known = services.chain(COMMANDS.iter().map(|row| row.name));
    where_an_address_goes(word).unwrap_or_else(|| suggest_or_list(word, known))
}

/// If `word` is an address in a place that takes none, returns what to write instead.
pub(in crate::cli::options) fn where_an_address_goes(word: &str) -> Option<String> {
    word.parse::<Endpoint>().ok()?;
    Some(format!(
        "an address follows --listen, or mynah connect; write --listen {word}"
    ))
}
