//! Uploads: whole or not there, continued exactly, within the quota, and gone when they are old.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use mynah::limits::LINGER_TIMEOUT;

use super::peer::Client;
use super::{Site, bytes, served};

#[test]
fn an_upload_appears_whole_and_replaces_at_once() {
    let (site, server, mut client) = served("whole");
    let (old, new) = (bytes(10_000), bytes(300_000));
    assert_eq!(client.put("STOR file", &old), 226);
    assert_eq!(fs::read(site.home("file")).expect("a file"), old);
    let mut other = Client::log_in(&server, "ann");
    let mut data = client.passive();
    client.expect("STOR file", 150);
    data.write_all(&new[..200_000]).expect("it reads");
    while client.moved() < 200_000 {}
    assert!(other.fetch("RETR file") == old);
    assert_eq!(other.fetch_lines("NLST"), ["file"]);
    let _unused = other.passive();
    other.expect("STOR file", 450);
    data.write_all(&new[200_000..]).expect("it reads");
    drop(data);
    assert_eq!(client.reply().code, 226);
    assert!(other.fetch("RETR file") == new);
    assert!(site.parts().is_empty());
    assert_eq!(client.put("STOR empty", b""), 226);
    assert_eq!(client.expect("SIZE empty", 213), "0");
    assert_eq!(client.put("APPE empty", b"more"), 226);
    assert_eq!(client.put("APPE empty", b" and more"), 226);
    assert_eq!(client.fetch("RETR empty"), b"more and more");
    // Active.
    let listener = client.active();
    client.expect("STOR active", 150);
    let (mut data, _) = listener.accept().expect("a connection");
    data.write_all(&old).expect("it reads");
    drop(data);
    assert_eq!(client.reply().code, 226);
    assert!(client.fetch("RETR active") == old);
    client.expect("EPSV", 229);
    client.expect("STOR no/where", 550);
    client.expect("EPSV", 229);
    client.expect("STOR /", 550);
    server.end();
}

#[test]
fn an_aborted_upload_is_nowhere_and_is_continued_by_its_user_alone() {
    let site = Site::new("resume", &["ann:ann:-:rwd", "bob:ann:-:rwd"]);
    let server = site.start(&[]);
    let file = bytes(500_000);
    for (command, kept) in [("REST", 200_000), ("REST", 199_999), ("APPE", 200_000)] {
        let mut client = Client::log_in(&server, "ann");
        client.put_half("STOR file", &file[..200_000]);
        assert!(client.fetch("LIST").is_empty() && client.fetch("NLST").is_empty());
        assert!(client.fetch("MLSD").is_empty());
        let part = site.parts()[0].clone();
        let part = part
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        for command in ["RETR", "SIZE", "DELE", "MDTM", "RNFR", "MLST", "HASH"] {
            let code = client.say(&format!("{command} {part}")).code;
            assert_eq!(code, 553, "{command}");
        }
        client.expect("RETR file", 550);
        client.expect("MDTM file", 550);
        // Another session of the same user goes on.
        drop(client);
        let mut client = Client::log_in(&server, "ann");
        assert_eq!(client.expect("SIZE file", 213), "200000");
        let mut other = Client::log_in(&server, "bob");
        other.expect("SIZE file", 550);
        other.expect("REST 200000", 350);
        let _unused = other.passive();
        other.expect("STOR file", 554);
        client.expect("REST 200001", 350);
        let _unused = client.passive();
        client.expect("STOR file", 554);
        if command == "REST" {
            client.expect(&format!("REST {kept}"), 350);
            assert_eq!(client.put("STOR file", &file[kept..]), 226);
        } else {
            assert_eq!(client.put("APPE file", &file[kept..]), 226);
        }
        assert!(client.fetch("RETR file") == file);
        assert!(site.parts().is_empty());
        client.expect("DELE file", 250);
    }
    server.end();
}

#[test]
fn an_upload_continues_a_file_that_is_there() {
    let (site, server, mut client) = served("continue");
    let (file, other) = (bytes(90_000), vec![7; 50_000]);
    fs::write(site.home("file"), &file[..60_000]).expect("a file");
    client.expect("REST 40000", 350);
    assert_eq!(client.put("STOR file", &file[40_000..]), 226);
    assert!(client.fetch("RETR file") == file);
    // An aborted upload does not touch the file, whose size is still its own.
    client.put_half("STOR file", &other[..30_000]);
    assert_eq!(client.expect("SIZE file", 213), "90000");
    assert!(client.fetch("RETR file") == file);
    client.expect("REST 30000", 350);
    assert_eq!(client.put("STOR file", &other[30_000..]), 226);
    assert!(client.fetch("RETR file") == other);
    server.end();
}

#[test]
fn a_client_that_dies_leaves_a_part_and_no_file() {
    let (site, server, mut client) = served("dies");
    let mut data = client.passive();
    client.expect("STOR file", 150);
    data.write_all(&bytes(70_000)).expect("it reads");
    while client.moved() < 70_000 {}
    // Both connections end, as those of a process that is killed.
    drop(client);
    drop(data);
    let mut client = Client::log_in(&server, "ann");
    while client.say("SIZE file").text() != "70000" {}
    while server.stats().get("connections_now") > 1 {}
    assert!(!site.home("file").exists());
    client.expect("RETR file", 550);
    server.end();
}

#[test]
fn a_quota_holds_while_bytes_arrive_and_credits_what_is_replaced() {
    let site = Site::new("quota", &["ann:ann:100000:rwd"]);
    fs::write(site.home("old"), bytes(40_000)).expect("a file");
    let server = site.start(&[]);
    let mut client = Client::log_in(&server, "ann");
    client.expect("ALLO 60000", 200);
    client.expect("ALLO 60001", 552);
    assert_eq!(client.put("STOR new", &bytes(60_001)), 552);
    assert!(site.parts().is_empty() && !site.home("new").exists());
    client.expect("SIZE new", 550);
    assert_eq!(client.put("STOR new", &bytes(59_999)), 226);
    assert_eq!(client.put("STOR more", b"x"), 226);
    assert_eq!(client.put("STOR most", b"x"), 552);
    // The old file is given back.
    assert_eq!(client.put("STOR new", &bytes(59_000)), 226);
    assert_eq!(client.put("STOR most", &bytes(1000)), 552);
    assert_eq!(client.put("STOR most", &bytes(999)), 226);
    client.expect("DELE old", 250);
    // A part counts, also in another session.
    client.put_half("STOR part", &bytes(30_000));
    let mut client = Client::log_in(&server, "ann");
    client.expect("ALLO 10000", 200);
    client.expect("ALLO 10001", 552);
    client.expect("RNFR new", 350);
    client.expect("RNTO most", 250);
    client.expect("ALLO 10999", 200);
    client.expect("ALLO 11000", 552);
    client.expect("REST 30000", 350);
    assert_eq!(client.put("STOR part", &bytes(10_999)), 226);
    client.expect("ALLO 1", 552);
    server.end();
}

#[test]
fn a_refused_upload_is_read_on_so_that_its_client_gets_the_reason() {
    let site = Site::new("refused", &["ann:ann:100000:rwd"]);
    let server = site.start(&[]);
    let mut client = Client::log_in(&server, "ann");
    // More than the buffers of two sockets: a reset would arrive while it is sent.
    let mut data = client.passive();
    client.expect("STOR big", 150);
    data.write_all(&bytes(16 << 20)).expect("no reset");
    drop(data);
    assert_eq!(client.reply().code, 552);
    assert!(site.parts().is_empty());
    // The reply does not wait for the end, and neither does the next command. A machine that stands
    // still may delay a few.
    let is_prompt = (0..3).any(|_| {
        let mut data = client.passive();
        client.expect("STOR big", 150);
        data.write_all(&bytes(100_001)).expect("it reads");
        assert_eq!(client.reply().code, 552);
        let asked = Instant::now();
        client.expect("NOOP", 200);
        asked.elapsed() < LINGER_TIMEOUT / 2
    });
    assert!(is_prompt, "the next command waits for the data connection");
    client.expect("SIZE big", 550);
    // There is an end of it.
    let mut data = client.passive();
    client.expect("STOR big", 150);
    let endless = bytes(1 << 20);
    while data.write_all(&endless).is_ok() {}
    assert_eq!(client.reply().code, 552);
    client.expect("NOOP", 200);
    server.end();
}

#[test]
fn a_credit_is_not_used_after_its_file_is_deleted() {
    let site = Site::new("credit", &["ann:ann:100000:rwd"]);
    fs::write(site.home("old"), bytes(60_000)).expect("a file");
    let server = site.start(&[]);
    let mut client = Client::log_in(&server, "ann");
    let mut data = client.passive();
    client.expect("STOR old", 150);
    data.write_all(&bytes(60_000)).expect("it reads");
    while client.moved() < 60_000 {}
    let mut other = Client::log_in(&server, "ann");
    other.expect("DELE old", 250);
    assert_eq!(other.put("STOR new", &bytes(40_000)), 226);
    // Within the credit of the file that is gone, and above the quota.
    data.write_all(&bytes(1000)).expect("it reads");
    drop(data);
    assert_eq!(client.reply().code, 552);
    assert!(site.parts().is_empty() && !site.home("old").exists());
    client.expect("ALLO 60000", 200);
    client.expect("ALLO 60001", 552);
    server.end();
}

#[test]
fn parallel_uploads_share_one_quota() {
    let site = Site::new("shared", &["ann:ann:100000:rwd"]);
    let server = site.start(&[]);
    let mut clients = [(); 4].map(|()| Client::log_in(&server, "ann"));
    let codes: Vec<u16> = std::thread::scope(|scope| {
        let put = |(at, client): (usize, &mut Client)| {
            (0..8)
                .map(|turn| client.put(&format!("STOR {at}-{turn}"), &bytes(9000)))
                .collect::<Vec<u16>>()
        };
        let threads: Vec<_> = (clients.iter_mut().enumerate())
            .map(|it| scope.spawn(move || put(it)))
            .collect();
        let codes = threads.into_iter().flat_map(|it| it.join().expect("codes"));
        codes.collect()
    });
    let whole = codes.iter().filter(|code| **code == 226).count();
    assert!(codes.iter().all(|code| [226, 552].contains(code)));
    let held: u64 = fs::read_dir(site.home(""))
        .expect("a home")
        .map(|entry| entry.expect("a file").metadata().expect("facts").len())
        .sum();
    assert_eq!(held, 9000 * whole as u64);
    assert!(held <= 100_000);
    assert!(site.parts().is_empty());
    // What is counted is what is there.
    let left = 100_000 - held;
    clients[0].expect(&format!("ALLO {left}"), 200);
    clients[0].expect(&format!("ALLO {}", left + 1), 552);
    server.end();
}

#[test]
fn an_unfinished_upload_is_deleted_by_its_name_and_with_its_directory() {
    let (site, server, mut client) = served("unfinished");
    client.expect("MKD folder", 257);
    for path in ["file", "folder/file"] {
        let mut other = Client::log_in(&server, "ann");
        let mut data = other.passive();
        other.expect(&format!("STOR {path}"), 150);
        data.write_all(b"half").expect("it reads");
        while other.moved() < 4 {}
        // Not while a session writes it.
        client.expect(&format!("DELE {path}"), 550);
        client.expect("RMD folder", if path == "file" { 250 } else { 550 });
        client.say("MKD folder");
        other.send(b"ABOR\r\n");
        assert_eq!((other.reply().code, other.reply().code), (426, 226));
        assert_eq!(client.expect(&format!("SIZE {path}"), 213), "4");
        match path {
            "file" => client.expect("DELE file", 250),
            _ => client.expect("RMD folder", 250),
        };
        client.expect(&format!("SIZE {path}"), 550);
        assert!(site.parts().is_empty());
    }
    // An upload that never had a data connection leaves nothing to delete.
    client.expect("STOR ghost", 425);
    client.expect("REST 5", 350);
    client.expect("STOR ghost", 554);
    assert!(site.parts().is_empty());
    client.expect("EPSV", 229);
    client.expect("STOR ghost", 150);
    drop(client);
    while server.stats().get("connections_now") > 0 {}
    assert!(site.parts().is_empty());
    server.end();
}

#[test]
fn a_part_is_removed_after_a_day() {
    let (site, server, mut client) = served("old");
    let age = |hours: u64| {
        let part = fs::File::options()
            .append(true)
            .open(&site.parts()[0])
            .expect("a part");
        let time = SystemTime::now() - Duration::from_secs(hours * 3600);
        part.set_modified(time).expect("a time");
    };
    client.put_half("STOR file", b"half");
    age(23);
    assert_eq!(client.expect("SIZE file", 213), "4");
    age(25);
    client.expect("SIZE file", 550);
    client.expect("REST 4", 350);
    let _unused = client.passive();
    client.expect("STOR file", 554);
    assert!(site.parts().is_empty());
    client.put_half("STOR file", b"half");
    age(25);
    server.end();
    // A server that starts looks for them.
    let server = site.start(&[]);
    while !site.parts().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    server.end();
}
