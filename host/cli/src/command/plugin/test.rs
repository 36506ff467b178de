//! `dozo plugin test`: the conformance kit on one component, whatever language it is written in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use dozo_job::{Error, Kind};
use dozo_kit::{Case, KitReport, Verdict, World};
use dozo_plugin::Plugins;

use crate::args::Global;
use crate::config::kit;
use crate::context::{SystemClock, cache_dir, cores, random};
use crate::exit::Exit;
use crate::ui;

/// `dozo plugin test`
#[derive(Args)]
pub(crate) struct PluginTestArgs {
    /// The component
    #[arg(value_name = "FILE")]
    pub(crate) component: PathBuf,
}

pub(crate) async fn test(global: &Global, args: &PluginTestArgs) -> anyhow::Result<Exit> {
    // The configuration is the kit's, not that of a host.
    let report = match Plugins::new(cache_dir(None)?.join("plugins"))?.load(&args.component).await {
        Ok(plugin) => {
            let config = kit::read(global.config.as_deref(), &plugin.description().config_schema)?;
            let home = tempfile::tempdir().map_err(|e| Error::io("make a temporary directory", e))?;
            let _shown = ui::progress::Shown::begin("the conformance kit".into(), || "trying the plugin".into());
            dozo_kit::run(&plugin, &config, world(home.path())).await?
        }
        // What is not there was not tried.
        Err(error) if !args.component.exists() => return Err(error.into()),
        Err(error) => KitReport::unloadable(&error),
    };
    if global.json {
        ui::json(&report)?;
    } else {
        print(&report);
    }
    Ok(if report.is_good() { Exit::Done } else { Exit::Failed })
}

fn world(home: &Path) -> World {
    fn fresh() -> dozo_job::Result<[u8; 32]> {
        random().map_err(|e| Error::new(Kind::Internal, e.to_string()))
    }
    World { home: home.to_path_buf(), clock: Arc::new(SystemClock), random: fresh, workers: cores() }
}

fn print(report: &KitReport) {
    for case in &report.cases {
        print_case(case);
    }
    let who = report.plugin.as_ref().map_or("it could not be loaded".to_string(), |stamp| {
        format!("{} {} ({})", stamp.name, stamp.version, stamp.digest.short())
    });
    ui::line(format!("{who}: {} passed, {} failed, {} skipped", report.passed, report.failed, report.skipped));
}

fn print_case(case: &Case) {
    let word = match case.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "FAILED",
        Verdict::Skipped => "skipped",
    };
    ui::line(format!("{word:8} {:20} {}", case.name, case.holds));
    let more = [("", case.why.as_ref()), ("what to do: ", case.advice.as_ref())];
    for (label, text) in more {
        if let Some(text) = text {
            ui::line(format!("         {label}{}", text.replace('\n', "\n         ")));
        }
    }
    for note in &case.notes {
        ui::line(format!("         {note}"));
    }
}
