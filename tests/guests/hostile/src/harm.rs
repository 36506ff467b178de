//! Acts that would hurt the host, if it let them.

use std::io::Write;

use dozo_sdk::bindings::dozo::plugin::{http, net, program, snapshot};
use dozo_sdk::{Backup, Chunking, Entry, Error, Kind, Restore, Result, SmallEntry, log, tree};

use crate::Config;

/// The act.
pub(crate) async fn act(config: &Config, backup: &Backup) -> Result<()> {
    match config.act.as_str() {
        "trap" => {
            eprintln!("these are my last words");
            panic!("the plugin has a bug")
        }
        "trap-mid-stream" => {
            let mut writer = backup.file("stream").create();
            writer
                .produce(async |mut sink| {
                    sink.send(vec![1; 5_000_000]).await?;
                    panic!("in the middle of a stream")
                })
                .await?;
            Ok(())
        }
        "loop" => {
            let mut n = 0u64;
            loop {
                n = std::hint::black_box(n.wrapping_add(1));
            }
        }
        "stall" => {
            std::thread::sleep(std::time::Duration::from_secs(3600));
            Ok(())
        }
        "wait-for-ever" => std::future::pending().await,
        "eat-memory" => eat_memory(),
        "eat-handles" => eat_handles(backup),
        "ask-and-ask" => loop {
            backup.progress(1, None);
        },
        "flood-log-with-bytes" => {
            (0..2_000).for_each(|n| log::warn(format!("line {n} {}", "x".repeat(20_000))));
            Ok(())
        }
        "race" => race(),
        "flood-log" => {
            (0..200_000).for_each(|n| log::warn(format!("line {n}")));
            Err(Error::Internal("the flood is over".into()))
        }
        "secret-in-log" => {
            log::error(format!("the password is {}", config.secret.clone().unwrap_or_default()));
            eprintln!("the password is {}", config.secret.clone().unwrap_or_default());
            panic!("with {}", config.secret.clone().unwrap_or_default())
        }
        // All that a plugin can see of secrets, for the test to look through.
        "tell-secrets" => {
            let mut writer = backup.file("secrets.txt").create();
            writeln!(writer, "{:?} {:?}", config.secret, std::env::vars().collect::<Vec<_>>())?;
            writer.finish().map(|_| ())
        }
        "secret-in-facts" => {
            let secret = config.secret.clone().unwrap_or_default();
            backup.set_attribute("connected", &format!("with {secret}"));
            backup.omit("table", &Error::Denied(format!("{secret} may not read it")))
        }
        "huge-batch" => {
            let small = |n| SmallEntry { entry: file(&format!("f{n}")), content: vec![] };
            backup.put_small(&(0..5_000).map(small).collect::<Vec<_>>())
        }
        "huge-attribute" => {
            backup.set_attribute("big", &"x".repeat(1 << 20));
            Ok(())
        }
        "read-host" => read_host(config),
        "connect" => connect(),
        "environment" => environment(),
        other => Err(Error::Invalid(format!("`{other}` is no act"))),
    }
}

fn file(path: &str) -> Entry {
    Entry {
        path: path.into(),
        kind: Kind::File,
        size: None,
        modified: None,
        version: None,
        posix: None,
        attributes: vec![],
    }
}

fn eat_memory() -> Result<()> {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1u8; 16 << 20]);
        std::hint::black_box(&eaten);
    }
}

fn eat_handles(backup: &Backup) -> Result<()> {
    let mut writers = Vec::new();
    for n in 0..1_000_000 {
        writers.push(snapshot::Writer::new(&file(&format!("w{n}")), Chunking::Content));
    }
    backup.progress(writers.len() as u64, None);
    Ok(())
}

/// Everything here must fail; whatever does not is told.
fn read_host(config: &Config) -> Result<()> {
    let mut got = Vec::new();
    if std::fs::read_to_string(&config.path).is_ok() {
        got.push(format!("std::fs read {}", config.path));
    }
    if std::fs::read_dir("/").is_ok() {
        got.push("std::fs listed /".into());
    }
    if tree::locate(&config.path).is_ok() {
        got.push(format!("located {}", config.path));
    }
    for (name, directory) in tree::granted() {
        for path in ["../secret", "link", "up/secret", "/etc/passwd", "..", "%2E%2E/secret"] {
            if directory.open(path, None).and_then(|content| content.read(10)).is_ok() {
                got.push(format!("opened {path} of {name}"));
            }
            if directory.children(path, None, 10).is_ok() {
                got.push(format!("listed {path} of {name}"));
            }
        }
        if directory.create(&file("made"), None).is_ok() || directory.remove("a.txt").is_ok() {
            got.push(format!("wrote to {name}"));
        }
    }
    verdict(&got)
}

/// Opens and lists, again and again, what somebody else swaps for a symlink that leads out all the time.
fn race() -> Result<()> {
    let mut got = Vec::new();
    let (mut opened, mut refused) = (0, 0);
    let (_, directory) = tree::granted().remove(0);
    for _ in 0..5_000 {
        match directory.open("swap/file", None).and_then(|content| content.read(10)) {
            Ok(bytes) if bytes == b"inside" => opened += 1,
            Ok(bytes) => got.push(format!("read {bytes:?}")),
            Err(_) => refused += 1,
        }
        for found in directory.children("swap", None, 10).unwrap_or_default() {
            let entry = found.entry;
            if entry.path != "swap/file" {
                got.push(format!("saw {}", entry.path));
            }
        }
    }
    log::warn(format!("opened {opened}, refused {refused}"));
    verdict(&got)
}

fn connect() -> Result<()> {
    let mut got = Vec::new();
    if std::net::TcpStream::connect("127.0.0.1:1").is_err_and(|e| e.kind() != std::io::ErrorKind::PermissionDenied) {
        got.push("a connection was tried".to_string());
    }
    if std::net::UdpSocket::bind("127.0.0.1:0").is_ok() || std::net::TcpListener::bind("127.0.0.1:0").is_ok() {
        got.push("a socket was bound".into());
    }
    let request = http::Request {
        method: "GET".into(),
        url: "http://127.0.0.1:1/".into(),
        headers: vec![],
        body: http::Body::None,
    };
    for (what, refused) in [
        ("net", net::Connection::connect("tcp://127.0.0.1:1").err()),
        ("http", http::send(request).err()),
        ("program", program::start("/bin/true", &[], &[]).err()),
    ] {
        if !matches!(refused, Some(Error::NotGranted(_))) {
            got.push(format!("{what} answered {refused:?}"));
        }
    }
    verdict(&got)
}

/// Into a directory: neither what the job may reach is reached, nor anything else.
pub(crate) fn restore_connected(restore: &Restore) -> Result<()> {
    let (directories, option) =
        (tree::granted().len(), |name: &str| restore.options.iter().find(|(known, _)| known == name));
    if directories != 1 {
        return Err(Error::Internal(format!("{directories} directories are granted")));
    }
    if let Some((_, server)) = option("server") {
        let connected = net::Connection::connect(&format!("tcp://{server}"));
        if !matches!(connected, Err(Error::NotGranted(_))) {
            return Err(Error::Internal(format!("{server} answered {:?}", connected.err())));
        }
    }
    connect()?;
    restore.to_directory()
}

fn environment() -> Result<()> {
    let mut got: Vec<String> = std::env::vars().map(|(name, _)| format!("the variable {name}")).collect();
    got.extend(std::env::args().map(|argument| format!("the argument {argument}")));
    if std::process::Command::new("/bin/true").status().is_ok() {
        got.push("a process".into());
    }
    if std::io::stdin().lines().next().is_some() {
        got.push("standard input".into());
    }
    let _ = std::io::stdout().write_all(b"not data\n");
    verdict(&got)
}

/// Ok only if nothing was reached.
fn verdict(got: &[String]) -> Result<()> {
    if got.is_empty() { Ok(()) } else { Err(Error::Internal(format!("reached: {}", got.join(", ")))) }
}
