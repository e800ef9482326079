//! Any command line is parsed, or refused with one line without control characters.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use mynah::cli::options::{Command, Parsed, parse};

/// Runs one input.
pub fn play(data: &[u8]) {
    // NUL ends each argument, as in `/proc/PID/cmdline`, because no argument can contain it.
    let args = data.split(|byte| *byte == 0);
    let args: Vec<OsString> = args.map(|word| OsString::from_vec(word.to_vec())).collect();
    let parsed = parse(args.clone());
    match &parsed {
        Ok(Parsed::Run(Command::Serve(serve))) => {
            assert!(!serve.listen.is_empty() && serve.frame_size_max > 0);
            assert!((1..=64).contains(&serve.threads));
            assert!(
                serve
                    .connections_max
                    .is_none_or(|limit| limit as usize >= serve.threads)
            );
        }
        Ok(Parsed::Run(_) | Parsed::Version) => {}
        Ok(Parsed::Help(text)) => assert!(text.ends_with('\n')),
        Err(line) => {
            assert!(
                !line.is_empty() && !line.chars().any(char::is_control),
                "{line:?}"
            );
        }
    }
    assert_eq!(parsed, parse(args));
}
