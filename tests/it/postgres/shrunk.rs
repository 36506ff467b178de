//! A cluster that is much smaller than it was: the base backup is compared with the one before, not the log that is kept beside it.

use serde_json::Value;

use super::job::{Home, says};
use super::server::Pg;

/// Rows of about half a KiB each that do not compress away on the server.
fn fill(pg: &Pg, rows: u32) {
    pg.psql(&format!(
        "create table big as select n, repeat(md5(n::text), 16) as t from generate_series(1, {rows}) n; checkpoint"
    ));
}

fn suspicious(report: &Value) -> usize {
    report["suspicious"].as_array().unwrap().len()
}

#[test]
fn a_base_backup_of_a_cluster_that_was_emptied_is_suspicious_until_it_is_accepted() {
    let Some(pg) = Pg::start(16) else { return };
    let home = Home::of(&pg);
    fill(&pg, 100_000);
    assert_eq!(suspicious(&home.full()), 0);
    pg.psql("drop table big");
    pg.psql("checkpoint");
    // What continues the base has all that it had: the log alone was added.
    assert_eq!(suspicious(&home.run()), 0);
    let emptied = home.dozo(&["run", "db", "--full", "--json"]).expect(3).json();
    says(&emptied["suspicious"].to_string(), &["the last good snapshot", "MiB"]);
    let id = emptied["snapshot"].as_str().unwrap();
    // It is no end of the chain: the next run goes on from it, and is as suspicious.
    let next = home.dozo(&["run", "db", "--json"]).expect(3).json();
    assert_eq!(suspicious(&next), 1, "{next}");
    home.dozo(&["accept", id]).expect(0);
    assert_eq!(suspicious(&home.run()), 0);
    pg.equals(&home.copy(&pg, "db", "back", &[]));
    // A cluster is restored whole: no path is offered that would be refused next.
    let whole = home.restore_refused("db", &["global/pg_control"]);
    says(&whole, &["leave the paths out"]);
    assert!(!whole.contains("did you mean"), "{whole}");
}
