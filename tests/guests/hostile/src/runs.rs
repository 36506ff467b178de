//! Acts with programs: what runs is the test's to say, in `run` and in the grant.

use std::io::Write;

use dozo_sdk::bindings::dozo::plugin::streaming;
use dozo_sdk::program::{Child, Command};
use dozo_sdk::{Backup, Error, Result};

use crate::Config;

/// The act, if it is one of these.
pub(crate) async fn act(config: &Config, backup: &Backup) -> Option<Result<()>> {
    Some(match config.act.as_str() {
        "run" => run(config, backup),
        "run-streaming" => run_streaming(config, backup).await,
        "run-and-return" => start(config).and_then(|child| read_a_line(&child)),
        "run-and-loop" => {
            let started = start(config).and_then(|child| read_a_line(&child).map(|()| child));
            while started.is_ok() {
                std::hint::black_box(&started);
            }
            started.map(|_| ())
        }
        "run-and-trap" => match start(config).and_then(|child| read_a_line(&child)) {
            Ok(()) => panic!("with a program running"),
            Err(error) => Err(error),
        },
        "run-and-write" => start(config).and_then(|child| {
            loop {
                child.write(&[b'x'; 1 << 20])?;
            }
        }),
        "run-many" => run_many(config),
        "run-unseen" => start(config).map(drop),
        "run-in-part" => start(config).and_then(|child| in_part(&child, backup)),
        "run-in-part-and-wait" => start(config).and_then(|child| {
            in_part(&child, backup)?;
            child.wait().map(|_| ())
        }),
        "run-in-part-and-kill" => start(config).and_then(|child| {
            let output = child.output()?;
            let piece = output.read(1 << 20)?;
            child.kill();
            backup.file("dump").write(&piece).map(|_| ())
        }),
        "run-stream" | "run-stream-in-part" => stream(config, backup).await,
        "run-ignoring" => {
            // The error of the last read is looked at by nobody; the entry is written on and finished as if it were whole.
            let ignoring = || {
                let output = start(config)?.output()?;
                let mut writer = backup.file("dump").create();
                while let Ok(piece) = output.read(1 << 20)
                    && !piece.is_empty()
                {
                    writer.write_all(&piece)?;
                }
                let again = output.read(1);
                writer.finish()?;
                again.map(|_| ())
            };
            ignoring()
        }
        _ => return None,
    })
}

fn start(config: &Config) -> Result<Child> {
    let (program, arguments) = config.run.split_first().ok_or_else(|| Error::Invalid("nothing to run".into()))?;
    let mut command = Command::new(program).args(arguments);
    if let Some(secret) = &config.secret {
        command = command.env("SECRET", secret);
    }
    command.start()
}

fn run(config: &Config, backup: &Backup) -> Result<()> {
    let output = start(config)?.output()?;
    backup.file("output").copy_from(output).map(|_| ())
}

/// Reads while something else goes on.
async fn run_streaming(config: &Config, backup: &Backup) -> Result<()> {
    let output = start(config)?.output()?;
    let mut writer = backup.file("output").create();
    let mut waits = 0;
    loop {
        let read = std::pin::pin!(streaming::read(&output, 1 << 20));
        let wait = std::pin::pin!(async {
            loop {
                streaming::wait(10).await;
                waits += 1;
            }
        });
        let piece = match futures::future::select(read, wait).await {
            futures::future::Either::Left((piece, _)) => piece?,
            futures::future::Either::Right(((), _)) => unreachable!("it waits for ever"),
        };
        if piece.is_empty() {
            break;
        }
        writer.write_all(&piece)?;
    }
    writer.finish()?;
    if waits > 10 { Ok(()) } else { Err(Error::Internal(format!("only {waits} waits beside a read"))) }
}

/// So that it is known to run.
fn read_a_line(child: &Child) -> Result<()> {
    let output = child.output()?;
    let line = output.read(1 << 10)?;
    // Still wanted, as far as anybody can tell.
    std::mem::forget(output);
    if line.is_empty() { Err(Error::Internal("the program printed nothing".into())) } else { Ok(()) }
}

/// The first that comes, as if it were all.
fn in_part(child: &Child, backup: &Backup) -> Result<()> {
    let piece = child.output()?.read(1 << 20)?;
    backup.file("dump").write(&piece).map(|_| ())
}

/// A stream until it ends, or its first piece, and never a look at how it ended.
async fn stream(config: &Config, backup: &Backup) -> Result<()> {
    let output = start(config)?.output()?;
    let (mut stream, _how_it_ended) = streaming::stream(output);
    let mut writer = backup.file("dump").create();
    loop {
        let (result, piece) = stream.read(Vec::with_capacity(1 << 16)).await;
        writer.write_all(&piece)?;
        if config.act == "run-stream-in-part" || !matches!(result, dozo_sdk::wit_bindgen::StreamResult::Complete(_)) {
            return writer.finish().map(|_| ());
        }
    }
}

fn run_many(config: &Config) -> Result<()> {
    let mut children = Vec::new();
    for _ in 0..1_000 {
        children.push(start(config)?);
    }
    Err(Error::Internal(format!("{} programs run", children.len())))
}
