//! The conformance kit from a plugin's own tests: builds the component, and has the program `dozo` try it. The kit itself is
//! in that program, so that authors compile none of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What components are built for.
const TARGET: &str = "wasm32-wasip2";

/// A test, `conformance`, that builds this crate's component and puts it through the conformance kit: one line in a file in
/// `tests/`. The file that is named, relative to the crate, says what to try it with; `dozo plugin test --help` says how.
///
/// ```ignore
/// dozo_sdk::conformance!("kit.toml");
/// ```
///
/// It needs the program `dozo`, on PATH or named by the environment variable DOZO; without it the test fails. The component
/// is built with the profile `release`, or with the one that is named: `conformance!("kit.toml", "component")`.
#[macro_export]
macro_rules! conformance {
    ($kit:literal) => {
        $crate::conformance!($kit, "release");
    };
    ($kit:literal, $profile:literal) => {
        #[test]
        fn conformance() {
            $crate::conformance::hold(env!("CARGO_MANIFEST_DIR"), $kit, $profile);
        }
    };
}

/// Fails the test that calls it unless the component passes.
#[doc(hidden)]
pub fn hold(crate_directory: &str, kit: &str, profile: &str) {
    let directory = Path::new(crate_directory);
    let report = build(directory, profile).and_then(|component| try_it(&component, &directory.join(kit)));
    if let Err(why) = report {
        panic!("{why}");
    }
}

/// Builds the component; returns its file.
fn build(directory: &Path, profile: &str) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--target", TARGET, "--profile", profile, "--message-format", "json-render-diagnostics"]);
    let output = command.current_dir(directory).stderr(Stdio::inherit()).output();
    let output = output.map_err(|e| format!("start cargo to build the component: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "the component was not built ({}); if the target is missing: rustup target add {TARGET}",
            output.status
        ));
    }
    let manifest = directory.join("Cargo.toml");
    let messages = String::from_utf8_lossy(&output.stdout);
    let ours = messages.lines().filter_map(|line| component_in(line, &manifest)).next_back();
    ours.ok_or_else(|| "cargo built no component: `crate-type = [\"cdylib\"]` in [lib] makes it one".into())
}

/// The component that one of cargo's messages tells of, if it is this crate's.
fn component_in(message: &str, manifest: &Path) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || Path::new(message["manifest_path"].as_str()?) != manifest {
        return None;
    }
    let files = message["filenames"].as_array()?.iter().filter_map(serde_json::Value::as_str);
    files.map(PathBuf::from).find(|file| file.extension().is_some_and(|ending| ending == "wasm"))
}

/// Has the program try it; its report is the message of the failure.
fn try_it(component: &Path, kit: &Path) -> Result<(), String> {
    let dozo = std::env::var_os("DOZO").unwrap_or_else(|| "dozo".into());
    let mut command = Command::new(&dozo);
    let output = command.args(["plugin", "test"]).arg(component).arg("--config").arg(kit).output();
    let output = output.map_err(|e| {
        format!(
            "start {} for the conformance kit: {e}; install dozo, or name the program in DOZO",
            Path::new(&dozo).display()
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("the component does not conform ({}):\n{out}{err}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_found_among_cargos_messages() {
        let manifest = Path::new("/a/Cargo.toml");
        let line = |path: &str, file: &str| {
            serde_json::json!({"reason": "compiler-artifact", "manifest_path": path, "filenames": [file]}).to_string()
        };
        assert_eq!(component_in(&line("/a/Cargo.toml", "/t/a.wasm"), manifest), Some("/t/a.wasm".into()));
        assert_eq!(component_in(&line("/b/Cargo.toml", "/t/b.wasm"), manifest), None, "a dependency's");
        assert_eq!(component_in(&line("/a/Cargo.toml", "/t/build-script"), manifest), None);
        assert_eq!(component_in("   Compiling a", manifest), None);
    }
}
