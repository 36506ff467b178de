//! What of the file system a program may use, where the kernel has Landlock: what every program of the system uses, and what
//! its grant names. Also no signal to processes outside, and none of their abstract sockets. Not the network: a program dials
//! for itself.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope,
    path_beneath_rules,
};

/// The newest rules that this was tried with; an older kernel enforces what it knows of them.
const ABI_TRIED: ABI = ABI::V7;

/// Programs and libraries: read and run.
const SYSTEM: [&str; 9] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"];

/// What programs look up: loader, resolver, users, time, certificates without their keys, and what machine this is. Nothing of
/// it is secret.
const LOOKED_UP: [&str; 40] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/ld-musl-x86_64.path",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/locale.alias",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/alternatives",
    "/dev/zero",
    "/dev/urandom",
    "/dev/random",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/version",
    "/proc/filesystems",
    "/proc/sys",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
];

/// Where output goes that nobody wants.
const SINKS: [&str; 1] = ["/dev/null"];

/// Whether this kernel can confine a program.
pub(super) fn is_available() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// Confines this thread, and all that it becomes and starts. Where the kernel knows less than this asks for, it does what it
/// can; the host has said so to the operator.
pub(super) fn confine(program: &Path, read: &[PathBuf], write: &[PathBuf]) -> Result<(), String> {
    for path in read.iter().chain(write) {
        // A rule for what is not there would be left out without a word.
        path.metadata().map_err(|e| format!("its grant names {}: {e}", path.display()))?;
    }
    let all = AccessFs::from_all(ABI_TRIED);
    let run = AccessFs::from_read(ABI_TRIED);
    let look_up: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let ruleset = || {
        Ruleset::default()
            .handle_access(all)?
            .scope(Scope::from_all(ABI_TRIED))?
            .create()?
            .add_rules(path_beneath_rules(SYSTEM, run))?
            .add_rules(path_beneath_rules([program], run))?
            .add_rules(path_beneath_rules(LOOKED_UP, look_up))?
            .add_rules(path_beneath_rules(SINKS, look_up | AccessFs::WriteFile))?
            .add_rules(path_beneath_rules(read, run))?
            .add_rules(path_beneath_rules(write, all & !AccessFs::Execute))?
            .restrict_self()
    };
    ruleset().map(|_| ()).map_err(|e: landlock::RulesetError| format!("confine it: {e}"))
}
