//! The rows of `mynah connect`.
//!
//! The fields of a row are explained in `table`. Flags with the same name as flags of `mynah serve`
//! mean the same for the client: both ends must agree on `--frame` and `--frame-max`.

use super::super::name_of;
use super::super::values::{
    choice, put, size, size_text, stream_endpoint, switch, switch_text, time_or_off,
    time_or_off_text,
};
use super::super::{Command, Connect};
use super::front::VERSIONS;
use super::{
    AUTHS, CODECS, CONNECT, CommandRow, Effect, FRAME_MAX_MAX, Flag, TIMEOUTS, check_auth,
    check_codec, tls,
};

pub(super) const ROW: CommandRow = CommandRow {
    name: CONNECT,
    about: "talk to a server, as a person or as a pipe",
    usage: "mynah connect ADDR [OPTIONS]",
    word: |options, _, text| match &options.connect_to {
        None => {
            let endpoint = stream_endpoint(text)?;
            endpoint.check_remote()?;
            options.connect_to = Some(endpoint);
            Ok(())
        }
        Some(endpoint) => Err(format!("connect takes one ADDR, and has {endpoint}")),
    },
    words: (
        "Input",
        &[
            ("a terminal", "each line is a message; quit or Ctrl-D ends"),
            (
                "anything else",
                "is sent as it is; with --frame, each line is a message",
            ),
        ],
    ),
    finish: |options| {
        if options.connect.no_jitter && !options.connect.retry {
            return Err("--no-jitter: only with --retry".to_owned());
        }
        let replies = options.connect.once.is_some() && options.connect.framing.has_boundaries();
        if options.connect.greeting && !replies {
            return Err("--greeting: only with --once and a --frame other than raw".to_owned());
        }
        check_auth(options.connect.auth, &options.connect.auth_key_file)?;
        check_codec(options.connect.codec, &options.connect.framing)?;
        tls::check_client(&options.tls)?;
        tls::check_header(&options.tls, options.connect.proxy.is_some())?;
        let connect = Connect {
            tls: options.tls,
            ..options.connect
        };
        match options.connect_to {
            Some(endpoint) => Ok(Command::Connect(endpoint, connect)),
            None => Err("connect: needs an address, mynah connect ADDR".to_owned()),
        }
    },
    examples: &[
        ("mynah connect 7007", "talk to the server on this machine"),
        (
            "mynah connect 7007 --frame u32be --once hello",
            "one message and its reply",
        ),
        (
            "mynah connect unix:/run/echo --retry --timeout 5s",
            "wait for a server that starts",
        ),
    ],
};

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        long: "--frame",
        short: None,
        group: "Messages",
        commands: &[CONNECT],
        help: "where a message ends, as the server was told",
        default: |options| options.connect.framing.to_string(),
        effect: Effect::Value("SPEC", |options, text| {
            put(&mut options.connect.framing, text.parse())
        }),
    },
    Flag {
        long: "--codec",
        short: None,
        group: "Messages",
        commands: &[CONNECT],
        help: "how messages are written in their frames: none or base64",
        default: |options| name_of(&options.connect.codec, CODECS).to_owned(),
        effect: Effect::Value("CODEC", |options, text| {
            put(&mut options.connect.codec, choice(text, CODECS))
        }),
    },
    Flag {
        long: "--auth",
        short: None,
        group: "Messages",
        commands: &[CONNECT],
        help: "prove to know the key: hmac-sha256 or hmac-md5 (feature auth)",
        default: |options| name_of(&options.connect.auth, AUTHS).to_owned(),
        effect: Effect::Value("MAC", |options, text| {
            put(&mut options.connect.auth, choice(text, AUTHS))
        }),
    },
    Flag {
        long: "--auth-key-file",
        short: None,
        group: "Messages",
        commands: &[CONNECT],
        help: "the key: this file without one newline at its end",
        default: |_| String::new(),
        effect: Effect::Value("FILE", |options, text| {
            put(&mut options.connect.auth_key_file, Ok(Some(text.into())))
        }),
    },
    Flag {
        long: "--frame-max",
        short: None,
        group: "Messages",
        commands: &[CONNECT],
        help: "longest frame either way, or payload where the framing is text",
        default: |options| size_text(options.connect.frame_size_max),
        effect: Effect::Value("SIZE", |options, text| {
            put(
                &mut options.connect.frame_size_max,
                size(text, 1..=FRAME_MAX_MAX),
            )
        }),
    },
    Flag {
        long: "--once",
        short: None,
        group: "Messages",
        commands: &[CONNECT],
        help: "send this one and print its reply; in raw, all that is replied",
        default: |_| String::new(),
        effect: Effect::Value("MESSAGE", |options, text| {
            options.connect.once = Some(text.to_owned());
            Ok(())
        }),
    },
    Flag {
        long: "--greeting",
        short: None,
        group: "Messages",
        commands: &[CONNECT],
        help: "once: the server speaks first, and that is not the reply",
        default: |options| switch_text(options.connect.greeting),
        effect: Effect::Switch(|options, text| put(&mut options.connect.greeting, switch(text))),
    },
    Flag {
        long: "--retry",
        short: None,
        group: "Connecting",
        commands: &[CONNECT],
        help: "try 8 times, with pauses of up to 1, 2, 4 ... 64 s",
        default: |options| switch_text(options.connect.retry),
        effect: Effect::Switch(|options, text| put(&mut options.connect.retry, switch(text))),
    },
    Flag {
        long: "--no-jitter",
        short: None,
        group: "Connecting",
        commands: &[CONNECT],
        help: "retry: whole pauses instead of random parts of them",
        default: |options| switch_text(options.connect.no_jitter),
        effect: Effect::Switch(|options, text| put(&mut options.connect.no_jitter, switch(text))),
    },
    Flag {
        long: "--proxy-protocol",
        short: None,
        group: "Connecting",
        commands: &[CONNECT],
        help: "send the header of a load balancer first: off, v1 or v2",
        default: |options| name_of(&options.connect.proxy, VERSIONS).to_owned(),
        effect: Effect::Value("VERSION", |options, text| {
            put(&mut options.connect.proxy, choice(text, VERSIONS))
        }),
    },
    Flag {
        long: "--connect-timeout",
        short: None,
        group: "Connecting",
        commands: &[CONNECT],
        help: "longest connect to one address; --timeout bounds it too",
        default: |options| time_or_off_text(options.connect.connect_timeout),
        effect: Effect::Value("TIME", |options, text| {
            put(
                &mut options.connect.connect_timeout,
                time_or_off(text, TIMEOUTS),
            )
        }),
    },
    Flag {
        long: "--timeout",
        short: None,
        group: "Connecting",
        commands: &[CONNECT],
        help: "longest wait for the server: to connect, to send, to be answered",
        default: |options| time_or_off_text(options.connect.timeout),
        effect: Effect::Value("TIME", |options, text| {
            put(&mut options.connect.timeout, time_or_off(text, TIMEOUTS))
        }),
    },
];
