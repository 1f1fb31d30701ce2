//! The names of users, so that the history says who and not which number.
//!
//! Never here: deciding what a user may do.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

/// The file that lists users, and how much of it is read.
const USERS: &str = "/etc/passwd";
const USERS_BYTES_MAX: u64 = 1 << 20;

/// The name of a user of this machine, as far as its own list tells. Users that only a directory service knows have none
/// here.
pub fn user_name(uid: u32) -> Option<String> {
    let file = File::open(USERS).ok()?;
    let lines = BufReader::new(file.take(USERS_BYTES_MAX)).lines().map_while(Result::ok);
    name_in(lines, uid)
}

fn name_in(mut lines: impl Iterator<Item = String>, uid: u32) -> Option<String> {
    lines.find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        let usable = !name.is_empty() && !name.starts_with('#') && !name.chars().any(char::is_control);
        (number == uid && usable).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number_and_odd_lines_are_passed_over() {
        let list = "# users\n\nroot:x:0:0:root:/root:/bin/sh\n:x:7:7::/:\nbroken\nmaria:x:1000:1000:Maria,,,:/home/maria:/bin/sh\n";
        let found = |uid| name_in(list.lines().map(str::to_owned), uid);
        assert_eq!(found(0).as_deref(), Some("root"));
        assert_eq!(found(1000).as_deref(), Some("maria"));
        assert_eq!((found(7), found(1)), (None, None));
    }
}
