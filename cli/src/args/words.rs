//! The words of a command line before they are parsed: which are verbs, and which flags take the next word.
//!
//! Never here: what the flags mean.

use std::collections::BTreeSet;

use clap::{Arg, Command, CommandFactory as _};

use super::Cli;

/// What is known of words.
pub(crate) struct Words(Command);

impl Words {
    pub(crate) fn new() -> Self {
        Self(Cli::command())
    }

    /// The verb that a word is.
    pub(crate) fn verb(&self, word: &str) -> Option<&str> {
        self.0.find_subcommand(word).map(Command::get_name)
    }

    /// Whether a flag, or the last letter of several, takes the next word as its value. Of several letters the first that takes
    /// one takes the rest of the word, if there is one.
    pub(crate) fn takes_value(&self, flag: &str) -> bool {
        let flags = || self.0.get_arguments().chain(self.0.get_subcommands().flat_map(Command::get_arguments));
        let valued = |is: &dyn Fn(&Arg) -> bool| flags().any(|flag| is(flag) && flag.get_action().takes_values());
        match flag.strip_prefix("--") {
            Some(long) => valued(&|flag| flag.get_long() == Some(long)),
            None => {
                let mut letters = flag.chars().skip(1);
                letters.any(|letter| valued(&|flag| flag.get_short() == Some(letter))) && letters.next().is_none()
            }
        }
    }

    /// The long flags of a verb, or of none.
    pub(crate) fn flags(&self, verb: Option<&str>) -> BTreeSet<String> {
        let verb = verb.and_then(|verb| self.0.find_subcommand(verb)).unwrap_or(&self.0);
        verb.get_arguments().filter_map(|flag| flag.get_long().map(str::to_owned)).collect()
    }
}
