//! Other programs as clients: Python's ftplib, curl, wget and lftp. A test is skipped without its
//! program.

use std::fs;
use std::process::{Command, Output, Stdio};

use super::{PASSWORD, Site, bytes};
use crate::binary::{Server, is_installed};

fn site(name: &str) -> (Site, Server) {
    let site = Site::new(name, &["ann:ann:-:rwd"]);
    let server = site.start(&["--anonymous"]);
    (site, server)
}

/// Runs a program for at most 20 seconds, in the folder of the test.
fn run(site: &Site, words: &[&str]) -> Output {
    Command::new("timeout")
        .arg("20")
        .args(words)
        .current_dir(&site.path)
        .env("HOME", &site.path)
        .stdin(Stdio::null())
        .output()
        .expect("it is installed")
}

#[test]
fn pythons_ftplib_uploads_checks_resumes_and_lists() {
    if !is_installed("python3") || !is_installed("timeout") {
        return;
    }
    let script = r#"
import ftplib, hashlib, io, sys
port, password = int(sys.argv[1]), sys.argv[2]
data = bytes(range(256)) * 2000
for passive in True, False:
    ftp = ftplib.FTP(encoding="utf-8")
    ftp.connect("127.0.0.1", port, timeout=15)
    ftp.login("ann", password)
    ftp.set_pasv(passive)
    ftp.storbinary("STOR ü.bin", io.BytesIO(data))
    digest = ftp.sendcmd("HASH ü.bin").split()[3]
    assert digest == hashlib.sha256(data).hexdigest(), digest
    assert ftp.size("ü.bin") == len(data)
    back = bytearray()
    ftp.retrbinary("RETR ü.bin", back.extend, rest=1000)
    assert back == data[1000:]
    assert ftp.nlst() == ["ü.bin"], ftp.nlst()
    (name, facts), = ftp.mlsd(facts=["size", "type"])
    assert name == "ü.bin" and facts == {"size": str(len(data)), "type": "file"}, facts
    lines = []
    ftp.retrlines("LIST", lines.append)
    assert len(lines) == 1
    connection = ftp.transfercmd("STOR half")
    connection.sendall(data[:100000])
    while "so far: 0" in ftp.sendcmd("STAT"):
        pass
    # Its last byte is urgent.
    reply = ftp.abort()
    assert reply.startswith("426"), reply
    assert ftp.getmultiline().startswith("226")
    connection.close()
    assert ftp.nlst() == ["ü.bin"]
    ftp.voidcmd("TYPE I")
    had = ftp.size("half")
    ftp.storbinary("STOR half", io.BytesIO(data[had:]), rest=had)
    back = bytearray()
    ftp.retrbinary("RETR half", back.extend)
    assert back == data
    text = io.BytesIO(b"one\r\ntwo\r\n")
    ftp.storlines("STOR text", text)
    assert ftp.mkd("folder") == "/folder"
    ftp.rename("text", "folder/text")
    ftp.cwd("folder")
    assert ftp.pwd() == "/folder"
    ftp.delete("text")
    ftp.cwd("..")
    ftp.rmd("folder")
    ftp.delete("half")
    ftp.delete("ü.bin")
    ftp.quit()
anonymous = ftplib.FTP()
anonymous.connect("127.0.0.1", port, timeout=15)
anonymous.login()
try:
    anonymous.storbinary("STOR x", io.BytesIO(b"x"))
    raise SystemExit("anonymous may write")
except ftplib.error_perm as error:
    assert str(error).startswith("550"), error
anonymous.quit()
"#;
    let (site, server) = site("ftplib");
    let port = server.address().port().to_string();
    let output = run(&site, &["python3", "-c", script, &port, PASSWORD]);
    assert!(output.status.success(), "{output:?}");
    server.end();
}

#[test]
fn curl_moves_files_both_ways_and_continues() {
    if !is_installed("curl") || !is_installed("timeout") {
        return;
    }
    let (site, server) = site("curl");
    let file = bytes(300_000);
    fs::write(site.path.join("local"), &file).expect("a file");
    let url = format!("ftp://127.0.0.1:{}/", server.address().port());
    let user = format!("ann:{PASSWORD}");
    let curl = |more: &[&str]| {
        let output = run(&site, &[&["curl", "-sS", "-u", &user], more].concat());
        assert!(output.status.success(), "{more:?}: {output:?}");
        output.stdout
    };
    let remote = format!("{url}new/folder/remote");
    curl(&["--ftp-create-dirs", "-T", "local", &remote]);
    assert_eq!(curl(&[&remote]), file);
    assert_eq!(curl(&["--disable-epsv", &remote]), file);
    assert_eq!(curl(&["-P", "-", &remote]), file);
    assert_eq!(curl(&["-r", "1000-1999", &remote]), file[1000..2000]);
    fs::write(site.path.join("got"), &file[..1234]).expect("a file");
    curl(&["-C", "-", "-o", "got", &remote]);
    assert_eq!(fs::read(site.path.join("got")).expect("a file"), file);
    fs::write(site.home("half"), &file[..1234]).expect("a file");
    curl(&["-C", "-", "-T", "local", &format!("{url}half")]);
    assert_eq!(fs::read(site.home("half")).expect("a file"), file);
    let list = curl(&["-l", &url]);
    let mut names: Vec<&str> = std::str::from_utf8(&list).expect("text").lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["half", "new"]);
    let head = String::from_utf8(curl(&["-I", &remote])).expect("text");
    assert!(head.contains("Content-Length: 300000"), "{head}");
    server.end();
}

#[test]
fn wget_mirrors_what_anonymous_may_read() {
    if !is_installed("wget") || !is_installed("timeout") {
        return;
    }
    let (site, server) = site("wget");
    let folder = site.root().join("anonymous/a b");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("file"), bytes(100_000)).expect("a file");
    let url = format!("ftp://127.0.0.1:{}/", server.address().port());
    let output = run(&site, &["wget", "-q", "-r", "-nH", "-P", "copy", &url]);
    assert!(output.status.success(), "{output:?}");
    let copy = fs::read(site.path.join("copy/a b/file")).expect("a copy");
    assert_eq!(copy, bytes(100_000));
    server.end();
}

#[test]
fn lftp_mirrors_both_ways() {
    if !is_installed("lftp") || !is_installed("timeout") {
        return;
    }
    let (site, server) = site("lftp");
    let folder = site.path.join("local/sub");
    fs::create_dir_all(&folder).expect("a folder");
    for name in ["one", "two ü"] {
        fs::write(folder.join(name), bytes(50_000)).expect("a file");
    }
    let port = server.address().port().to_string();
    let user = format!("ann,{PASSWORD}");
    let script = "set net:max-retries 1; set net:timeout 10; mirror -R local far; \
                  mirror far back; put -c local/sub/one -o far/sub/one; rm -r far";
    let words = [
        "lftp",
        "-u",
        &user,
        "-p",
        &port,
        "-e",
        &format!("{script}; bye"),
        "127.0.0.1",
    ];
    let output = run(&site, &words);
    assert!(output.status.success(), "{output:?}");
    for name in ["back/sub/one", "back/sub/two ü"] {
        let copy = site.path.join(name);
        assert!(
            fs::read(&copy).is_ok_and(|copy| copy == bytes(50_000)),
            "{name}"
        );
    }
    assert!(!site.home("far").exists());
    server.end();
}
