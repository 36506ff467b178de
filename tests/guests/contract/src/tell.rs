//! The same component as a notifier: it tells the log, or goes wrong in one way or another. The tests stand in
//! tests/it/notify.rs.

use dozo_sdk::prelude::*;

/// How to tell.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Manner {
    /// `log`, `refuse`, `trap`, `loop` or `unpack`.
    manner: String,
    /// What must not be told.
    #[schemars(extend("writeOnly" = true))]
    #[serde(default)]
    secret: Option<String>,
}

struct Teller;

impl Notifier for Teller {
    type Config = Manner;
    const INFO: Info = Info { name: "contract-teller", version: "0.2.0", summary: "tells the log" };

    async fn check(manner: Manner) -> Result<Vec<(String, String)>> {
        Ok(vec![("manner".into(), manner.manner)])
    }

    async fn notify(manner: Manner, event: Event) -> Result<()> {
        match manner.manner.as_str() {
            "log" => dozo_sdk::log::warn(format!("TOLD {}: {}", event.kind.word(), event.summary)),
            "unpack" => unpack(&event)?,
            "refuse" => return Err(Error::Denied(format!("no entry with {}", manner.secret.unwrap_or_default()))),
            "trap" => panic!("the notifier has a bug"),
            _ => loop {
                std::hint::black_box(&manner);
            },
        }
        Ok(())
    }
}

/// What a run reports arrives, typed.
fn unpack(event: &Event) -> Result<()> {
    let report = &event.report;
    crate::promise(event.kind == EventKind::Success && event.job == "source" && !event.host.is_empty(), "the event")?;
    crate::promise(report.outcome == "complete" && report.error.is_none() && report.omitted_count == 0, "the outcome")?;
    crate::promise(report.entries > 0 && report.bytes > 0 && report.snapshot.is_some(), "what there is")?;
    crate::promise(report.plugin.as_ref().is_some_and(|plugin| plugin.name == "contract"), "the plugin")?;
    crate::promise(report.took().is_some_and(|took| took.as_secs() < 3_600), "how long it took")?;
    crate::promise(event.report_json.contains("dozo/report/1"), "the schema")
}

dozo_sdk::export_notifier!(Teller);
