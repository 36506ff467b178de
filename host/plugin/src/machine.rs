//! What of the machine plugins need to run, and who may have forbidden it: services are hardened by people who do not know that
//! plugins are compiled. Found out by doing it, before anything is compiled.

use std::ptr::null_mut;

use dozo_job::{Error, Result};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::process::{Resource, getrlimit};

/// Any page will do.
const PAGE: usize = 4096;

/// Refuses a process that may not turn memory that it wrote into code.
#[allow(
    unsafe_code,
    reason = "memory is mapped, made executable, and unmapped again; nothing is read, written or run there"
)]
pub(crate) fn check_code() -> Result<()> {
    // SAFETY: a mapping of its own, which nothing else knows of, and which is gone at the end.
    let made = unsafe {
        mmap_anonymous(null_mut(), PAGE, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).and_then(|page| {
            let made = mprotect(page, PAGE, MprotectFlags::READ | MprotectFlags::EXEC);
            munmap(page, PAGE).and(made)
        })
    };
    made.map_err(|errno| {
        let why = "this process may not run code that it compiled, and plugins are compiled";
        Error::denied(why).caused_by(std::io::Error::from(errno)).hinted(
            "set `MemoryDenyWriteExecute=no` in the systemd unit (with SELinux, allow `execmem`): plugins stay in their sandbox",
        )
    })
}

/// The address space that this process may use, if that is bounded (`ulimit -v`).
pub(crate) fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// How an error of the system ends that says that there is no memory.
const NO_MEMORY: &str = "(os error 12)";

/// What to say of a plugin that could not be started, where the address space is bounded.
pub(crate) fn explain(error: Error) -> Error {
    match address_space() {
        Some(bytes) if error.chain().contains(NO_MEMORY) => error.hinted(format!(
            "this process may use {} MiB of address space: raise `ulimit -v` (`LimitAS=` of a systemd unit) to 4 GiB or more, or \
             bound memory itself, with `MemoryMax=`",
            bytes >> 20
        )),
        _ => error,
    }
}
