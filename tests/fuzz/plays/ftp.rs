//! Any bytes on a control connection of FTP are the same lines whatever the cuts; each line is a
//! command or a refusal of the book, and no path of a command leads above the home.

use mynah::limits::FTP_PATH_SIZE_MAX;
use mynah::protocol::service::ftp::{
    COMMANDS, Command, Lines, Next, Path, Users, Wanted, is_part, line, parse, quoted,
};

/// Runs one input.
pub fn play(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let at_once = cut(stream, stream.len().max(1));
    assert_eq!(at_once, cut(stream, usize::from(*size).max(1)));
    let mut folder = Path::default();
    for text in &at_once {
        match parse(text) {
            Ok(command) => folder = follow(&command, folder),
            Err(refusal) => {
                assert!((500..=504).contains(&refusal.code), "{refusal:?}");
                is_one_line(&line(refusal.code, refusal.text));
            }
        }
    }
    // A table is read or refused.
    if let Err(why) = Users::parse(stream) {
        assert!(why.starts_with("line "), "{why}");
    }
}

/// The lines of a stream that arrives in pieces of `size` bytes.
fn cut(stream: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (mut lines, mut found) = (Lines::default(), Vec::new());
    for piece in stream.chunks(size) {
        lines.push(piece);
        loop {
            let (has_line, aborts) = (lines.has_line(), lines.begins_with(b"ABOR"));
            match lines.next_line() {
                Next::Line(text) => {
                    assert!(has_line && !text.contains(&b'\n'));
                    let word = text.split(|byte| b" \r".contains(byte)).next();
                    assert_eq!(
                        aborts,
                        word.is_some_and(|it| it.eq_ignore_ascii_case(b"ABOR"))
                    );
                    found.push(text);
                }
                Next::TooLong => assert!(has_line && !aborts),
                Next::Incomplete => break assert!(!has_line),
            }
        }
    }
    found
}

/// Checks what a command names, and returns the directory after it.
fn follow(command: &Command<'_>, folder: Path) -> Path {
    let text = match command {
        Command::Cwd(text) | Command::Retr(text) | Command::Stor(text) | Command::Dele(text) => {
            text
        }
        Command::List(text) | Command::Nlst(text) | Command::Mlsd(text) => text,
        Command::Eprt(asked) => {
            assert!(!asked.address.chars().any(char::is_control) || !asked.address.is_empty());
            return folder;
        }
        Command::OptsMlst(text) => {
            let wanted = Wanted::parse(text);
            assert_eq!(Wanted::parse(wanted.list().as_bytes()), wanted);
            return folder;
        }
        Command::Help(name) => {
            let known = |row: &(&str, &str)| row.0.as_bytes().eq_ignore_ascii_case(name);
            let _ = COMMANDS.iter().any(known);
            return folder;
        }
        _ => return folder,
    };
    let Some(path) = folder.join(text) else {
        return folder;
    };
    let relative = path.relative();
    assert!(relative.len() <= FTP_PATH_SIZE_MAX && !relative.contains(&0));
    if !path.is_root() {
        for name in relative.split(|byte| *byte == b'/') {
            assert!(!name.is_empty() && name != b"." && name != b".." && !is_part(name));
        }
    }
    assert_eq!(path.join(b"."), Some(path.clone()));
    is_one_line(&line(257, quoted(&path.absolute())));
    match command {
        Command::Cwd(_) => path,
        _ => folder,
    }
}

fn is_one_line(reply: &[u8]) {
    let text = reply.strip_suffix(b"\r\n").expect("an end");
    assert!(
        text.iter()
            .all(|byte| !byte.is_ascii_control() && *byte != 255)
    );
    assert!(text[..3].iter().all(u8::is_ascii_digit) && text[3] == b' ');
}
