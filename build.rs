//! Tells the binary which commit it was made of: by the environment, as `tools/package` does; else
//! by git, for builds that are optimized. A build of the tests says `unknown`, so that a commit
//! rebuilds nothing.

use std::path::Path;
use std::process::Command;

fn main() {
    let mut made_of: [Option<String>; 2] = Default::default();
    for (value, name) in made_of.iter_mut().zip(["BUILD_COMMIT", "BUILD_COMMIT_DATE"]) {
        println!("cargo:rerun-if-env-changed={name}");
        *value = std::env::var(name).ok().filter(|value| !value.is_empty());
    }
    println!("cargo:rerun-if-changed=build.rs");
    if made_of[0].is_none() && std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        // A folder that was unpacked inside of another repository is no commit of that one.
        let is_ours = git(&["ls-files", "build.rs"]).is_some();
        let ask = |format| git(&["show", "--no-patch", format, "HEAD"]).filter(|_| is_ours);
        made_of = [ask("--format=%H"), ask("--format=%cs")];
        for file in ["HEAD", "logs/HEAD"] {
            let path = git(&["rev-parse", "--git-path", file]);
            if let Some(path) = path.filter(|path| Path::new(path).exists()) {
                println!("cargo:rerun-if-changed={path}");
            }
        }
    }
    let [commit, date] = made_of;
    let commit: Option<String> = commit.map(|commit| commit.chars().take(12).collect());
    let text = match (&commit, date) {
        (Some(commit), Some(date)) => format!("{commit}, {date}"),
        (Some(commit), None) => commit.clone(),
        (None, _) => "unknown".to_owned(),
    };
    println!("cargo:rustc-env=BUILD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo:rustc-env=BUILD_MADE_OF={text}");
}

/// The first line that git says; `None` where there is no git, or nothing for it to know.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    said.lines().next().map(str::to_owned)
}
