//! `mynah merge`, from its files to its exit code.
//!
//! The files are read one after the other, so that only their sum is held. All of them are read
//! before the output file is opened. A file that cannot be read is exit 7; a document that does not
//! fit is exit 1. Errors that the documents tell are part of the report and do not change the exit
//! code: each generator has ended with its own.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::base::text::escape::escape;
use crate::cli::options::Merge;
use crate::kernel::StandardOutput;
use crate::limits::MERGE_SIZE_MAX;
use crate::load::merge::Sum;
use crate::load::report::document;
use crate::load::report::origin::Origin;

use super::output_file::{OutputFile, print_report};
use super::{Exit, Failure, io_failure, words};

pub(super) fn merge(options: &Merge) -> Result<(), Failure> {
    let origin = Origin::here(words());
    let refuse = |line: String| Failure::new(Exit::Usage, line);
    let (mut sum, mut inodes) = (None, Vec::new());
    for path in &options.files {
        let name = escape(&path.to_string_lossy());
        let (text, inode) = read(path, &name)?;
        if let Some((other, _)) = inodes.iter().find(|(_, taken)| *taken == inode) {
            let line = format!("{name}: is the same file as {other}; it would count twice");
            return Err(refuse(line));
        }
        sum = Some(match sum {
            None => Sum::new(&name, &text).map_err(refuse)?,
            Some(mut sum) => {
                Sum::add(&mut sum, &name, &text).map_err(refuse)?;
                sum
            }
        });
        inodes.push((name, inode));
    }
    let Some(mut sum) = sum else { return Ok(()) };
    sum.finish();
    let json = OutputFile::open(&options.json)?;
    if let Some(inode) = json.inode()? {
        if let Some((name, _)) = inodes.iter().find(|(_, taken)| *taken == inode) {
            let line = format!("--json: {name} is read too; name another file");
            return Err(refuse(line));
        }
    }
    StandardOutput::open().map_err(io_failure("stdout"))?;
    let report = sum.report(&origin);
    print_report(&report, json.is_stdout()).and(json.write(|| document::json(&report)))
}

/// The text of a file, and its device and inode number.
fn read(path: &Path, name: &str) -> Result<(String, (u64, u64)), Failure> {
    let failed = io_failure(name);
    let file = File::open(path).map_err(&failed)?;
    let metadata = file.metadata().map_err(&failed)?;
    let mut bytes = Vec::new();
    let most = MERGE_SIZE_MAX as u64;
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let refused = |why: String| Failure::new(Exit::Usage, format!("{name}: {why}"));
    if bytes.len() as u64 > most {
        return Err(refused(format!(
            "is too large, must be at most {most} bytes"
        )));
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| refused("is not text in UTF-8".to_owned()))?;
    Ok((text, (metadata.dev(), metadata.ino())))
}
