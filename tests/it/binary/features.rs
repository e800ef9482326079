//! What a build without a feature says about its flags and commands: one line that names the
//! feature, and exit code 1.

use super::server::Ended;

#[test]
fn what_needs_a_feature_says_so() {
    for args in [
        &["sum"][..],
        &["sum", "--md5", "a", "b"],
        &["sum", "--check", "list"],
        &["sum", "--same", "a", "b"],
        &["ftp"],
        &["ftp", "--root", "/", "--anonymous"],
        &["ftp", "--hash-password"],
        &["--auth", "hmac-sha256", "--auth-key-file", "/nowhere"],
        &["upper", "--auth", "hmac-md5"],
        &["--auth-key-file", "/nowhere"],
        &["bench", "7", "--auth", "hmac-md5"],
        &["bench", "7", "--auth-key-file", "/nowhere"],
        &[
            "connect",
            "7007",
            "--auth",
            "hmac-sha256",
            "--auth-key-file",
            "/nowhere",
        ],
    ] {
        let refused = Ended::run(args);
        assert_eq!(refused.code, Some(1), "{args:?}");
        let line = "needs the feature auth, cargo build --release --features auth";
        assert!(
            refused.stderr.iter().any(|it| it.ends_with(line)),
            "{:?}",
            refused.stderr
        );
        assert_eq!(
            (refused.stderr.len(), refused.stdout.len()),
            (1, 0),
            "{args:?}"
        );
    }
}

#[test]
fn what_needs_a_feature_is_in_the_help() {
    let overview = Ended::run(&["--help"]);
    assert!(
        overview
            .stdout
            .iter()
            .any(|line| line.contains("sum [FILE...]"))
    );
    let help = Ended::run(&["help", "sum"]);
    assert!(
        help.stdout
            .iter()
            .any(|line| line.contains("--hmac-key-file FILE"))
    );
}
