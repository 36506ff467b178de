//! The binary `dozo`: arguments, configuration, printing, exit codes. The only crate that knows the terminal, the
//! environment and the clock.

mod abandon;
mod allocator;
mod args;
mod at_work;
mod command;
mod config;
mod context;
mod covering;
#[cfg(test)]
mod documents;
mod exclusive;
mod exit;
mod foreign;
mod hooks;
mod host_names;
mod keyfile;
mod memory;
mod moment;
mod named;
mod newest;
mod notifiers;
mod outcomes;
mod plugins;
mod prepare;
mod proxy;
mod rollback;
mod signals;
mod store_args;
mod store_directory;
mod suspicion;
mod target;
mod thaw;
mod to_read;
mod typed_time;
mod ui;
mod upkeep;
mod zones;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, Global};
use exit::Exit;

fn main() -> ExitCode {
    // Runs of granted programs go through this binary once more. Before anything else, while there is one thread.
    if let Some(ended) = dozo_plugin::launched(std::env::args_os()) {
        return ended;
    }
    allocator::tune();
    // What this program writes is nobody else's to read: repositories, keys, restored files until their mode is set.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut shown) => return usage(&mut shown).into(),
    };
    ui::begin(&cli.global, &cli.command);
    start_log(&cli.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui::errors::print(&anyhow::Error::from(error).context("start the program's threads"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(async {
        tokio::select! {
            done = dispatch(&cli) => done,
            signal = interrupted(&cli.command) => signal,
        }
    });
    let exit = exit.unwrap_or_else(|error| {
        ui::errors::tell(&cli.global, &error);
        Exit::of(&error)
    });
    let exit = ui::out::finish(exit);
    // Threads that wait for a disk that hangs must not keep the program from ending.
    runtime.shutdown_background();
    exit.into()
}

/// Prints what the command line asked for (`--help`), or what is wrong with it.
fn usage(shown: &mut clap::Error) -> Exit {
    let printed = foreign::show(shown);
    match (shown.use_stderr(), printed) {
        (true, _) => Exit::Usage,
        (false, Ok(())) => Exit::Done,
        (false, Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        (false, Err(_)) => Exit::Failed,
    }
}

async fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    let global = &cli.global;
    match &cli.command {
        Command::Init(args) => command::init::init(global, args).await,
        Command::Run(args) => command::run::run(global, args).await,
        Command::Snapshots(args) => command::snapshots::snapshots(global, args).await,
        Command::Ls(args) => command::ls::ls(global, args).await,
        Command::Cat(args) => command::cat::cat(global, args).await,
        Command::Restore(args) => command::restore::restore(global, args).await,
        Command::Prune(args) => command::prune::prune(global, args).await,
        Command::Hold(args) => command::hold::hold(global, args).await,
        Command::Accept(args) => command::accept::accept(global, args).await,
        Command::Status(args) => command::status::status(global, args).await,
        Command::Mirror(args) => command::mirror::mirror(global, args).await,
        Command::Repair(args) => command::repair::repair(global, args).await,
        Command::Verify(args) => command::verify::verify(global, args).await,
        Command::Check(args) => command::check::check(global, args).await,
        Command::Join(args) => command::join::join(global, args).await,
        Command::Key(command) => command::key::key(global, command).await,
        Command::Notify(command) => command::notify::notify(global, command).await,
        Command::Plugin(command) => command::plugin::plugin(global, command).await,
        Command::Config(command) => command::config::config(global, command).await,
    }
}

/// Ends the program when it is told to: nothing that was begun becomes a snapshot.
async fn interrupted(command: &Command) -> anyhow::Result<Exit> {
    signals::Interruptions::catch()?.wait().await;
    ui::ask::restore_terminal();
    ui::note(match command {
        Command::Run(_) => "interrupted: what was not finished is not part of any snapshot",
        Command::Restore(_) => {
            "interrupted: files that are there are whole; the same with `--conflict replace` goes on"
        }
        _ => "interrupted",
    });
    Ok(Exit::Interrupted)
}

fn start_log(global: &Global) {
    // What this crate logs, the error that follows says too.
    let default = match global.verbose {
        0 => "warn,rustls_platform_verifier=off",
        1 => "warn,rustls_platform_verifier=off,dozo=info,plugin=info",
        _ => "info,dozo=debug,plugin=debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("DOZO_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A log that cannot be written is no reason to print that, and to panic because that cannot be printed either.
    log.with_ansi(colours).without_time().log_internal_errors(false).init();
}
