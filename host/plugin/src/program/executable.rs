//! Whether a program is what the operator granted: a file that nobody else could have put there.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dozo_job::{Error, Result, words};

/// Links that are followed; Linux follows as many.
const LINKS: usize = 40;

/// Looks at a program, and at every directory and link that leads to it.
///
/// It is run by the path that the operator wrote, not by what that leads to: a script, or one program of many names, looks at
/// the name it was called by. That is as safe as an opened file as long as only root and this user can change the way.
///
/// # Errors
/// [`Invalid`](dozo_job::Kind::Invalid) if it is not there or no program, [`Denied`](dozo_job::Kind::Denied) if somebody else
/// can change it.
pub(super) fn check(program: &Path) -> Result<()> {
    let shown = program.display();
    for place in way(program)? {
        let metadata = fs::metadata(&place).map_err(|e| unreachable_at(program, e))?;
        if !is_ours(&metadata) {
            let place = place.display().to_string();
            let typed = words::quoted(&place);
            return Err(Error::denied(format!(
                "others than root and this user can change {place}, so {shown} is not run"
            ))
            .hinted(format!("`chown root {typed}` and `chmod o-w {typed}`, or grant the program of another place")));
        }
    }
    let metadata = fs::metadata(program).map_err(|e| unreachable_at(program, e))?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(Error::invalid(format!("{shown} is no program that can be run")));
    }
    Ok(())
}

/// Every file and directory by whose change another program would be run: those that hold the path, and those that its links
/// lead through.
fn way(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut places = BTreeSet::new();
    let mut path = program.to_path_buf();
    for _ in 0..LINKS {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let parent = parent.canonicalize().map_err(|e| unreachable_at(program, e))?;
        places.extend(parent.ancestors().map(Path::to_path_buf));
        match fs::read_link(&path) {
            Ok(target) => path = parent.join(target),
            Err(_) => {
                places.insert(path);
                return Ok(places);
            }
        }
    }
    Err(Error::invalid(format!("{} leads through too many links", program.display())))
}

/// Whether only root and this user can change it. A directory where everybody may put something, and nobody take away what
/// is another's, is no danger to what lies there.
fn is_ours(metadata: &Metadata) -> bool {
    let mode = metadata.permissions().mode();
    let owner = metadata.uid();
    let shared = mode & 0o002 != 0 && !(metadata.is_dir() && mode & 0o1000 != 0);
    !shared && (owner == 0 || owner == rustix::process::geteuid().as_raw())
}

fn unreachable_at(program: &Path, error: std::io::Error) -> Error {
    Error::io(format!("look at the program {}", program.display()), error)
        .hinted("install it on this host, or correct its path in `programs`")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use dozo_job::Kind;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_can_change_is_not_run() {
        let house = tempfile::tempdir().unwrap();
        let (open, program) = (house.path().join("open"), house.path().join("open/program"));
        fs::create_dir(&open).unwrap();
        set_mode(&open, 0o755);
        fs::write(&program, "#!/bin/sh\n").unwrap();
        set_mode(&program, 0o755);
        check(&program).unwrap();
        let link = house.path().join("link");
        symlink("open/program", &link).unwrap();
        check(&link).unwrap();

        for (path, mode) in [(&program, 0o757), (&open, 0o777)] {
            let before = fs::metadata(path).unwrap().permissions();
            set_mode(path, mode);
            for way in [&program, &link] {
                let error = check(way).unwrap_err();
                assert_eq!(error.kind(), Kind::Denied, "{error}");
                assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            }
            fs::set_permissions(path, before).unwrap();
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let house = tempfile::tempdir().unwrap();
        let file = house.path().join("file");
        fs::write(&file, "text").unwrap();
        set_mode(&file, 0o644);
        let looped = house.path().join("loop");
        symlink("loop", &looped).unwrap();
        for path in [&file, &looped, &house.path().join("missing"), &house.path().to_path_buf()] {
            assert_eq!(check(path).unwrap_err().kind(), Kind::Invalid, "{}", path.display());
        }
    }
}
