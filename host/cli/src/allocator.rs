//! How the C library hands memory back. Left alone, each thread gets an arena of its own, and buffers of packs, once they are
//! free, stay in them: a restore then holds twice what it works with (docs/BENCHMARKS.md).

/// Buffers of packs go back to the system at once, those of chunks are used again: fresh memory costs a fault for each page.
#[cfg(target_env = "gnu")]
const RETURNED_BYTES: libc::c_int = 8 << 20;
/// Memory at the end of a heap that is kept although it is free: buffers of chunks come and go there all the time.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: libc::c_int = 16 << 20;

/// To be called first, while there is one thread.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "there is no other way to set this but the environment")]
pub(crate) fn tune() {
    let arenas =
        std::thread::available_parallelism().map_or(1, |cores| cores.get().try_into().unwrap_or(libc::c_int::MAX));
    // SAFETY: mallopt(3) takes two numbers; nothing else runs yet. One that it does not know it ignores.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, arenas);
        libc::mallopt(libc::M_MMAP_THRESHOLD, RETURNED_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}

/// Other C libraries have other allocators.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn tune() {}
