//! Snapshots share base backups and WAL, and none hangs on another: whichever is deleted, the others recover what they held.

use std::collections::HashMap;
use std::time::Duration;

use super::job::{Chance, Home, Job};
use super::load::{Ticker, moment, now};
use super::moments::numbers;
use super::server::Pg;

/// So that what is dead goes at once.
const PRUNE: &str = "[prune]\ngrace = \"1s\"\npack_age_min = \"1s\"";

#[test]
fn deleting_any_snapshot_harms_no_other() {
    let Some(pg) = Pg::start(17) else { return };
    Ticker::prepare(&pg);
    let job = Job { more: "retention = { last = 1, superseded_for = \"0d\" }".into(), ..Job::at(pg.port()) };
    let mut home = Home::of(&pg);
    home.set_base(
        |base| format!("{}\n{PRUNE}\n", base.replace("[repository]", "[repository]\nrole = \"maintain\"")),
        &job,
    );
    // What each snapshot, and each moment in it, must give back.
    let mut told: HashMap<String, (String, u64)> = HashMap::new();
    for (number, full) in [true, false, true, false].into_iter().enumerate() {
        let number = number as u64;
        if full {
            home.full();
        }
        pg.psql(&format!(
            "insert into ticks select {number}, string_agg(md5(random()::text), '') from generate_series(1, 3000)"
        ));
        std::thread::sleep(Duration::from_millis(20));
        let at = moment(&pg, now(&pg));
        std::thread::sleep(Duration::from_millis(20));
        home.run();
        told.insert(home.snapshots().pop().unwrap(), (at, number));
    }
    let mut chance = Chance::new();
    let mut round = 0;
    while home.snapshots().len() > 1 {
        let all = home.snapshots();
        // Not the newest: that one no rule gives up.
        let victim = &all[chance.below(all.len() as u64 - 1) as usize];
        delete(&home, &all, victim);
        let left = home.snapshots();
        assert!(!left.contains(victim) && left.len() == all.len() - 1, "{all:?} {left:?}");
        home.verify();
        for id in &left {
            let Some((at, number)) = told.get(id) else { continue };
            round += 1;
            let to = format!("back-{round}");
            // Each comes back as files, and one of them to a server.
            if chance.below(left.len() as u64) == 0 {
                let copy = home.copy(&pg, id, &to, &["--at", at]);
                assert_eq!(numbers(&copy), (0..=*number).collect::<Vec<_>>(), "{id}");
            } else {
                home.restored(&pg, id, &to, &[]);
            }
            std::fs::remove_dir_all(home.path(&to)).unwrap();
        }
    }
    // And the next run has what it goes on from.
    home.run();
    pg.equals(&home.copy(&pg, "db", "last", &[]));
}

/// Has retention give up one alone.
fn delete(home: &Home, all: &[String], victim: &str) {
    let hold = |id: &String, more: &[&str]| {
        home.dozo(&[&["hold", id, "--why", "it is not its turn"], more].concat()).expect(0);
    };
    let others: Vec<&String> = all.iter().filter(|id| *id != victim).collect();
    others.iter().for_each(|id| hold(id, &[]));
    // Only what came more than a second ago is condemned, and only what was condemned a second ago goes.
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1_500));
        home.dozo(&["prune", "--yes", "--flood-explained"]).expect(0);
    }
    others.iter().for_each(|id| hold(id, &["--release"]));
}
