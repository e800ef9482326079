//! Where and when a report was made: host, kernel, processors, time, version and options.
//!
//! A report that leaves its machine must say where it comes from. The facts are read once, before
//! the load. A fact that cannot be read is `None`. Man pages: uname(2), proc_sys_kernel(5).

use std::fs;

use crate::base::text::utc::utc_seconds;
use crate::kernel::host;
use crate::load::run::observe;

/// Options whose values may be secrets. The name of a header is kept, its value is not.
const SECRET: &[&str] = &["--header", "-H"];

/// The origin of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The name of the host.
    pub host: Option<String>,
    /// The release of the kernel.
    pub kernel: Option<String>,
    /// The number of processors that the program may use.
    pub cpus: Option<u64>,
    /// When the program started, in nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// The version of mynah.
    pub version: String,
    /// The words of the command line after the name of the command.
    pub options: Vec<String>,
}

impl Origin {
    /// This host, now.
    pub fn here(options: impl IntoIterator<Item = String>) -> Origin {
        let read = |name: &str| {
            let text = fs::read_to_string(host::proc(format_args!("sys/kernel/{name}"))).ok()?;
            Some(text.trim_end().to_owned())
        };
        let cpus = observe::processors().len() as u64;
        Origin {
            host: read("hostname"),
            kernel: read("osrelease"),
            cpus: (cpus > 0).then_some(cpus),
            started_unix_ns: observe::unix_ns(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            options: without_secrets(options),
        }
    }

    /// One line for people: `2026-11-30 20:33:01 UTC on HOST, Linux 6.18, 2 processors`.
    pub fn line(&self) -> String {
        let mut line = utc_seconds(self.started_unix_ns / 1_000_000_000);
        if let Some(host) = &self.host {
            line += &format!(" on {host}");
        }
        if let Some(kernel) = &self.kernel {
            line += &format!(", Linux {kernel}");
        }
        line += &match self.cpus {
            Some(1) => ", 1 processor".to_owned(),
            Some(cpus) => format!(", {cpus} processors"),
            None => String::new(),
        };
        format!("{line}, mynah {}", self.version)
    }
}

/// The options with the values of headers left out: they are often passwords, and reports are
/// published.
fn without_secrets(options: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut is_secret = false;
    let options = options.into_iter().map(|option| {
        let attached = SECRET.iter().find_map(|name| {
            let value = option.strip_prefix(name)?;
            // `--header=X: y` and `-HX: y`; not another option that begins like one of these.
            let is_long = name.starts_with("--") && value.starts_with('=');
            let is_short = !name.starts_with("--") && !value.is_empty();
            (is_long || is_short).then(|| format!("{name}{}", name_of_header(value)))
        });
        let is_value = std::mem::replace(&mut is_secret, SECRET.contains(&option.as_str()));
        match attached {
            _ if is_value => name_of_header(&option),
            Some(attached) => attached,
            None => option,
        }
    });
    options.collect()
}

fn name_of_header(header: &str) -> String {
    match header.split_once(':') {
        Some((name, _)) => format!("{name}: ..."),
        None => "...".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_known() {
        let here = Origin::here(["7007".to_owned()]);
        assert!(here.host.is_some() && here.kernel.is_some() && here.cpus.is_some());
        let line = here.line();
        assert!(
            line.starts_with("20") && line.contains(" UTC on "),
            "{line}"
        );
        assert_eq!(here.options, ["7007"]);
    }

    #[test]
    fn what_is_not_known_is_left_out_of_the_line() {
        let origin = Origin {
            version: "1.2.3".to_owned(),
            ..Origin::default()
        };
        assert_eq!(origin.line(), "1970-01-01 00:00:00 UTC, mynah 1.2.3");
    }

    #[test]
    fn values_of_headers_are_not_told() {
        let given = [
            "7007",
            "-H",
            "Authorization: secret",
            "--header",
            "Cookie: secret",
            "--header=X: secret",
            "-HY:secret",
            "-H",
            "secret",
            "--headers",
            "--rate",
            "5",
        ];
        let told = without_secrets(given.map(str::to_owned));
        let expected = [
            "7007",
            "-H",
            "Authorization: ...",
            "--header",
            "Cookie: ...",
            "--header=X: ...",
            "-HY: ...",
            "-H",
            "...",
            "--headers",
            "--rate",
            "5",
        ];
        assert_eq!(told, expected);
    }
}
