//! What is started in this process's place: the file that it was started from, by the path that
//! whoever started it named, with the same arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, access};

/// This very file, whatever has become of its name.
const OWN_IMAGE: &str = "/proc/self/exe";

/// A program and its arguments.
#[derive(Clone, Debug)]
pub(in crate::node) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// What this process was started as. To be asked at start: a relative path is relative to the
    /// directory of that moment, and the name of a file that was replaced since is lost to
    /// `/proc/self/exe`. A link stays one, so that it can be pointed at the next version.
    pub(in crate::node) fn of_this_process() -> Program {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let search = std::env::var_os("PATH");
        let named = arguments.first().and_then(|name| resolve(name, search.as_deref()));
        let path = named.or_else(|| std::env::current_exe().ok());
        Program { path: path.unwrap_or_else(|| PathBuf::from(OWN_IMAGE)), arguments }
    }

    /// Where its file is.
    pub(in crate::node) fn path(&self) -> &Path {
        &self.path
    }

    /// Whatever lies at the path now.
    pub(super) fn command(&self) -> Command {
        self.command_of(&self.path)
    }

    /// This very version, even where its file is gone.
    pub(super) fn own_command(&self) -> Command {
        self.command_of(Path::new(OWN_IMAGE))
    }

    fn command_of(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        let mut arguments = self.arguments.iter();
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments);
        command
    }
}

/// The absolute path of a program by the name that it was called by, as a shell finds it.
fn resolve(name: &OsStr, search: Option<&OsStr>) -> Option<PathBuf> {
    let is_path = Path::new(name).components().count() > 1;
    if is_path {
        return std::path::absolute(name).ok();
    }
    let can_run = |path: &PathBuf| access(path, Access::EXEC_OK).is_ok() && path.is_file();
    let mut found = std::env::split_paths(search?).map(|folder| folder.join(name));
    found.find(can_run).and_then(|path| std::path::absolute(path).ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_name_is_found_as_a_shell_finds_it_and_links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nudged-1");
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let link = folder.path().join("nudged");
        symlink(&file, &link).unwrap();
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let search = std::env::join_paths([Path::new("/nowhere"), folder.path()]).unwrap();
        let found = |name: &str| resolve(OsStr::new(name), Some(&search));
        assert_eq!(found("nudged"), Some(link.clone()));
        assert_eq!(found("plain"), None);
        assert_eq!(found(link.to_str().unwrap()), Some(link));
        let relative = std::env::current_dir().unwrap().join("target/nudged");
        assert_eq!(found("target/nudged"), Some(relative));
        assert_eq!(resolve(OsStr::new("nudged"), None), None);
    }
}
