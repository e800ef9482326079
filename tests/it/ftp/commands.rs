//! The commands, one after the other, with the replies of the book.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

use mynah::limits::{FTP_ASCII_SIZE_MAX, FTP_PASSWORD_SIZE_MAX};

use super::peer::Client;
use super::{PASSWORD, Site, bytes, hash, hash_of, hash_password, served, text};

#[test]
fn a_hash_has_no_colon_and_a_salt_of_its_own() {
    assert!(hash().starts_with("$argon2id$") && !hash().contains(':'));
    assert_ne!(hash_of(PASSWORD), hash());
}

#[test]
fn a_user_logs_in_and_a_wrong_password_does_not() {
    let site = Site::new("login", &["ann:ann:-:rwd"]);
    let server = site.start(&["--anonymous"]);
    let mut client = Client::connect(&server);
    for command in ["PWD", "CWD /", "RETR x", "PASV", "REST 1", "TYPE I", "LIST"] {
        client.expect(command, 530);
    }
    client.expect(&format!("PASS {PASSWORD}"), 503);
    for command in ["NOOP", "SYST", "FEAT", "HELP", "OPTS UTF8 ON"] {
        let code = client.say(command).code;
        assert!(matches!(code, 200..300), "{command}");
    }
    client.expect("USER ann", 331);
    client.expect("PASS wrong", 530);
    client.expect("USER nobody", 331);
    client.expect("PASS wrong", 530);
    client.expect("USER ann", 331);
    client.expect(&format!("PASS {PASSWORD}"), 230);
    client.expect("PWD", 257);
    client.expect("REST 1", 350);
    client.expect("USER anonymous", 331);
    client.expect("PWD", 530);
    client.expect("PASS me@", 230);
    // The offset was that of another user.
    fs::write(site.root().join("anonymous/file"), "text").expect("a file");
    assert_eq!(client.fetch("RETR file"), b"text");
    client.expect("MKD x", 550);
    client.expect("QUIT", 221);
    assert!(client.has_ended());
    assert!(site.root().join("anonymous").is_dir());
    server.end();
}

#[test]
fn a_password_has_a_longest_size() {
    let longest = "p".repeat(FTP_PASSWORD_SIZE_MAX);
    let site = Site::new("password", &[]);
    let line = format!("ann:{}:ann:-:r\n", hash_of(&longest));
    fs::write(site.users(), line).expect("it is written");
    let server = site.start(&[]);
    let mut client = Client::connect(&server);
    for (password, code) in [
        (&longest[1..], 530),
        (&format!("{longest}p"), 530),
        (&longest, 230),
    ] {
        client.expect("USER ann", 331);
        client.expect(&format!("PASS {password}"), code);
    }
    server.end();
    assert_eq!(hash_of(&longest[1..]).split('$').count(), 6);
    let ended = hash_password(&format!("{longest}p"));
    assert_eq!(ended.status.code(), Some(1));
    let expected = format!("must have at most {FTP_PASSWORD_SIZE_MAX} bytes");
    let line = String::from_utf8_lossy(&ended.stderr);
    assert!(line.contains(&expected), "{line}");
}

#[test]
fn the_features_and_the_help_are_lists() {
    let (_site, server, mut client) = served("features");
    let features = client.say("FEAT");
    assert_eq!(features.code, 211);
    for feature in [
        "UTF8",
        "TVFS",
        "REST STREAM",
        "SIZE",
        "MDTM",
        "EPSV",
        "HASH SHA-256*;MD5",
    ] {
        assert!(features.lines.contains(&format!(" {feature}")), "{feature}");
    }
    let facts = " MLST type*;size*;modify*;perm*;unique*;".to_owned();
    assert!(features.lines.contains(&facts), "{features:?}");
    assert_eq!(
        client.expect("OPTS MLST size;x;type;", 200),
        "MLST OPTS type;size;"
    );
    let facts = " MLST type*;size*;modify;perm;unique;".to_owned();
    assert!(client.say("FEAT").lines.contains(&facts));
    assert!(client.say("HELP").lines.len() > 4);
    client.expect("HELP stor", 214);
    client.expect("HELP what", 502);
    client.expect("SYST", 215);
    client.expect("STAT", 211);
    client.expect("MODE S", 200);
    client.expect("MODE B", 504);
    client.expect("STRU F", 200);
    client.expect("TYPE E", 504);
    client.expect("SITE x", 502);
    client.expect("AUTH TLS", 502);
    client.expect("WHAT", 500);
    client.expect("ABOR", 226);
    client.expect("RNTO x", 503);
    client.expect("ALLO 1000", 200);
    server.end();
}

#[test]
fn directories_are_made_listed_entered_and_removed() {
    let (site, server, mut client) = served("folders");
    fs::write(site.home("a file"), "text").expect("a file");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = fs::File::options()
        .append(true)
        .open(site.home("a file"))
        .expect("a file");
    file.set_modified(time).expect("a time");
    assert_eq!(
        client.expect("MKD do\"or", 257),
        "\"/do\"\"or\" is created."
    );
    client.expect("MKD do\"or", 550);
    client.expect("MKD a/b", 550);
    client.expect("CWD do\"or", 250);
    assert!(client.expect("PWD", 257).starts_with("\"/do\"\"or\""));
    client.expect("MKD ü", 257);
    client.expect("CWD ü/../../..", 250);
    assert!(client.expect("PWD", 257).starts_with("\"/\""));
    client.expect("CWD nowhere", 550);
    client.expect("CWD a file", 550);
    let mut names = client.fetch_lines("NLST");
    names.sort();
    assert_eq!(names, ["a file", "do\"or"]);
    assert_eq!(client.fetch_lines("NLST do\"or"), ["do\"or/ü"]);
    assert_eq!(client.fetch_lines("NLST a file"), ["a file"]);
    let mut lines = client.fetch_lines("LIST -la");
    lines.sort();
    assert!(lines[0].starts_with("-rw") && lines[0].ends_with(" 4 Sep  9  2001 a file"));
    assert!(lines[1].starts_with("drwx"), "{lines:?}");
    let mut facts = client.fetch_lines("MLSD");
    facts.sort();
    assert!(facts[0].starts_with("type=dir;modify="), "{facts:?}");
    let file = "type=file;size=4;modify=20010909014640;perm=rafwd;unique=";
    assert!(facts[1].starts_with(file), "{facts:?}");
    let one = client.say("MLST a file");
    assert!(
        one.code == 250 && one.lines[1].starts_with(&format!(" {file}")),
        "{one:?}"
    );
    assert!(one.lines[1].ends_with("; /a file"), "{one:?}");
    let here = client.say("STAT /");
    assert!(here.code == 212 && here.lines.len() == 4, "{here:?}");
    assert_eq!(client.say("STAT a file").code, 213);
    assert_eq!(client.expect("MDTM a file", 213), "20010909014640");
    client.expect("MDTM do\"or", 550);
    client.expect("DELE do\"or", 550);
    client.expect("RMD do\"or", 550);
    client.expect("RMD do\"or/ü", 250);
    client.expect("RNFR do\"or", 350);
    client.expect("RNTO gate", 250);
    client.expect("RMD gate", 250);
    client.expect("RNFR nowhere", 550);
    client.expect("DELE a file", 250);
    assert!(client.fetch("MLSD").is_empty());
    client.expect("MLSD nowhere", 550);
    server.end();
}

#[test]
fn a_download_is_exact_from_every_offset_and_by_every_way() {
    let (site, server, mut client) = served("download");
    let file = bytes(700_000);
    fs::write(site.home("file"), &file).expect("a file");
    assert_eq!(client.expect("SIZE file", 213), "700000");
    assert!(client.fetch("RETR file") == file);
    for offset in [1, 350_000, 699_999, 700_000] {
        client.expect(&format!("REST {offset}"), 350);
        assert!(client.fetch("RETR file") == file[offset..], "{offset}");
    }
    // The offset was for one transfer.
    assert_eq!(client.fetch("RETR file").len(), file.len());
    client.expect("REST 700001", 350);
    let _unused = client.passive();
    client.expect("RETR file", 554);
    client.expect("RETR nowhere", 550);
    client.expect("RETR /", 550);
    // Active.
    let listener = client.active();
    client.expect("RETR file", 150);
    let (mut data, _) = listener.accept().expect("a connection");
    let mut got = Vec::new();
    super::peer::again(|| data.read_to_end(&mut got)).expect("bytes");
    assert!(got == file);
    assert_eq!(client.reply().code, 226);
    // PASV.
    let text = client.expect("PASV", 227);
    let numbers: Vec<u16> = text[text.find('(').expect("numbers") + 1..text.len() - 2]
        .split(',')
        .map(|number| number.parse().expect("a number"))
        .collect();
    assert_eq!(numbers[..4], [127, 0, 0, 1]);
    let port = numbers[4] << 8 | numbers[5];
    let mut data = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    client.expect("RETR file", 150);
    got.clear();
    super::peer::again(|| data.read_to_end(&mut got)).expect("bytes");
    assert!(got == file);
    assert_eq!(client.reply().code, 226);
    client.expect("RETR file", 425);
    client.expect("EPSV 2", 522);
    client.expect("EPRT |3|x|2000|", 522);
    client.expect("EPSV ALL", 200);
    client.expect("PASV", 503);
    client.expect("PORT 127,0,0,1,8,8", 503);
    assert_eq!(client.fetch("RETR file").len(), file.len());
    server.end();
}

#[test]
fn ascii_ends_lines_with_cr_lf_on_the_wire_alone() {
    let (site, server, mut client) = served("ascii");
    fs::write(site.home("file"), "one\ntwo\r\n\n").expect("a file");
    client.expect("TYPE A", 200);
    assert_eq!(client.expect("SIZE file", 213), "13");
    let wire = b"one\r\ntwo\r\r\n\r\n";
    assert_eq!(client.fetch("RETR file"), wire);
    client.expect("REST 4", 350);
    assert_eq!(client.fetch("RETR file"), wire[4..]);
    assert_eq!(client.put("STOR copy", wire), 226);
    assert_eq!(
        fs::read(site.home("copy")).expect("a file"),
        b"one\ntwo\r\n\n"
    );
    client.expect("REST 4", 350);
    client.expect("STOR copy", 504);
    let large = fs::File::create(site.home("large")).expect("a file");
    large.set_len(FTP_ASCII_SIZE_MAX + 1).expect("it is sparse");
    assert!(client.expect("SIZE large", 550).contains("use TYPE I"));
    server.end();
}

#[test]
fn a_hash_checks_a_transfer() {
    let (site, server, mut client) = served("hash");
    fs::write(site.home("word"), "abc@123").expect("a file");
    fs::write(site.home("none"), "").expect("a file");
    let text = client.expect("HASH word", 213);
    let fields: Vec<&str> = text.split(' ').collect();
    assert_eq!(fields[0], "SHA-256");
    assert_eq!(fields[1], "0-6");
    assert_eq!(fields[2].len(), 64);
    assert_eq!(fields[3], "word");
    assert_eq!(client.expect("OPTS HASH", 200), "SHA-256");
    assert_eq!(client.expect("OPTS HASH md5", 200), "MD5");
    let md5 = "MD5 0-6 b24331b1a138cde62aa1f679164fc62f word";
    assert_eq!(client.expect("HASH word", 213), md5);
    assert!(
        client
            .expect("HASH none", 213)
            .contains("d41d8cd98f00b204e9800998ecf8427e")
    );
    client.expect("OPTS HASH SHA-1", 504);
    client.expect("HASH nowhere", 550);
    client.expect("HASH /", 550);
    server.end();
}

#[test]
fn rights_are_those_of_the_file_of_users() {
    let users = [
        "reader:ann:-:r",
        "writer:ann:-:w",
        "deleter:ann:-:d",
        "none:ann:-:",
    ];
    let site = Site::new("rights", &users);
    fs::write(site.home("file"), "text").expect("a file");
    let server = site.start(&[]);
    let asked = [
        ("RETR file", "r"),
        ("LIST", "r"),
        ("NLST", "r"),
        ("MLSD", "r"),
        ("MLST file", "r"),
        ("HASH file", "r"),
        ("STOR new", "w"),
        ("APPE new", "w"),
        ("MKD x", "w"),
        ("RNFR file", "w"),
        ("DELE gone", "d"),
        ("RMD gone", "d"),
    ];
    for (user, right) in [
        ("reader", "r"),
        ("writer", "w"),
        ("deleter", "d"),
        ("none", ""),
    ] {
        let mut client = Client::log_in(&server, user);
        for (command, needed) in asked {
            client.expect("EPSV", 229);
            let reply = client.say(command);
            let is_denied = reply.code == 550 && reply.text().contains("Permission");
            assert_eq!(is_denied, right != needed, "{user} {command}: {reply:?}");
            if reply.code == 150 {
                client.send(b"ABOR\r\n");
                while client.reply().code != 226 {}
            }
        }
    }
    server.end();
}

#[test]
fn a_reload_changes_later_logins_and_a_bad_file_changes_nothing() {
    let site = Site::new("reload", &["ann:ann:-:r"]);
    let server = site.start(&[]);
    let mut old = Client::log_in(&server, "ann");
    site.write_users(&["ann:ann:-:w", "bob:bob:-:r"]);
    server.signal("HUP");
    server.hears("read again");
    server.stats();
    let mut new = Client::log_in(&server, "ann");
    new.expect("MKD x", 257);
    old.expect("MKD y", 550);
    let _bob = Client::log_in(&server, "bob");
    assert!(site.root().join("bob").is_dir());
    fs::write(site.users(), "ann:secret\n").expect("it is written");
    server.signal("HUP");
    server.hears("line 1: has 2 fields");
    let _still = Client::log_in(&server, "bob");
    server.end();
}

#[test]
fn a_drain_ends_idle_sessions_and_lets_a_transfer_finish() {
    let (site, server, mut client) = served("drain");
    let mut idle = Client::connect(&server);
    let file = bytes(8 << 20);
    fs::write(site.home("file"), &file).expect("a file");
    let mut data = client.passive();
    client.expect("RETR file", 150);
    server.signal("TERM");
    assert_eq!(idle.reply().code, 421);
    assert!(idle.has_ended());
    let mut got = Vec::new();
    super::peer::again(|| data.read_to_end(&mut got)).expect("bytes");
    assert_eq!(got.len(), file.len());
    assert_eq!(client.reply().code, 226);
    assert_eq!(client.reply().code, 421);
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn a_drain_time_out_cuts_a_transfer() {
    let site = Site::new("cut", &["ann:ann:-:rwd"]);
    let server = site.start(&["--drain-timeout", "200ms"]);
    let mut client = Client::log_in(&server, "ann");
    let mut data = client.passive();
    client.expect("STOR file", 150);
    data.write_all(b"half").expect("it reads");
    while client.moved() < 4 {}
    server.signal("TERM");
    assert_eq!(server.ended().code, Some(10));
    assert!(!site.home("file").exists());
    assert_eq!(site.parts().len(), 1);
}

#[test]
fn statistics_count_sessions_commands_and_bytes() {
    let (site, server, mut client) = served("stats");
    fs::write(site.home("file"), bytes(1000)).expect("a file");
    client.fetch("RETR file");
    let stats = server.stats();
    assert_eq!(stats.get("connections_now"), 1);
    assert_eq!(stats.get("frames"), 5);
    assert!(stats.get("bytes_out") > 1000);
    client.expect("QUIT", 221);
    assert!(client.has_ended());
    server.end();
}

/// A few ports in a row that are free now, below those that the kernel gives to clients.
fn free_ports() -> (u16, u16) {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let start = 10_000 + (std::process::id() % 20_000) as u16;
    let first = (start..)
        .step_by(4)
        .find(|first| (*first..*first + 4).all(|port| is_free(&port)));
    let first = first.expect("free ports");
    (first, first + 3)
}

fn parsed(address: &str) -> std::net::SocketAddr {
    let address = address.strip_prefix("tcp://").expect("TCP");
    address.parse().expect("an address")
}

#[test]
fn data_connections_are_of_the_family_of_the_session_and_in_the_range() {
    let site = Site::new("family", &["ann:ann:-:rwd"]);
    let ipv6 = std::net::TcpListener::bind(("::1", 0)).is_ok();
    if !ipv6 {
        crate::skip::skip("no IPv6 on this machine");
    }
    let (first, last) = free_ports();
    let range = ["--data-ports", &format!("{first}-{last}")];
    let listen = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0"];
    let server = site.start(&[&range, &listen[..if ipv6 { 4 } else { 2 }]].concat());
    let file = bytes(1000);
    for address in server.addresses() {
        let mut client = Client::connect_to(parsed(address));
        client.expect("USER ann", 331);
        client.expect(&format!("PASS {PASSWORD}"), 230);
        client.expect("TYPE I", 200);
        for _ in 0..10 {
            let port = client.epsv().port();
            assert!((first..=last).contains(&port), "{port}");
        }
        assert_eq!(client.put("STOR file", &file), 226);
        if client.address.is_ipv4() {
            continue;
        }
        client.expect("PASV", 425);
        client.expect("EPSV 1", 522);
        client.expect("EPSV 2", 229);
        client.expect("EPRT |1|127.0.0.1|2000|", 504);
        let listener = std::net::TcpListener::bind(("::1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        client.expect(&format!("EPRT |2|::1|{port}|"), 200);
        client.expect("RETR file", 150);
        let (mut data, _) = listener.accept().expect("a connection");
        let mut got = Vec::new();
        super::peer::again(|| data.read_to_end(&mut got)).expect("bytes");
        assert!(got == file);
        assert_eq!(client.reply().code, 226);
    }
    server.end();
}

#[test]
fn a_wrong_command_line_is_one_line() {
    let site = Site::new("usage", &["ann:ann:-:r"]);
    let (root, users) = (site.root(), site.users());
    let (root, users) = (text(&root), text(&users));
    for (args, expected) in [
        (&["ftp"][..], "needs --root"),
        (&["ftp", "--root", root], "needs --users"),
        (
            &["ftp", "--root", "/nowhere", "--anonymous"],
            "--root /nowhere: ",
        ),
        (
            &["ftp", "--root", root, "--users", "/nowhere"],
            "--users /nowhere: ",
        ),
        (
            &["ftp", "--root", root, "--users", root],
            "is not a regular file",
        ),
        (&["ftp", "--data-ports", "5"], "must be two ports"),
        (
            &["ftp", "--data-ports", "9-5"],
            "must begin with the lower port",
        ),
        (&["ftp", "--data-ports", "0-5"], "--data-ports 0-5: "),
        (
            &[
                "ftp", "--root", root, "--users", users, "--listen", "unix:/x",
            ],
            "needs an address",
        ),
        (
            &[
                "ftp", "--root", root, "--users", users, "--listen", "udp://1",
            ],
            "needs an address",
        ),
        (&["ftp", "here"], "takes no words"),
        (&["ftp", "--threads", "2"], "belongs to mynah serve"),
    ] {
        let ended = crate::binary::Ended::run(args);
        assert_eq!(ended.code, Some(1), "{args:?}");
        assert_eq!(ended.stderr.len(), 1, "{args:?}: {:?}", ended.stderr);
        assert!(
            ended.stderr[0].contains(expected),
            "{args:?}: {:?}",
            ended.stderr
        );
    }
    fs::write(users, "ann:x:a:-:r\n").expect("it is written");
    let ended = crate::binary::Ended::run(&["ftp", "--root", root, "--users", users]);
    assert!(
        ended.stderr[0].contains("line 1: the hash is no hash"),
        "{:?}",
        ended.stderr
    );
}
