//! The contract's words to ours and back.

use dozo_job::port::{self, Entry, EntryKind, Posix, Time};
use dozo_job::{Error, Kind};

use crate::bindings::dozo::plugin::{source_types, types};
use crate::bindings::exports::dozo::plugin::notifier;
use crate::limits::MESSAGE_BYTES;
use crate::redact::Secrets;

/// Between an error and its hint, in the one string that the contract has for both. A plugin that hands the host's error
/// back hands the hint back with it.
const HINT: &str = "; hint: ";

/// An error as a plugin gets it: the whole chain, because it has no other place to look.
pub(crate) fn error_to_wit(error: &Error) -> types::Error {
    let message = match error.hint() {
        Some(hint) => format!("{}{HINT}{hint}", error.chain()),
        None => error.chain(),
    };
    match error.kind() {
        Kind::Unavailable | Kind::Busy => types::Error::Unavailable(message),
        Kind::Invalid => types::Error::Invalid(message),
        Kind::Denied => types::Error::Denied(message),
        Kind::NotGranted => types::Error::NotGranted(message),
        Kind::Corrupt => types::Error::Corrupt(message),
        Kind::Unsupported => types::Error::Unsupported(message),
        Kind::Internal => types::Error::Internal(message),
    }
}

/// An error as a plugin gave it: without secrets, and not endless.
pub(crate) fn error_from_wit(error: types::Error, secrets: &Secrets) -> Error {
    let (kind, message) = match error {
        types::Error::Unavailable(message) => (Kind::Unavailable, message),
        types::Error::Invalid(message) => (Kind::Invalid, message),
        types::Error::Denied(message) => (Kind::Denied, message),
        types::Error::NotGranted(message) => (Kind::NotGranted, message),
        types::Error::Corrupt(message) => (Kind::Corrupt, message),
        types::Error::Unsupported(message) => (Kind::Unsupported, message),
        types::Error::Internal(message) => (Kind::Internal, message),
    };
    let message = printable(secrets.redact(message));
    match message.split_once(HINT) {
        Some((what, hint)) => Error::new(kind, what).hinted(hint),
        None => Error::new(kind, message),
    }
}

/// A message that can be printed: bounded, with what a terminal would obey written out.
pub(crate) fn printable(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES {
        let end = (0..=MESSAGE_BYTES).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    dozo_job::shown(&message).into_owned()
}

/// What happened, as a notifier gets it.
pub(crate) fn event_to_wit(event: port::Event) -> notifier::Event {
    let port::Event { kind, job, host, summary, report } = event;
    notifier::Event { kind: kind.word().into(), job, host, summary, report }
}

pub(crate) fn entry_from_wit(entry: types::Entry) -> Entry {
    let types::Entry { path, kind, size, modified, version, posix, attributes } = entry;
    Entry {
        path,
        kind: match kind {
            types::Kind::File => EntryKind::File,
            types::Kind::Directory => EntryKind::Directory,
            types::Kind::Symlink(target) => EntryKind::Symlink(target),
            types::Kind::Hardlink(path) => EntryKind::Hardlink(path),
            types::Kind::Fifo => EntryKind::Fifo,
            types::Kind::Socket => EntryKind::Socket,
            types::Kind::CharDevice((major, minor)) => EntryKind::CharDevice(major, minor),
            types::Kind::BlockDevice((major, minor)) => EntryKind::BlockDevice(major, minor),
        },
        size,
        modified: modified.map(|time| Time { seconds: time.seconds, nanoseconds: time.nanoseconds }),
        version,
        posix: posix.map(|posix| Posix {
            mode: posix.mode,
            uid: posix.uid,
            gid: posix.gid,
            user: posix.user,
            group: posix.group,
            xattrs: posix.xattrs,
            links: posix.links,
            sparse: posix.sparse,
        }),
        attributes,
    }
}

pub(crate) fn entry_to_wit(entry: Entry) -> types::Entry {
    let Entry { path, kind, size, modified, version, posix, attributes } = entry;
    types::Entry {
        path,
        kind: match kind {
            EntryKind::File => types::Kind::File,
            EntryKind::Directory => types::Kind::Directory,
            EntryKind::Symlink(target) => types::Kind::Symlink(target),
            EntryKind::Hardlink(path) => types::Kind::Hardlink(path),
            EntryKind::Fifo => types::Kind::Fifo,
            EntryKind::Socket => types::Kind::Socket,
            EntryKind::CharDevice(major, minor) => types::Kind::CharDevice((major, minor)),
            EntryKind::BlockDevice(major, minor) => types::Kind::BlockDevice((major, minor)),
        },
        size,
        modified: modified.map(|time| types::Timestamp { seconds: time.seconds, nanoseconds: time.nanoseconds }),
        version,
        posix: posix.map(|posix| types::Posix {
            mode: posix.mode,
            uid: posix.uid,
            gid: posix.gid,
            user: posix.user,
            group: posix.group,
            xattrs: posix.xattrs,
            links: posix.links,
            sparse: posix.sparse,
        }),
        attributes,
    }
}

pub(crate) fn cutting_from_wit(chunking: types::Chunking) -> port::Cutting {
    match chunking {
        types::Chunking::Content => port::Cutting::ByContent,
        types::Chunking::Fixed(bytes) => port::Cutting::Every(bytes),
    }
}

pub(crate) fn request_to_wit(request: port::BackupRequest) -> source_types::Request {
    source_types::Request {
        config: request.config,
        scope: match request.scope {
            port::Scope::Full => source_types::Scope::Full,
            port::Scope::Incremental => source_types::Scope::Incremental,
        },
        probes: request.probes,
    }
}

pub(crate) fn restore_to_wit(request: port::RestoreRequest) -> source_types::RestoreRequest {
    source_types::RestoreRequest {
        target: match request.target {
            port::RestoreTarget::Directory => source_types::Target::Directory,
            port::RestoreTarget::Service(config) => source_types::Target::Service(config),
        },
        paths: request.paths,
        at: moment_to_wit(request.at),
        conflict: match request.conflict {
            port::Conflict::Refuse => source_types::Conflict::Refuse,
            port::Conflict::Skip => source_types::Conflict::Skip,
            port::Conflict::Replace => source_types::Conflict::Replace,
        },
        options: request.options,
    }
}

pub(crate) fn moment_to_wit(moment: port::Moment) -> source_types::Moment {
    match moment {
        port::Moment::Latest => source_types::Moment::Latest,
        port::Moment::Time(time) => source_types::Moment::Time(time),
        port::Moment::Position(position) => source_types::Moment::Position(position),
        port::Moment::Name(name) => source_types::Moment::Name(name),
    }
}

pub(crate) fn scratch_from_wit(server: source_types::ScratchServer) -> port::ScratchServer {
    let source_types::ScratchServer { program, arguments, config } = server;
    port::ScratchServer { program, arguments, config }
}

pub(crate) fn description_from_wit(description: types::Description) -> port::Description {
    let types::Description { name, version, summary, config_schema } = description;
    port::Description { name, version, summary: printable(summary), config_schema }
}

pub(crate) fn needs_from_wit(needs: types::Needs) -> port::Needs {
    let types::Needs { network, read, write, programs, exclusive } = needs;
    // They stand in messages and in lines that an operator copies.
    let clean = |list: Vec<String>| list.into_iter().map(printable).collect();
    let programs = programs.into_iter().map(|types::ProgramNeed { run, read, write }| port::ProgramNeed {
        run: printable(run),
        read: clean(read),
        write: clean(write),
    });
    let programs = programs.collect();
    let exclusive = clean(exclusive);
    port::Needs { network: clean(network), read: clean(read), write: clean(write), programs, exclusive }
}
