//! The conformance kit on the plugin, against a real server that changes between backups, and with nothing granted but the
//! server's port.

use std::fs;

use super::plan::PASSWORD;
use super::server::Pg;
use crate::house::{House, bundle, soak};

#[test]
fn the_plugin_passes_with_its_network_grant_alone() {
    for version in [17, 14, 18].into_iter().take(soak(1, 3)) {
        conforms(version);
    }
}

fn conforms(version: u32) {
    let Some(pg) = Pg::start(version) else { return };
    pg.psql("create table grows as select n, md5(n::text) from generate_series(1, 20000) n");
    let house = House::bare();
    let port = pg.port();
    house.write_secret("password", PASSWORD);
    let psql = pg.program("psql").display().to_string();
    let sql = "insert into grows select n, md5(n::text) from generate_series(1, 20000) n";
    let change: Vec<String> =
        [&psql, "-X", "-q", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres", "-c", sql]
            .map(String::from)
            .into();
    let kit = format!(
        "contents = \"history\"
[config]
mode = \"physical\"
url = \"postgres://dozo@127.0.0.1:{port}/postgres\"
password = {{ file = \"password\" }}
[grant]
network = [\"127.0.0.1:{port}\"]
[fixture]
change = {change:?}
"
    );
    fs::write(house.path("kit.toml"), kit).unwrap();
    let component = bundle().join("postgres.wasm").display().to_string();
    let mut test = house.command();
    test.args(["plugin", "test", &component, "--config", "kit.toml", "--json"]);
    let said = super::tools::within(std::time::Duration::from_secs(240), &mut test);
    let report = said.json();
    let cases = report["cases"].as_array().unwrap();
    let all = serde_json::to_string_pretty(cases).unwrap();
    let of = |verdict: &str| -> Vec<&str> {
        let cases = cases.iter().filter(|case| case["verdict"] == verdict);
        cases.map(|case| case["name"].as_str().unwrap()).collect()
    };
    assert_eq!((said.code, of("failed")), (0, vec![]), "{all}");
    assert_eq!(of("skipped"), Vec::<&str>::new(), "{all}");
    assert!(!all.contains(PASSWORD), "the password is shown");
}
