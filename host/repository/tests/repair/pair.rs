//! A repository on a stage and its mirror: mirroring, damage by hand, verification and repair.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use dozo_repository::{
    Depth, Findings, Help, Mirror, MirrorCounters, MirrorReport, MirrorStart, Purpose, RepairPlan, Repaired, Repairer,
    Result, Sample, Store, VerifyCounters, mirror, verify,
};

use crate::stage::world::{Call, Fate, Faulty, Script, Works, World};
use crate::stage::{DAY, Stage, files};

/// The repository, and the world of its mirror.
pub(crate) struct Pair {
    pub(crate) main: Stage,
    pub(crate) mirror: Stage,
}

impl Pair {
    /// Two jobs, three snapshots, mirrored.
    pub(crate) async fn mirrored() -> Pair {
        let pair = Pair::unmirrored().await;
        let report = pair.copy(MirrorStart::Create, Arc::new(Works)).await.unwrap();
        assert!(report.is_whole(), "{report:#?}");
        pair
    }

    /// The same before it is mirrored.
    pub(crate) async fn unmirrored() -> Pair {
        let main = Stage::new().await;
        let repository = main.plain().await;
        for now in [[(1, 1), (2, 2), (3, 3)], [(1, 1), (2, 20), (4, 4)]] {
            main.run(&repository, "files", &files(&now)).await.unwrap();
            main.world.advance(DAY);
        }
        main.run(&repository, "other", &files(&[(7, 7)])).await.unwrap();
        let mirror = main.at(World::new());
        mirror.world.advance(2 * DAY);
        Pair { main, mirror }
    }

    /// The same pair, which goes its own way from here.
    pub(crate) fn fork(&self) -> Pair {
        let main = self.main.fork();
        let mirror = main.at(self.mirror.world.fork());
        Pair { main, mirror }
    }

    /// Mirrors; both worlds are seen through the script.
    pub(crate) async fn copy(&self, start: MirrorStart, script: Arc<dyn Script>) -> Result<MirrorReport> {
        let from = self.main.open(script.clone()).await;
        let to = store(&self.mirror.world, script);
        mirror(&from, &to, start, self.main.request(Purpose::Mirror, None), &MirrorCounters::default()).await
    }
}

pub(crate) fn store(world: &Arc<World>, script: Arc<dyn Script>) -> Store {
    Store::over(Arc::new(Faulty { world: world.clone(), script }), "faulty")
}

/// What a repair of `stage` may draw on.
pub(crate) async fn help(mirrors: &[&Stage], owner: Option<&Stage>) -> Help {
    let mut help = Help::default();
    for (number, mirror) in mirrors.iter().enumerate() {
        help.mirrors.push(Mirror { name: format!("mirror {number}"), repository: mirror.plain().await });
    }
    if let Some(owner) = owner {
        help.keys = Some(owner.keys().await);
    }
    help
}

/// One round of repair.
pub(crate) async fn repair(
    stage: &Stage,
    script: Arc<dyn Script>,
    help: Help,
    give_up: &[String],
) -> Result<(RepairPlan, Repaired)> {
    let repairer = Repairer::begin(&stage.open(script).await, stage.request(Purpose::Prune, None), help).await?;
    let done = async {
        let plan = repairer.plan(give_up).await?;
        Ok((plan.clone(), repairer.execute(plan).await?))
    };
    let done = done.await;
    let _ = repairer.end().await;
    done
}

/// Rounds until nothing is left that can be done; returns what is left all the same.
pub(crate) async fn repair_all(stage: &Stage, mirrors: &[&Stage], owner: Option<&Stage>) -> RepairPlan {
    for _ in 0..6 {
        let (plan, done) = repair(stage, Arc::new(Works), help(mirrors, owner).await, &[]).await.unwrap();
        if plan.is_empty() {
            return plan;
        }
        assert!(done.failed.is_empty(), "{done:#?}");
    }
    panic!("a repair that never comes to an end");
}

/// A scrub that leaves what it found.
pub(crate) async fn scrub(stage: &Stage) -> Findings {
    let view = stage.plain().await.view().await.unwrap();
    let findings = verify(&view, Depth::Scrub(Sample::All), &VerifyCounters::default()).await.unwrap();
    view.record_damage(&findings, "host", stage.time()).await.unwrap();
    findings
}

/// Damages an object: `flip`, `truncate` or `delete`.
pub(crate) async fn damage(world: &World, name: &str, how: &str) {
    let mut bytes = world.bytes(name).await;
    match how {
        "delete" => return world.tamper(name, None).await,
        "truncate" => bytes.truncate(bytes.len() / 3),
        _ => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
    }
    world.tamper(name, Some(bytes)).await;
}

/// Names and bytes below some directories.
pub(crate) async fn contents(world: &World, directories: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for directory in directories {
        for name in world.names(directory).await {
            let bytes = world.bytes(&name).await;
            found.push((name, bytes));
        }
    }
    found
}

/// Every call from a certain one on fails. That one itself may have done its work.
pub(crate) struct Crash {
    pub(crate) calls: AtomicU64,
    pub(crate) at: u64,
    pub(crate) last: Fate,
}

#[async_trait]
impl Script for Crash {
    async fn fate(&self, _: Call, _: &str) -> Fate {
        match self.calls.fetch_add(1, Ordering::Relaxed) {
            call if call < self.at => Fate::Works,
            call if call == self.at => self.last,
            _ => Fate::Fails,
        }
    }
}
