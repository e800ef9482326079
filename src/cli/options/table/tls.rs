//! The rows of TLS, of `mynah serve` and of the clients.
//!
//! The fields of a row are explained in `table`. The rows are there without the feature too, so
//! that the help is the same and each flag says what it needs.

use std::path::PathBuf;

use super::super::values::{
    needs_feature, put, switch, switch_text, time_or_off, time_or_off_text,
};
use super::super::{Options, Serve};
use super::{BENCH, CONNECT, Effect, Flag, SERVE, TIMEOUTS};
use crate::kernel::batch::Submit;
use crate::limits::HANDSHAKE_TIMEOUT_DEFAULT;
use crate::transport::Wanted;

/// Stores the name of a file, in a program that has TLS.
fn put_file(place: &mut Option<PathBuf>, text: &str) -> Result<(), String> {
    needs_tls()?;
    if text.is_empty() {
        return Err("must be the name of a file".to_owned());
    }
    *place = Some(text.into());
    Ok(())
}

/// Refuses an option of TLS in a program without it.
pub(in crate::cli::options) fn needs_tls() -> Result<(), String> {
    needs_feature("tls", cfg!(feature = "tls"))
}

/// Stores a switch, which can be off without the feature too.
fn put_switch(place: &mut bool, text: &str) -> Result<(), String> {
    *place = switch(text)?;
    if *place { needs_tls() } else { Ok(()) }
}

/// Refuses options of a client that have no effect, or contradict each other.
pub(in crate::cli::options) fn check_client(wanted: &Wanted) -> Result<(), String> {
    let without = |flag: &str| Err(format!("{flag}: needs --tls"));
    match wanted {
        Wanted {
            on: true,
            ca: Some(_),
            insecure: true,
            ..
        } => Err("--tls-insecure: checks nothing, so not together with --tls-ca".to_owned()),
        Wanted { on: true, .. } => Ok(()),
        Wanted { ca: Some(_), .. } => without("--tls-ca"),
        Wanted { name: Some(_), .. } => without("--tls-name"),
        Wanted { insecure: true, .. } => without("--tls-insecure"),
        _ => Ok(()),
    }
}

/// Refuses the header of a load balancer under TLS: it would have to come before the handshake.
pub(in crate::cli::options) fn check_header(
    wanted: &Wanted,
    has_header: bool,
) -> Result<(), String> {
    match wanted.on && has_header {
        true => Err("--tls: does not combine with --proxy-protocol".to_owned()),
        false => Ok(()),
    }
}

/// Refuses options of TLS that lack another one.
pub(super) fn check(serve: &Serve) -> Result<(), String> {
    match (&serve.tls_cert, &serve.tls_key) {
        (Some(_), None) => Err("--tls-cert: needs --tls-key PEM".to_owned()),
        (None, Some(_)) => Err("--tls-key: needs --tls-cert PEM".to_owned()),
        (None, None) if serve.handshake_timeout != Some(HANDSHAKE_TIMEOUT_DEFAULT) => {
            Err("--handshake-timeout: needs --tls-cert and --tls-key".to_owned())
        }
        // A session reads and writes its socket itself, as often as its records need.
        (Some(_), _) if serve.submit == Submit::Ring => {
            Err("--submit ring: does not combine with --tls-cert".to_owned())
        }
        _ => Ok(()),
    }
}

const fn no_default(_: &Options) -> String {
    String::new()
}

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        long: "--tls-cert",
        short: None,
        group: "TLS",
        commands: &[SERVE],
        help: "speak TLS with the certificates in this file, ours first (feature tls)",
        default: no_default,
        effect: Effect::Value("PEM", |options, text| {
            put_file(&mut options.serve.tls_cert, text)
        }),
    },
    Flag {
        long: "--tls-key",
        short: None,
        group: "TLS",
        commands: &[SERVE],
        help: "the key of the first of them; SIGHUP reads both files again",
        default: no_default,
        effect: Effect::Value("PEM", |options, text| {
            put_file(&mut options.serve.tls_key, text)
        }),
    },
    Flag {
        long: "--handshake-timeout",
        short: None,
        group: "TLS",
        commands: &[SERVE],
        help: "longest time from the accept to the end of the handshake",
        default: |options| time_or_off_text(options.serve.handshake_timeout),
        effect: Effect::Value("TIME", |options, text| {
            put(
                &mut options.serve.handshake_timeout,
                time_or_off(text, TIMEOUTS),
            )
        }),
    },
    Flag {
        long: "--tls",
        short: None,
        group: "TLS",
        commands: &[CONNECT, BENCH],
        help: "speak TLS (feature tls)",
        default: |options| switch_text(options.tls.on),
        effect: Effect::Switch(|options, text| put_switch(&mut options.tls.on, text)),
    },
    Flag {
        long: "--tls-ca",
        short: None,
        group: "TLS",
        commands: &[CONNECT, BENCH],
        help: "trust the issuers in this file [those of the system]",
        default: no_default,
        effect: Effect::Value("PEM", |options, text| put_file(&mut options.tls.ca, text)),
    },
    Flag {
        long: "--tls-name",
        short: None,
        group: "TLS",
        commands: &[CONNECT, BENCH],
        help: "the name that the server must prove [the host of ADDR]",
        default: no_default,
        effect: Effect::Value("NAME", |options, text| {
            needs_tls()?;
            options.tls.name = Some(text.to_owned());
            Ok(())
        }),
    },
    Flag {
        long: "--tls-insecure",
        short: None,
        group: "TLS",
        commands: &[CONNECT, BENCH],
        help: "accept any certificate",
        default: |options| switch_text(options.tls.insecure),
        effect: Effect::Switch(|options, text| put_switch(&mut options.tls.insecure, text)),
    },
];
