//! What a command is about to read and lies in cold storage: said, and with the operator's word brought back. It costs money,
//! so nothing is asked of the store without that word.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use dozo_job::Error;
use dozo_repository::{ColdPacks, PacksToRead, ThawCounters, ThawTerms, ThawTier, View};

use crate::args::FromArgs;
use crate::context::Context;
use crate::ui::{self, progress, words};

/// What to do about content in cold storage.
#[derive(Args, Clone, Copy)]
pub(crate) struct ThawArgs {
    /// Have the store bring back what is needed and lies in cold storage, and wait for it: this costs money. Without it, dozo
    /// says how much that is and ends [default tier: `thaw` of the configuration]
    #[arg(long, value_enum, value_name = "TIER", num_args = 0..=1, require_equals = true)]
    pub(crate) thaw: Option<Option<TierArg>>,
}

/// How fast a store brings back what lies in cold storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TierArg {
    /// The cheapest: half a day, two days from the deepest class
    Bulk,
    /// Some hours, half a day from the deepest class
    Standard,
    /// Minutes, where the store has it, and dear
    Expedited,
}

/// Long enough to restore most things, short enough that the copies cost little.
const DAYS: u16 = 7;
/// The slowest tier from the deepest class takes two days.
const PATIENCE: Duration = Duration::from_secs(72 * 3600);

impl Context {
    /// On which terms the store that is read from brings things back.
    fn thaw_terms(&self, from: &FromArgs, asked: Option<TierArg>) -> anyhow::Result<ThawTerms> {
        let repository = &self.loaded.config.repository;
        let s3 = match &from.from {
            None => repository.s3.as_ref(),
            Some(name) => self.loaded.mirror(name)?.s3.as_ref(),
        };
        let table = s3.and_then(|s3| s3.thaw.clone()).unwrap_or_default();
        let patience = table.wait.map_or(PATIENCE, jiff::SignedDuration::unsigned_abs);
        let tier = match asked.or(table.tier).unwrap_or(TierArg::Standard) {
            TierArg::Bulk => ThawTier::Bulk,
            TierArg::Standard => ThawTier::Standard,
            TierArg::Expedited => ThawTier::Expedited,
        };
        Ok(ThawTerms { tier, days: table.days.unwrap_or(DAYS), patience })
    }

    /// Returns when all these packs can be read.
    ///
    /// # Errors
    /// If some cannot, and the operator did not say that they shall be brought back.
    pub(crate) async fn thaw(
        &self,
        view: &View,
        packs: &PacksToRead,
        (args, from): (&ThawArgs, &FromArgs),
    ) -> anyhow::Result<()> {
        let terms = self.thaw_terms(from, args.thaw.flatten())?;
        let looking = progress::Shown::begin("content".into(), || "asking whether all of it can be read".into());
        let cold = view.cold_among(packs).await?;
        drop(looking);
        if args.thaw.is_none() {
            return if cold.is_empty() { Ok(()) } else { Err(unasked(&cold, &terms).into()) };
        }
        tell(&cold, &terms);
        let counters = Arc::new(ThawCounters::default());
        let _shown = (!cold.is_empty())
            .then(|| progress::Shown::begin("out of cold storage".into(), progress::of_thaw(&counters)));
        Ok(view.thaw(&cold, &terms, &counters).await?)
    }
}

/// What would be asked for.
fn unasked(cold: &ColdPacks, terms: &ThawTerms) -> Error {
    let (asked, on_their_way) = (packs(cold.cold()), packs(cold.on_their_way()));
    match (cold.cold().0, cold.on_their_way().0) {
        (0, _) => Error::unavailable(format!("{on_their_way} that this reads are on their way out of cold storage"))
            .hinted("`--thaw` waits for them; they cost nothing more"),
        (_, 0) => hinted(not_granted(format!("{asked} that this reads lie in cold storage")), terms),
        _ => hinted(
            not_granted(format!(
                "{asked} that this reads lie in cold storage, {on_their_way} are on their way out of it"
            )),
            terms,
        ),
    }
}

fn not_granted(what: String) -> Error {
    Error::new(dozo_job::Kind::NotGranted, what)
}

fn hinted(error: Error, terms: &ThawTerms) -> Error {
    let days = words::counted(u64::from(terms.days), "day", "days");
    error.hinted(format!(
        "say the same with `--thaw`: the store brings them back for {days}, which takes {} and costs money",
        takes(terms.tier)
    ))
}

fn takes(tier: ThawTier) -> &'static str {
    match tier {
        ThawTier::Bulk => "half a day to two days",
        ThawTier::Standard => "some hours to half a day",
        ThawTier::Expedited => "minutes",
    }
}

fn packs((count, bytes): (u64, u64)) -> String {
    format!("{} ({})", words::counted(count, "pack", "packs"), words::bytes(bytes))
}

fn tell(cold: &ColdPacks, terms: &ThawTerms) {
    if cold.cold().0 > 0 {
        let days = words::counted(u64::from(terms.days), "day", "days");
        let (asked, takes) = (packs(cold.cold()), takes(terms.tier));
        ui::note(format!("asking the store to bring back {asked} for {days}: this takes {takes}"));
    }
    if cold.on_their_way().0 > 0 {
        ui::note(format!("waiting for {} that were asked for before", packs(cold.on_their_way())));
    }
    if !cold.is_empty() {
        ui::note("it can be interrupted: what was asked for comes, and is not asked for again");
    }
}
