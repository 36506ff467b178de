//! File systems that the kernel makes up as they are looked at. What is in them is no data, is another at each look, and may
//! have no end.

use std::os::fd::AsFd;

use dozo_job::Result;
use rustix::fs::{self, OFlags};

use super::Directory;

/// Their numbers (`linux/magic.h`) and names.
const SPECIAL: &[(u32, &str)] = &[
    (0x0000_9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x0000_1cd1, "devpts"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0x6165_676c, "pstore"),
    (0xcafe_4a11, "bpf"),
    (0x6573_5543, "fusectl"),
    (0x6265_6570, "configfs"),
    (0x1980_0202, "mqueue"),
    (0x9584_58f6, "hugetlbfs"),
    (0x0000_0187, "autofs"),
    (0x4249_4e4d, "binfmt_misc"),
    (0xde5e_81e4, "efivarfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x4341_5d53, "smackfs"),
    (0x6e73_6673, "nsfs"),
    (0x6759_6969, "rpc_pipefs"),
    (0x6e66_7364, "nfsd"),
    (0x0765_5821, "resctrl"),
    (0x6c6f_6f70, "binder"),
];
/// `tmpfs`, and what looks like it.
const TMPFS: u32 = 0x0102_1994;

impl Directory {
    /// The name of the file system in which a path lies, if it is one that the kernel makes up.
    pub(crate) fn special_file_system(&self, path: &str) -> Result<Option<String>> {
        // Opened as a place alone, so that nothing is mounted by being looked at.
        let place = self.open_beneath(path, OFlags::PATH)?;
        let number = kind(&place).map_err(|e| self.failed("look at the file system of", path, e))?;
        let name = SPECIAL.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
        let name = name.or_else(|| (number == TMPFS && is_devtmpfs(&place)).then_some("devtmpfs"));
        Ok(name.map(str::to_string))
    }
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "its type differs from machine to machine; the numbers have 32 bits"
)]
fn kind(place: impl AsFd) -> rustix::io::Result<u32> {
    Ok(fs::fstatfs(place)?.f_type as u32)
}

/// Whether a tmpfs is the one in which the kernel makes devices: the list of mounts tells. Without it nothing is lost, as
/// devices are not read.
fn is_devtmpfs(place: impl AsFd) -> bool {
    let Ok(stat) = fs::fstat(place) else { return false };
    let device = format!("{}:{}", fs::major(stat.st_dev), fs::minor(stat.st_dev));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|line| {
        let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next());
        line.split(' ').nth(2) == Some(&device) && kind == Some("devtmpfs")
    })
}
