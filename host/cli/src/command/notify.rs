//! `dozo notify`: whether people would hear of it.

use dozo_job::Clock;
use dozo_job::notify::{event_of_test, tell};

use crate::args::{Global, NotifyCommand, NotifyTestArgs};
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::notifiers::show;
use crate::ui;

pub(crate) async fn notify(global: &Global, command: &NotifyCommand) -> anyhow::Result<Exit> {
    match command {
        NotifyCommand::Test(args) => test(global, args).await,
    }
}

async fn test(global: &Global, args: &NotifyTestArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let notifiers = context.loaded.notifiers(&args.notifiers)?;
    if notifiers.is_empty() {
        let message = format!("there is no notifier in {}", context.loaded.file.display());
        return Err(context
            .loaded
            .fault(&[], message)
            .hinted("add a table `[notify.NAME]`: docs/GUIDE.md, Notifications")
            .into());
    }
    let mut plugins = context.plugins()?;
    let mut exit = Exit::Done;
    for (name, table) in notifiers {
        let listener = match context.listener(name, table, &mut plugins).await {
            Ok(listener) => listener,
            // The next one may be well.
            Err(error) => {
                let error = error.context(format!("the notifier `{name}` tells nobody"));
                ui::errors::tell(global, &error);
                exit = exit.worst(Exit::of(&error));
                continue;
            }
        };
        let told = tell(&listener, &event_of_test(&context.host(), SystemClock.now())).await;
        show(global, &told)?;
        match &told.error {
            None if global.json => {}
            None => ui::line(format!("{name}: told")),
            Some(failure) => exit = exit.worst(Exit::of_kind(failure.kind)),
        }
    }
    Ok(exit)
}
