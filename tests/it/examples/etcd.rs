//! `examples/plugins/etcd` against etcd itself.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Running, example, passes};
use crate::house::{House, guests};
use crate::ports::free_port;
use crate::server::program;

/// An empty etcd in a directory of the house.
fn start(house: &House, name: &str) -> Option<Running> {
    let program = program("etcd")?;
    let (port, peers) = (free_port(), free_port());
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(house.path(name)).args(["--name", name, "--logger", "zap", "--log-level", "error"]);
    command.args(["--listen-client-urls", &url(port), "--advertise-client-urls", &url(port)]);
    command.args(["--listen-peer-urls", &url(peers), "--initial-advertise-peer-urls", &url(peers)]);
    command.args(["--initial-cluster", &format!("{name}={}", url(peers))]).stderr(Stdio::null());
    Some(Running::wait(command.spawn().unwrap(), port))
}

fn ask(etcd: &Running, method: &str, question: &Value) -> Value {
    serde_json::from_str(&etcd.post(&format!("/v3/kv/{method}"), &question.to_string())).unwrap()
}

/// All keys with their values, in base64, as etcd sends them.
fn pairs(etcd: &Running) -> Vec<(Value, Value)> {
    let all = ask(etcd, "range", &json!({ "key": "AA==", "range_end": "AA==" }));
    let pairs = all["kvs"].as_array().unwrap().iter();
    pairs.map(|pair| (pair["key"].clone(), pair["value"].clone())).collect()
}

#[test]
fn etcd_is_backed_up_and_restored() {
    let house = House::new();
    let (Some(etcd), Some(copy)) = (start(&house, "etcd"), start(&house, "copy")) else { return };
    let put = |key: &str, value: &str| drop(ask(&etcd, "put", &json!({ "key": key, "value": value })));
    // More than a page; keys that are no UTF-8, that look like paths, that escape; a value of nothing, and one that is large.
    (0..250).for_each(|n| put(&format!("a2V5{n:04}"), "dmFsdWU="));
    for key in ["AP8=", "L2EvLi4vYg==", "Lg==", "JTJG"] {
        put(key, "");
    }
    put("bGFyZ2U=", &"AAEC".repeat(300_000));
    let plugin = guests().join("etcd.wasm");
    let table = |etcd: &Running| {
        format!("config = {{ url = \"{}\" }}\ngrant = {{ network = [\"{}\"] }}", etcd.url(), etcd.target())
    };
    let body = json!({ "key": "a2V50007", "value": "b3RoZXI=" }).to_string();
    let post = format!("POST /v3/kv/put HTTP/1.0\\r\\ncontent-length: {}\\r\\n\\r\\n{body}", body.len());
    let change = format!("exec 3<>/dev/tcp/{}; printf '{post}' >&3; grep -q 200 <&3", etcd.target().replace(':', "/"));
    let fixture = format!("fixture.change = [\"bash\", \"-c\", {}]", json!(change));
    let kit = format!("previous = \"unused\"\n{fixture}\n{}\n[restore]\n{}", table(&etcd), table(&copy));
    passes(&house, &plugin, &kit, &[]);

    let fresh = start(&house, "fresh").unwrap();
    house.configure(&format!(
        "[job.etcd]\nplugin = {:?}\n{}\n[job.etcd.target.fresh]\n{}",
        plugin.display().to_string(),
        table(&etcd),
        table(&fresh)
    ));
    house.dozo(&["plugin", "lock"]).expect(0);
    house.dozo(&["run", "etcd"]).expect(0);
    put("bGF0ZXI=", "bm90IGluIGl0");
    let said = house.dozo(&["restore", "etcd", "--to", "fresh", "--identity", "owner.key"]).expect(0);
    assert!(said.out.contains("restored into the target `fresh`"), "{}", said.out);
    let (mut was, is) = (pairs(&etcd), pairs(&fresh));
    was.retain(|(key, _)| key != "bGF0ZXI=");
    assert_eq!(is.len(), 255);
    assert!(was == is, "what was restored is what was there");
    // A directory is a directory: the server is not asked, whatever the job says. Each key is a file, under the name that `dozo
    // ls` shows where no file can have its own.
    drop(etcd);
    let said = house.dozo(&["restore", "etcd", "--to", "./out", "--identity", "owner.key"]).expect(0);
    assert!(said.out.contains("restored into ./out"), "{}", said.out);
    assert_eq!(std::fs::read_dir(house.path("out")).unwrap().count(), 255);
    for (name, bytes) in [("large", 900_000), ("%2Fa%2F..%2Fb", 0), ("%2E", 0), ("%252F", 0), ("%00%FF", 0)] {
        let file = house.path("out").join(name);
        assert!(std::fs::metadata(&file).is_ok_and(|it| it.len() == bytes), "{name}");
    }
    // A target that grants nothing restores nothing.
    let file = house.path("dozo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&format!("network = [\"{}\"]", fresh.target()), "")).unwrap();
    let said = house.dozo(&["restore", "etcd", "--to", "fresh", "--identity", "owner.key"]).expect(2);
    assert!(said.err.contains("[job.etcd.target.fresh]") && said.err.contains(&fresh.target()), "{}", said.err);
}

/// What authors are shown is as short as it is said to be.
#[test]
fn the_example_is_short() {
    let text = std::fs::read_to_string(example("etcd/src/lib.rs")).unwrap();
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with("//"));
    assert!(lines.count() < 60);
}
