//! The command line of FTP: one line, without its end, to one [`Command`].
//!
//! Names of commands are ASCII in any case (RFC 959, 5.3.1). A path is every byte behind one blank,
//! so a name may begin and end with blanks; it has no NUL. What is known and not offered is told
//! apart from what is not known (502 and 500), and a known command with a wrong argument is 501 or
//! 504. Sources: RFC 959, RFC 1123 4.1.3, RFC 2389, RFC 2428, RFC 3659.

use super::reply::Refusal;

/// How data is written on the data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Lines end with CR LF there, and with LF in files.
    Ascii,
    /// As it is.
    Image,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command<'a> {
    User(&'a [u8]),
    Pass(&'a [u8]),
    Quit,
    Cwd(&'a [u8]),
    Cdup,
    Pwd,
    Type(Type),
    /// `MODE S`, the only one.
    Mode,
    /// `STRU F`, the only one.
    Stru,
    Pasv,
    Epsv(Epsv),
    Port([u8; 4], u16),
    Eprt(Eprt<'a>),
    Retr(&'a [u8]),
    Stor(&'a [u8]),
    Appe(&'a [u8]),
    Rest(u64),
    Allo(u64),
    Dele(&'a [u8]),
    Rmd(&'a [u8]),
    Mkd(&'a [u8]),
    Rnfr(&'a [u8]),
    Rnto(&'a [u8]),
    /// The path is empty for the directory itself; options of ls(1) are taken off.
    List(&'a [u8]),
    Nlst(&'a [u8]),
    Mlsd(&'a [u8]),
    Mlst(&'a [u8]),
    Size(&'a [u8]),
    Mdtm(&'a [u8]),
    /// The path is empty for the state of the server.
    Stat(&'a [u8]),
    Abor,
    Noop,
    /// The name of a command, or empty.
    Help(&'a [u8]),
    Syst,
    Feat,
    /// `OPTS UTF8 ON`.
    OptsUtf8,
    /// `OPTS MLST` with the facts that are wanted.
    OptsMlst(&'a [u8]),
    /// `OPTS HASH`, with the name of an algorithm or without.
    OptsHash(&'a [u8]),
    Hash(&'a [u8]),
}

/// What `EPSV` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epsv {
    /// The family of the control connection.
    Any,
    /// Family 1 or 2 of RFC 2428.
    Family(u8),
    /// No other way to open data connections from now on.
    All,
}

/// The argument of `EPRT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eprt<'a> {
    /// Family 1 or 2 of RFC 2428.
    pub family: u8,
    /// The address, still as text.
    pub address: &'a str,
    /// The port.
    pub port: u16,
}

/// The commands that are served, with their syntax for `HELP`.
pub const COMMANDS: &[(&str, &str)] = &[
    ("USER", "name"),
    ("PASS", "password"),
    ("QUIT", ""),
    ("CWD", "path"),
    ("CDUP", ""),
    ("PWD", ""),
    ("TYPE", "A | I | L 8"),
    ("MODE", "S"),
    ("STRU", "F"),
    ("PASV", ""),
    ("EPSV", "[1 | 2 | ALL]"),
    ("PORT", "h1,h2,h3,h4,p1,p2"),
    ("EPRT", "|1 or 2|address|port|"),
    ("RETR", "path"),
    ("STOR", "path"),
    ("APPE", "path"),
    ("REST", "offset"),
    ("ALLO", "bytes"),
    ("DELE", "path"),
    ("RMD", "path"),
    ("MKD", "path"),
    ("RNFR", "path"),
    ("RNTO", "path"),
    ("LIST", "[path]"),
    ("NLST", "[path]"),
    ("MLSD", "[path]"),
    ("MLST", "[path]"),
    ("SIZE", "path"),
    ("MDTM", "path"),
    ("STAT", "[path]"),
    ("ABOR", ""),
    ("NOOP", ""),
    ("HELP", "[command]"),
    ("SYST", ""),
    ("FEAT", ""),
    ("OPTS", "UTF8 ON | MLST facts | HASH algorithm"),
    ("HASH", "path"),
];

/// Commands of RFC 959 and 2228 that are known and not offered.
const NOT_OFFERED: &[&str] = &[
    "ACCT", "ADAT", "AUTH", "CCC", "CONF", "ENC", "LANG", "MIC", "PBSZ", "PROT", "REIN", "SITE",
    "SMNT", "STOU",
];

/// Reads `line`, which has no line feed.
///
/// # Errors
///
/// The reply that refuses it.
pub fn parse(line: &[u8]) -> Result<Command<'_>, Refusal> {
    let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &line[..0]),
    };
    let mut name = [0; 4];
    if !(3..=4).contains(&word.len()) {
        return Err(unknown(word));
    }
    name[..word.len()].copy_from_slice(word);
    name.make_ascii_uppercase();
    let name: &[u8] = match &name[..word.len()] {
        // RFC 1123, 4.1.3.1: the older names of the commands about directories.
        b"XCWD" => b"CWD",
        b"XCUP" => b"CDUP",
        b"XPWD" => b"PWD",
        b"XMKD" => b"MKD",
        b"XRMD" => b"RMD",
        name => name,
    };
    let none = |command| match trimmed(rest) {
        b"" => Ok(command),
        _ => Err(Refusal::SYNTAX),
    };
    Ok(match name {
        b"USER" => Command::User(given(rest)?),
        b"PASS" => Command::Pass(rest),
        b"QUIT" => none(Command::Quit)?,
        b"CWD" => Command::Cwd(path(rest)?),
        b"CDUP" => none(Command::Cdup)?,
        b"PWD" => none(Command::Pwd)?,
        b"TYPE" => Command::Type(type_of(rest)?),
        b"MODE" => choice(rest, b"S", b"BC").map(|()| Command::Mode)?,
        b"STRU" => choice(rest, b"F", b"RP").map(|()| Command::Stru)?,
        b"PASV" => none(Command::Pasv)?,
        b"EPSV" => Command::Epsv(epsv(rest)?),
        b"PORT" => port(rest)?,
        b"EPRT" => Command::Eprt(eprt(rest)?),
        b"RETR" => Command::Retr(path(rest)?),
        b"STOR" => Command::Stor(path(rest)?),
        b"APPE" => Command::Appe(path(rest)?),
        b"REST" => Command::Rest(number(trimmed(rest)).ok_or(Refusal::SYNTAX)?),
        b"ALLO" => Command::Allo(allo(rest)?),
        b"DELE" => Command::Dele(path(rest)?),
        b"RMD" => Command::Rmd(path(rest)?),
        b"MKD" => Command::Mkd(path(rest)?),
        b"RNFR" => Command::Rnfr(path(rest)?),
        b"RNTO" => Command::Rnto(path(rest)?),
        b"LIST" => Command::List(optional(without_options(rest))?),
        b"NLST" => Command::Nlst(optional(without_options(rest))?),
        b"MLSD" => Command::Mlsd(optional(rest)?),
        b"MLST" => Command::Mlst(optional(rest)?),
        b"SIZE" => Command::Size(path(rest)?),
        b"MDTM" => Command::Mdtm(path(rest)?),
        b"STAT" => Command::Stat(optional(without_options(rest))?),
        b"ABOR" => none(Command::Abor)?,
        b"NOOP" => Command::Noop,
        b"HELP" => Command::Help(trimmed(rest)),
        b"SYST" => none(Command::Syst)?,
        b"FEAT" => none(Command::Feat)?,
        b"OPTS" => opts(rest)?,
        b"HASH" => Command::Hash(path(rest)?),
        name if NOT_OFFERED.iter().any(|it| it.as_bytes() == name) => {
            return Err(Refusal::new(502, "This command is not implemented."));
        }
        _ => return Err(unknown(word)),
    })
}

/// Another protocol on the port is named, which tells a person what went wrong.
fn unknown(word: &[u8]) -> Refusal {
    match word {
        b"GET" | b"POST" | b"HEAD" => Refusal::new(500, "This is FTP, and no HTTP."),
        _ => Refusal::new(500, "This command is not known; HELP lists those that are."),
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

fn given(text: &[u8]) -> Result<&[u8], Refusal> {
    match trimmed(text) {
        b"" => Err(Refusal::SYNTAX),
        text => Ok(text),
    }
}

/// A path, which may have blanks anywhere.
fn path(text: &[u8]) -> Result<&[u8], Refusal> {
    match optional(text)? {
        b"" => Err(Refusal::SYNTAX),
        text => Ok(text),
    }
}

fn optional(text: &[u8]) -> Result<&[u8], Refusal> {
    match text.contains(&0) {
        true => Err(Refusal::new(501, "A path has no NUL.")),
        false => Ok(text),
    }
}

/// Takes off options as of `ls -la`, which many clients send.
fn without_options(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b"-") {
        let end = rest.iter().position(|byte| *byte == b' ');
        let options = &rest[..end.unwrap_or(rest.len())];
        if options.is_empty() || !options.iter().all(u8::is_ascii_alphabetic) {
            break;
        }
        text = end.map_or(&rest[..0], |at| &rest[at + 1..]);
    }
    text
}

/// Digits alone, without a sign.
fn number(text: &[u8]) -> Option<u64> {
    let is_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = is_digits.then(|| std::str::from_utf8(text).ok())??;
    text.parse().ok()
}

fn type_of(text: &[u8]) -> Result<Type, Refusal> {
    match trimmed(text).to_ascii_uppercase().as_slice() {
        b"A" | b"A N" => Ok(Type::Ascii),
        b"I" | b"L 8" | b"L8" => Ok(Type::Image),
        [b'A' | b'E' | b'L', ..] => Err(Refusal::PARAMETER),
        _ => Err(Refusal::SYNTAX),
    }
}

/// One letter: `served`, or one of `known`.
fn choice(text: &[u8], served: &[u8], known: &[u8]) -> Result<(), Refusal> {
    match trimmed(text).to_ascii_uppercase().as_slice() {
        text if text == served => Ok(()),
        [letter] if known.contains(letter) => Err(Refusal::PARAMETER),
        _ => Err(Refusal::SYNTAX),
    }
}

fn epsv(text: &[u8]) -> Result<Epsv, Refusal> {
    match trimmed(text) {
        b"" => Ok(Epsv::Any),
        text if text.eq_ignore_ascii_case(b"ALL") => Ok(Epsv::All),
        text => match number(text) {
            Some(family) => Ok(Epsv::Family(u8::try_from(family).unwrap_or(u8::MAX))),
            None => Err(Refusal::SYNTAX),
        },
    }
}

/// `h1,h2,h3,h4,p1,p2`.
fn port(text: &[u8]) -> Result<Command<'static>, Refusal> {
    let mut bytes = [0; 6];
    let mut parts = trimmed(text).split(|byte| *byte == b',');
    for byte in &mut bytes {
        let part = parts.next().and_then(number).ok_or(Refusal::SYNTAX)?;
        *byte = u8::try_from(part).map_err(|_| Refusal::SYNTAX)?;
    }
    let [a, b, c, d, high, low] = bytes;
    match parts.next() {
        Some(_) => Err(Refusal::SYNTAX),
        None => Ok(Command::Port([a, b, c, d], u16::from_be_bytes([high, low]))),
    }
}

/// `|1|132.235.1.2|6275|`, with any delimiter of 33 to 126.
fn eprt(text: &[u8]) -> Result<Eprt<'_>, Refusal> {
    let text = std::str::from_utf8(trimmed(text)).map_err(|_| Refusal::SYNTAX)?;
    let delimiter = (text.chars().next())
        .filter(|it| it.is_ascii_graphic())
        .ok_or(Refusal::SYNTAX)?;
    let parts: Vec<&str> = text.split(delimiter).collect();
    let ["", family, address, port, ""] = parts[..] else {
        return Err(Refusal::SYNTAX);
    };
    let number = |text: &str| number(text.as_bytes()).ok_or(Refusal::SYNTAX);
    Ok(Eprt {
        family: u8::try_from(number(family)?).unwrap_or(u8::MAX),
        address,
        port: u16::try_from(number(port)?).map_err(|_| Refusal::SYNTAX)?,
    })
}

/// `bytes`, and perhaps `R size`, which is about records.
fn allo(text: &[u8]) -> Result<u64, Refusal> {
    let text = trimmed(text);
    let end = text.iter().position(|byte| *byte == b' ');
    let (bytes, rest) = text.split_at(end.unwrap_or(text.len()));
    let records = trimmed(rest);
    let is_records = |it: &[u8]| it.len() > 2 && it[..2].eq_ignore_ascii_case(b"R ");
    if !records.is_empty() && (!is_records(records) || number(trimmed(&records[2..])).is_none()) {
        return Err(Refusal::SYNTAX);
    }
    number(bytes).ok_or(Refusal::SYNTAX)
}

fn opts(text: &[u8]) -> Result<Command<'_>, Refusal> {
    let text = trimmed(text);
    let end = text.iter().position(|byte| *byte == b' ');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let rest = trimmed(rest);
    match name.to_ascii_uppercase().as_slice() {
        b"UTF8" | b"UTF-8" if rest.is_empty() || rest.eq_ignore_ascii_case(b"ON") => {
            Ok(Command::OptsUtf8)
        }
        b"UTF8" | b"UTF-8" => Err(Refusal::new(504, "Names are always UTF-8 here.")),
        b"MLST" => Ok(Command::OptsMlst(rest)),
        b"HASH" => Ok(Command::OptsHash(rest)),
        // RFC 2389, 4: the reply for a command without options is 501 too.
        _ => Err(Refusal::new(501, "This has no options.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> u16 {
        parse(line.as_bytes()).expect_err(line).code
    }

    #[test]
    fn names_have_any_case_and_paths_keep_every_byte() {
        assert_eq!(parse(b"retr  a b "), Ok(Command::Retr(b" a b ")));
        assert_eq!(parse(b"StOr \xff\xfe"), Ok(Command::Stor(b"\xff\xfe")));
        assert_eq!(parse(b"XPWD"), Ok(Command::Pwd));
        assert_eq!(parse(b"xmkd a"), Ok(Command::Mkd(b"a")));
        assert_eq!(parse(b"PASS "), Ok(Command::Pass(b"")));
        assert_eq!(parse(b"PASS  x"), Ok(Command::Pass(b" x")));
        assert_eq!(parse(b"LIST"), Ok(Command::List(b"")));
        assert_eq!(parse(b"LIST -la"), Ok(Command::List(b"")));
        assert_eq!(parse(b"LIST -a -l x y"), Ok(Command::List(b"x y")));
        assert_eq!(parse(b"NLST -1"), Ok(Command::Nlst(b"-1")));
        assert_eq!(parse(b"NOOP whatever"), Ok(Command::Noop));
    }

    #[test]
    fn every_command_of_the_list_is_known() {
        for (name, _) in COMMANDS {
            let refused = parse(name.as_bytes()).err();
            assert!(refused.is_none_or(|it| it.code == 501), "{name}");
        }
        for name in NOT_OFFERED {
            assert_eq!(refused(name), 502, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_code_of_the_book() {
        let refused = |code: u16, lines: &[&str]| {
            for line in lines {
                assert_eq!(refused(line), code, "{line:?}");
            }
        };
        refused(
            500,
            &[
                "",
                " ",
                "X",
                "XY",
                "RETRX a",
                "GET / HTTP/1.1",
                "RETR\ta",
                "\0\0\0",
            ],
        );
        refused(
            501,
            &[
                "RETR",
                "RETR ",
                "CWD a\0b",
                "USER",
                "TYPE",
                "TYPE X",
                "MODE",
                "MODE X",
                "STRU SF",
                "REST",
                "REST -1",
                "REST +1",
                "REST 1x",
                "REST 18446744073709551616",
                "QUIT now",
                "PORT",
                "PORT 1,2,3,4,5",
                "PORT 1,2,3,4,5,6,7",
                "PORT 1,2,3,4,5,256",
                "PORT 1,2,3,4,,6",
                "EPRT",
                "EPRT |1|1.2.3.4|99999|",
                "EPRT |1|1.2.3.4|80",
                "EPRT 1|1.2.3.4|80|",
                "ALLO",
                "ALLO x",
                "ALLO 1 X 2",
                "EPSV x",
                "OPTS",
                "OPTS RETR x",
            ],
        );
        refused(
            504,
            &[
                "TYPE E",
                "TYPE A T",
                "TYPE L 16",
                "MODE B",
                "MODE C",
                "STRU R",
                "STRU P",
            ],
        );
    }

    #[test]
    fn arguments_are_read() {
        assert_eq!(parse(b"TYPE a n"), Ok(Command::Type(Type::Ascii)));
        assert_eq!(parse(b"TYPE L 8"), Ok(Command::Type(Type::Image)));
        assert_eq!(
            parse(b"REST 18446744073709551615"),
            Ok(Command::Rest(u64::MAX))
        );
        assert_eq!(parse(b"ALLO 5 R 7"), Ok(Command::Allo(5)));
        assert_eq!(
            parse(b"PORT 127,0,0,1,4,1"),
            Ok(Command::Port([127, 0, 0, 1], 1025))
        );
        let eprt = |family, address, port| {
            Ok(Command::Eprt(Eprt {
                family,
                address,
                port,
            }))
        };
        assert_eq!(parse(b"EPRT |2|::1|6275|"), eprt(2, "::1", 6275));
        assert_eq!(parse(b"EPRT !1!1.2.3.4!80!"), eprt(1, "1.2.3.4", 80));
        assert_eq!(parse(b"EPSV"), Ok(Command::Epsv(Epsv::Any)));
        assert_eq!(parse(b"epsv all"), Ok(Command::Epsv(Epsv::All)));
        assert_eq!(parse(b"EPSV 999"), Ok(Command::Epsv(Epsv::Family(255))));
        assert_eq!(parse(b"OPTS utf8 on"), Ok(Command::OptsUtf8));
        assert_eq!(
            parse(b"OPTS MLST type;size;"),
            Ok(Command::OptsMlst(b"type;size;"))
        );
        assert_eq!(parse(b"OPTS HASH"), Ok(Command::OptsHash(b"")));
    }
}
