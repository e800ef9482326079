//! The rows about what comes in front of the first frame: the header of a load balancer.
//!
//! `mynah serve` reads it, `mynah bench` and `mynah connect` send it. The fields of a row are
//! explained in `table`.

use std::net::IpAddr;

use super::super::values::{choice, put};
use super::super::{ProxyMode, Serve, name_of};
use super::{Effect, Flag, SERVE};
use crate::limits::PROXY_RANGES_MAX;
use crate::protocol::front::proxy::Version;
use crate::server::admission::announced::Range;

const PROXY_MODES: &[(&str, Option<ProxyMode>)] = &[
    ("off", None),
    ("accept", Some(ProxyMode::Accept)),
    ("require", Some(ProxyMode::Require)),
];

/// The versions of the header that a client sends.
pub(in crate::cli::options) const VERSIONS: &[(&str, Option<Version>)] = &[
    ("off", None),
    ("v1", Some(Version::V1)),
    ("v2", Some(Version::V2)),
];

/// Refuses what does not combine with `--proxy-protocol`.
pub(super) fn check(serve: &Serve) -> Result<(), String> {
    if serve.proxy.is_none() && !serve.proxy_from.is_empty() {
        return Err("--proxy-from: needs --proxy-protocol accept or require".to_owned());
    }
    if serve.proxy == Some(ProxyMode::Accept) && serve.service.speaks_first() {
        return Err(format!(
            "--proxy-protocol accept: {} speaks first and cannot wait for a header that may not \
             come, write --proxy-protocol require",
            serve.service
        ));
    }
    if serve.proxy == Some(ProxyMode::Accept) && serve.auth.is_some() {
        return Err(
            "--proxy-protocol accept: --auth speaks first and cannot wait for a header that may \
             not come, write --proxy-protocol require"
                .to_owned(),
        );
    }
    Ok(())
}

/// `ADDR` or `ADDR/BITS`.
fn range(text: &str) -> Result<Range, String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let range = address.parse::<IpAddr>().ok().and_then(|address| {
        let is_number = |bits: &&str| bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            Some(bits) => Some(Some(bits).filter(is_number)?.parse().ok()?),
            None => None,
        };
        Range::new(address, bits)
    });
    range.ok_or_else(|| "must be an IP address, or a range such as 10.0.0.0/8".to_owned())
}

pub(super) const PROXY_PROTOCOL: Flag = Flag {
    long: "--proxy-protocol",
    short: None,
    group: "Listening",
    commands: &[SERVE],
    help: "a load balancer announces its clients: off, accept or require",
    default: |options| name_of(&options.serve.proxy, PROXY_MODES).to_owned(),
    effect: Effect::Value("MODE", |options, text| {
        put(&mut options.serve.proxy, choice(text, PROXY_MODES))
    }),
};

pub(super) const PROXY_FROM: Flag = Flag {
    long: "--proxy-from",
    short: None,
    group: "Listening",
    commands: &[SERVE],
    help: "only these peers may; may be repeated, all may without it",
    default: |_| String::new(),
    effect: Effect::Value("ADDR[/BITS]", |options, text| {
        if options.serve.proxy_from.len() == PROXY_RANGES_MAX {
            return Err(format!(
                "must not be the one after {PROXY_RANGES_MAX} others"
            ));
        }
        options.serve.proxy_from.push(range(text)?);
        Ok(())
    }),
};
