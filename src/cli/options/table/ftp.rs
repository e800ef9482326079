//! The rows of `mynah ftp`. It is served with the feature `auth`; without it the command is known
//! and says so. Listeners, limits and time-outs are flags of `serve`, which this command has too.

#[cfg(feature = "auth")]
use super::super::ServiceName;
use super::super::values::{number, put, switch, switch_text};
use super::super::{Command, Options};
use super::{CommandRow, Effect, FTP, Flag};
#[cfg(feature = "auth")]
use crate::kernel::Endpoint;
#[cfg(feature = "auth")]
use crate::limits::LISTEN_DEFAULT;
#[cfg(feature = "auth")]
use crate::server::blocking::Model;

pub(super) const ROW: CommandRow = CommandRow {
    name: FTP,
    about: "serve files to clients of FTP (feature auth)",
    usage: "mynah ftp [OPTIONS]",
    word: |_, _, _| Err("ftp takes no words, the folder follows --root".to_owned()),
    words: (
        "Users (--users FILE)",
        &[
            ("NAME:HASH:HOME:QUOTA:RIGHTS", "a line for each user"),
            (
                "",
                "HASH of --hash-password, HOME below --root, QUOTA as 100m or -,",
            ),
            ("", "RIGHTS of r (read), w (write), d (delete)"),
        ],
    ),
    finish,
    examples: &[
        (
            "mynah ftp --hash-password < password",
            "print the hash for the file of users",
        ),
        (
            "mynah ftp --root /srv/ftp --users /etc/mynah-ftp",
            "for this machine, on 127.0.0.1:7007",
        ),
        (
            "mynah ftp --root /srv/ftp --anonymous --listen *:2121",
            "files of /srv/ftp/anonymous for everyone",
        ),
    ],
};

#[cfg(not(feature = "auth"))]
fn finish(_: Options) -> Result<Command, String> {
    super::needs_auth().map_err(|why| format!("ftp: {why}"))
}

/// Refuses what does not combine.
#[cfg(feature = "auth")]
fn finish(options: Options) -> Result<Command, String> {
    let (mut serve, ftp) = (options.serve, options.ftp);
    if ftp.hash_password {
        return Ok(Command::HashPassword);
    }
    if ftp.root.as_os_str().is_empty() {
        return Err("ftp: needs --root DIR, the folder whose files are served".to_owned());
    }
    if ftp.users.is_none() && !ftp.anonymous {
        return Err("ftp: needs --users FILE, or --anonymous".to_owned());
    }
    serve.service = ServiceName::Ftp;
    serve.framing = "line".parse()?;
    serve.model = Model::Thread;
    serve.ftp = Some(ftp);
    for endpoint in &serve.listen {
        if let Endpoint::At(address) = endpoint {
            serve.check_address(address)?;
        }
    }
    if serve.listen.is_empty() {
        serve.is_listen_default = true;
        serve.listen.push(LISTEN_DEFAULT.parse()?);
    }
    Ok(Command::Serve(Box::new(serve)))
}

/// `A-B`, both included.
fn ports(text: &str) -> Result<std::ops::RangeInclusive<u16>, String> {
    let (first, last) = text
        .split_once('-')
        .ok_or("must be two ports, such as 40000-40099")?;
    let (first, last) = (number(first, 1..=u16::MAX)?, number(last, 1..=u16::MAX)?);
    match first <= last {
        true => Ok(first..=last),
        false => Err(format!("must begin with the lower port, {last}-{first}")),
    }
}

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        long: "--root",
        short: None,
        group: "Files",
        commands: &[FTP],
        help: "the folder below which the homes of all users are",
        default: |_| String::new(),
        effect: Effect::Value("DIR", |options, text| match text {
            "" => Err("is empty, must be a folder".to_owned()),
            text => put(&mut options.ftp.root, Ok(text.into())),
        }),
    },
    Flag {
        long: "--users",
        short: None,
        group: "Files",
        commands: &[FTP],
        help: "the file of users; SIGHUP reads it again, for later logins",
        default: |_| String::new(),
        effect: Effect::Value("FILE", |options, text| {
            put(&mut options.ftp.users, Ok(Some(text.into())))
        }),
    },
    Flag {
        long: "--anonymous",
        short: None,
        group: "Files",
        commands: &[FTP],
        help: "let anonymous in without a password, to read DIR/anonymous",
        default: |options| switch_text(options.ftp.anonymous),
        effect: Effect::Switch(|options, text| put(&mut options.ftp.anonymous, switch(text))),
    },
    Flag {
        long: "--data-ports",
        short: None,
        group: "Files",
        commands: &[FTP],
        help: "ports of passive data connections [any]",
        default: |_| String::new(),
        effect: Effect::Value("A-B", |options, text| {
            put(&mut options.ftp.data_ports, ports(text).map(Some))
        }),
    },
    Flag {
        long: "--hash-password",
        short: None,
        group: "Files",
        commands: &[FTP],
        help: "only print the hash of a password, which is the first line of stdin",
        default: |_| String::new(),
        effect: Effect::Switch(|options, text| put(&mut options.ftp.hash_password, switch(text))),
    },
];
