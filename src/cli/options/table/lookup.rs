//! What a word stands for: the row of a command or of a flag, or what would have been right.

use super::super::bench;
use super::{COMMANDS, CommandRow, FLAGS, Flag, SERVICES, connect, decode, serve};
use crate::base::text::suggest::{suggest, suggest_or_list};
use crate::kernel::Endpoint;

/// The flags of all commands; those that all of them know come last.
pub(in crate::cli::options) fn flags() -> impl Iterator<Item = &'static Flag> + Clone {
    let serve = serve::FLAGS.iter();
    let commands = serve.chain(bench::FLAGS).chain(connect::FLAGS);
    commands.chain(decode::FLAGS).chain(FLAGS)
}

/// The command of this name.
pub(in crate::cli::options) fn command(name: &str) -> Option<&'static CommandRow> {
    COMMANDS.iter().find(|row| row.name == name)
}

impl CommandRow {
    /// The flags this command knows, in the order of the table.
    pub(in crate::cli::options) fn flags(
        &self,
    ) -> impl Iterator<Item = &'static Flag> + Clone + use<> {
        let name = self.name;
        flags().filter(move |flag| flag.commands.is_empty() || flag.commands.contains(&name))
    }

    /// The flag that is written like this; or what would be right.
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

/// Why the first word, when it is not a command, was not understood.
pub(in crate::cli::options) fn unknown_word(word: &str) -> String {
    let services = SERVICES.iter().map(|(name, _)| *name);
    let known = services.chain(COMMANDS.iter().map(|row| row.name));
    where_an_address_goes(word).unwrap_or_else(|| suggest_or_list(word, known))
}

/// What to write instead of `word` where no address is taken, if it is one.
pub(in crate::cli::options) fn where_an_address_goes(word: &str) -> Option<String> {
    word.parse::<Endpoint>().ok()?;
    Some(format!(
        "an address follows --listen, or mynah connect; write --listen {word}"
    ))
}
