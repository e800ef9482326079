//! Parses the text of a transcript into steps. The parent module documents the format.

use std::path::Path;

/// One expected byte, or any byte.
pub(super) type Pattern = Option<u8>;

/// A transcript.
pub(super) struct Script {
    /// The file name.
    pub(super) name: String,
    /// The first line.
    pub(super) comment: String,
    /// The arguments of `mynah`.
    pub(super) args: Vec<String>,
    pub(super) steps: Vec<Step>,
}

/// One step.
pub(super) enum Step {
    Say(Vec<u8>),
    Hear(Vec<Pattern>),
    Finish,
    Over,
}

impl Script {
    /// Parses `text`; panics if the format is wrong.
    pub(super) fn parse(name: &str, text: &str, folder: &Path) -> Script {
        let folder = folder.to_str().expect("UTF-8");
        let mut script = Script {
            name: name.to_owned(),
            comment: text.lines().next().unwrap_or("").to_owned(),
            args: Vec::new(),
            steps: Vec::new(),
        };
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match kind {
                "#" => {}
                "mynah" => {
                    let args = words(rest).into_iter();
                    script.args = args.map(|word| word.replace("{here}", folder)).collect();
                }
                ">" => {
                    let bytes = pattern(rest).into_iter();
                    let bytes = bytes.map(|byte| byte.expect("one says what one says"));
                    match script.steps.last_mut() {
                        Some(Step::Say(said)) => said.extend(bytes),
                        _ => script.steps.push(Step::Say(bytes.collect())),
                    }
                }
                "<" => match script.steps.last_mut() {
                    Some(Step::Hear(heard)) => heard.extend(pattern(rest)),
                    _ => script.steps.push(Step::Hear(pattern(rest))),
                },
                "fin" => script.steps.push(Step::Finish),
                "over" => script.steps.push(Step::Over),
                _ => panic!("{name}: what is {line:?}?"),
            }
        }
        assert!(!script.steps.is_empty(), "{name}: nothing happens");
        script
    }
}

/// Splits words at blanks and handles single quotes, as a shell does.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in line.chars().chain([' ']) {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted && word.is_empty() => {}
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    words
}

/// The bytes that `text` stands for.
fn pattern(text: &str) -> Vec<Pattern> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(Some(byte));
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(Some(b'\n')),
            Some(b'r') => bytes.push(Some(b'\r')),
            Some(b's') => bytes.push(Some(b' ')),
            Some(b'\\') => bytes.push(Some(b'\\')),
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(Some(u8::from_str_radix(&digits, 16).expect("two digits")));
            }
            Some(b'{') => bytes.extend(vec![None; count(&mut rest)]),
            Some(b'*') => {
                assert_eq!(rest.next(), Some(b'{'), "{text:?}: how often?");
                let again = count(&mut rest).checked_sub(1).expect("once, at least");
                let byte = *bytes.last().expect("a byte to be repeated");
                bytes.extend(vec![byte; again]);
            }
            other => panic!("{text:?}: what is \\{other:?}?"),
        }
    }
    bytes
}

/// The number before a closing brace.
fn count(rest: &mut impl Iterator<Item = u8>) -> usize {
    let digits = rest.take_while(|byte| *byte != b'}').map(char::from);
    digits.collect::<String>().parse().expect("a count")
}

/// Whether `bytes` match the pattern.
pub(super) fn matches(pattern: &[Pattern], bytes: &[u8]) -> bool {
    let same =
        |(expected, byte): (&Pattern, &u8)| expected.is_none_or(|expected| expected == *byte);
    pattern.len() == bytes.len() && pattern.iter().zip(bytes).all(same)
}

/// The pattern in readable form.
pub(super) fn shown(pattern: &[Pattern]) -> String {
    let bytes: Vec<u8> = pattern.iter().map(|byte| byte.unwrap_or(b'?')).collect();
    bytes.escape_ascii().to_string()
}

#[test]
fn a_text_means_what_its_form_says() {
    let text = "# E1: x\nmynah echo --prefix 'a b ' {here}/f\n\n> a\\n\n> b\\x00\\*{3}c\n< \\{2}\\s\nfin\nover";
    let script = Script::parse("x", text, Path::new("/f"));
    assert_eq!(script.args, ["echo", "--prefix", "a b ", "/f/f"]);
    let [Step::Say(said), Step::Hear(heard), Step::Finish, Step::Over] = &script.steps[..] else {
        panic!("other steps");
    };
    assert_eq!(said, b"a\nb\0\0\0c");
    assert!(matches(heard, b"?! ") && !matches(heard, b"?!!") && !matches(heard, b"?!"));
}
