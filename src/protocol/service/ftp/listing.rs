//! How files are described: the lines of `ls -l` for people, and the facts of RFC 3659 for
//! programs.
//!
//! Times are seconds since 1970 in UTC. What a file system holds is found out elsewhere.

use crate::base::text::utc::{ls_time, utc_digits};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with bytes.
    File,
    /// A directory.
    Directory,
    /// A device, a socket or a FIFO, which can only be seen.
    Other,
}

/// What is known of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// The last change.
    pub modified: u64,
    /// The permission bits of its owner, group and others.
    pub mode: u32,
    /// The device and the number that no other file has.
    pub unique: (u64, u64),
}

/// What a user may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Download and list.
    pub read: bool,
    /// Upload, create directories, rename.
    pub write: bool,
    /// Delete files and directories.
    pub delete: bool,
}

/// The facts that `MLST` and `MLSD` can tell.
pub const FACTS: [&str; 5] = ["type", "size", "modify", "perm", "unique"];

/// Which of [`FACTS`] a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted(pub [bool; FACTS.len()]);

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted([true; FACTS.len()])
    }
}

impl Wanted {
    /// Those of `OPTS MLST`; unknown ones are left out (RFC 3659, 7.9).
    pub fn parse(text: &[u8]) -> Wanted {
        let mut wanted = Wanted([false; FACTS.len()]);
        for name in text.split(|byte| *byte == b';') {
            let named = |fact: &&str| fact.as_bytes().eq_ignore_ascii_case(name);
            if let Some(at) = FACTS.iter().position(named) {
                wanted.0[at] = true;
            }
        }
        wanted
    }

    /// As the reply of `OPTS MLST` lists them: `type;size;`.
    pub fn list(self) -> String {
        let chosen = FACTS.iter().zip(self.0).filter(|(_, is_wanted)| *is_wanted);
        chosen.map(|(name, _)| format!("{name};")).collect()
    }

    /// As `FEAT` lists them: `type*;size;`, with a mark behind those that are wanted.
    pub fn feature(self) -> String {
        let mark = |is_wanted| if is_wanted { "*" } else { "" };
        let all = FACTS.iter().zip(self.0);
        all.map(|(name, is_wanted)| format!("{name}{};", mark(is_wanted)))
            .collect()
    }
}

/// The facts of an entry, such as `type=file;size=3; name`. `kind` may be `cdir` or `pdir`.
pub fn facts_line(
    facts: &Facts,
    kind: Option<&str>,
    rights: Rights,
    wanted: Wanted,
    name: &[u8],
) -> Vec<u8> {
    let mut line = String::new();
    let kind = kind.unwrap_or(match facts.kind {
        Kind::File => "file",
        Kind::Directory => "dir",
        Kind::Other => "OS.unix=other",
    });
    let values = [
        kind.to_owned(),
        facts.size.to_string(),
        utc_digits(facts.modified),
        perm(facts.kind, rights),
        format!("{:x}g{:x}", facts.unique.0, facts.unique.1),
    ];
    for (at, (fact, value)) in FACTS.iter().zip(values).enumerate() {
        // A directory has no size (RFC 3659, 7.5.7 is about files).
        let has_it = at != 1 || facts.kind == Kind::File;
        if wanted.0[at] && has_it {
            line += &format!("{fact}={value};");
        }
    }
    [line.as_bytes(), b" ", name].concat()
}

/// The fact `perm` (RFC 3659, 7.5.5).
fn perm(kind: Kind, rights: Rights) -> String {
    let letters = match kind {
        Kind::Directory => [
            ("el", rights.read),
            ("cfm", rights.write),
            ("dp", rights.delete),
        ],
        Kind::File => [
            ("r", rights.read),
            ("afw", rights.write),
            ("d", rights.delete),
        ],
        Kind::Other => [("", false), ("f", rights.write), ("d", rights.delete)],
    };
    let given = letters.into_iter().filter(|(_, is_given)| *is_given);
    given.map(|(letters, _)| letters).collect()
}

/// The line of `ls -l`.
pub fn ls_line(facts: &Facts, now: u64, name: &[u8]) -> Vec<u8> {
    let letter = match facts.kind {
        Kind::File => '-',
        Kind::Directory => 'd',
        Kind::Other => '?',
    };
    let mut line = String::from(letter);
    for (at, letter) in "rwxrwxrwx".chars().enumerate() {
        let has_it = facts.mode >> (8 - at) & 1 == 1;
        line.push(if has_it { letter } else { '-' });
    }
    let time = ls_time(facts.modified, now);
    line += &format!("   1 ftp      ftp      {:>12} {time} ", facts.size);
    [line.as_bytes(), name].concat()
}

/// The name of an entry as a line can hold it: control characters become `?`.
pub fn shown(name: &[u8]) -> Vec<u8> {
    let shown = |byte: &u8| if byte.is_ascii_control() { b'?' } else { *byte };
    name.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Facts = Facts {
        kind: Kind::File,
        size: 42,
        modified: 1_000_000_000,
        mode: 0o644,
        unique: (1, 255),
    };
    const ALL: Rights = Rights {
        read: true,
        write: true,
        delete: true,
    };

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn an_entry_has_the_line_of_ls() {
        let day = 86_400;
        assert_eq!(
            text(ls_line(&FILE, FILE.modified + day, b"a b")),
            "-rw-r--r--   1 ftp      ftp                42 Sep  9 01:46 a b"
        );
        let old = text(ls_line(&FILE, FILE.modified + 300 * day, b"x"));
        assert!(old.ends_with(" 42 Sep  9  2001 x"), "{old}");
        let coming = text(ls_line(&FILE, FILE.modified - 1, b"x"));
        assert!(coming.ends_with(" 42 Sep  9  2001 x"), "{coming}");
    }

    #[test]
    fn an_entry_has_the_facts_that_are_wanted() {
        let line =
            |facts: &Facts, rights, wanted| text(facts_line(facts, None, rights, wanted, b"name"));
        assert_eq!(
            line(&FILE, ALL, Wanted::default()),
            "type=file;size=42;modify=20010909014640;perm=rafwd;unique=1gff; name"
        );
        let folder = Facts {
            kind: Kind::Directory,
            ..FILE
        };
        let reader = Rights {
            read: true,
            ..Rights::default()
        };
        let wanted = Wanted::parse(b"PERM;size;Type;what");
        assert_eq!(wanted.list(), "type;size;perm;");
        assert_eq!(wanted.feature(), "type*;size*;modify;perm*;unique;");
        assert_eq!(line(&folder, reader, wanted), "type=dir;perm=el; name");
        assert_eq!(line(&FILE, ALL, Wanted::parse(b"")), " name");
        assert_eq!(shown(b"a\r\nb"), b"a??b");
    }
}
