//! What is wrong with a login or a configuration is told in words that lead to what mends it, and leaves no snapshot.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use super::job::{Home, Job, says};
use super::plan::PASSWORD;
use super::server::Pg;

#[test]
fn logins_that_are_refused() {
    let Some(pg) = Pg::start(16) else { return };
    let home = Home::of(&pg);
    let no_check = |words: &[&str]| {
        says(&home.refused(&[]), words);
        let check = home.dozo(&["check", "db"]);
        assert!([1, 2].contains(&check.code), "{}{}", check.out, check.err);
        says(&check.err, words);
    };
    // The file is there, with its mode.
    fs::write(home.path("password"), "wrong").unwrap();
    no_check(&["password", "dozo"]);
    fs::write(home.path("password"), PASSWORD).unwrap();
    for (sql, mended, words) in [
        ("valid until '2000-01-01'", "valid until 'infinity'", &["password"][..]),
        ("noreplication", "replication", &["replication"]),
        ("nologin", "login", &["log in"]),
        ("connection limit 0", "connection limit -1", &["too many connections"]),
        ("password null", &format!("password '{}'", PASSWORD.replace('\'', "''")), &["password"]),
    ] {
        pg.psql(&format!("set password_encryption = 'scram-sha-256'; alter role dozo {sql}"));
        no_check(words);
        pg.psql(&format!("set password_encryption = 'scram-sha-256'; alter role dozo {mended}"));
    }
    assert_eq!(pg.psql("select count(*) from pg_replication_slots"), "0", "nobody who was refused has left a slot");
    home.run();
    pg.equals(&home.copy(&pg, "db", "back", &[]));
    // A cluster is restored whole: no path is offered that would be refused next.
    let part = home.restore("db", "part", &["global/pg_control"]).expect(2);
    says(&part.err, &["leave the paths out", "`dozo cat` one file"]);
    assert!(!part.err.contains("did you mean"), "{}", part.err);
}

#[test]
fn lines_of_pg_hba_that_are_missing() {
    let Some(pg) = Pg::plan(14).hba("").start() else { return };
    let home = Home::of(&pg);
    says(&home.refused(&[]), &["pg_hba.conf", "dozo"]);
    // For databases, which `all` means, and not for replication, which it does not.
    pg.let_in("host all dozo 127.0.0.1/32 scram-sha-256");
    says(&home.refused(&[]), &["pg_hba.conf", "replication"]);
    let check = home.dozo(&["check", "db"]).expect(1);
    says(&check.err, &["pg_hba.conf", "host replication dozo 127.0.0.1/32 scram-sha-256`", "pg_reload_conf"]);
    // The other way round.
    pg.let_in("host replication dozo 127.0.0.1/32 scram-sha-256");
    says(&home.refused(&[]), &["pg_hba.conf"]);
    // A way to log in that would give the password away to whoever listens.
    pg.let_in("host all,replication dozo 127.0.0.1/32 password");
    says(&home.refused(&[]), &["in the clear", "scram-sha-256"]);
    pg.let_in("host all,replication dozo 127.0.0.1/32 scram-sha-256");
    home.run();
    pg.equals(&home.copy(&pg, "db", "back", &[]));
}

#[test]
fn configurations_that_are_refused() {
    let home = Home::with(&Job::at(5_432));
    let check = |job: &Job, words: &[&str]| {
        home.set(job);
        let said = home.dozo(&["check", "db"]).expect(2);
        says(&said.err, words);
        assert!(!said.err.contains("hunter2"), "{}", said.err);
        home.refused(&[]);
    };
    let url = |url: &str| Job { url: url.into(), ..Job::at(5_432) };
    check(&url("postgres://dozo:hunter2@127.0.0.1:5432/postgres"), &["password", "url"]);
    check(&url("mysql://dozo@127.0.0.1:5432/postgres"), &["postgres://"]);
    check(&url("postgres://127.0.0.1:5432/postgres"), &["role"]);
    for between in ["allow", "prefer", "require", "verify-ca", "none"] {
        check(&Job::at(5_432).query(&format!("sslmode={between}")), &["sslmode", "verify-full", between]);
    }
    check(&Job::at(5_432).query("sslmod=disable"), &["sslmod"]);
    check(&Job::at(5_432).with("slot = \"Not A Slot\""), &["slot"]);
    check(&Job::at(5_432).with("full_every = \"weekly\""), &["full_every"]);
    check(&Job::at(5_432).with("max_slot_lag = \"lots\""), &["max_slot_lag"]);
    check(&Job::at(5_432).with("max_rate = \"1B\""), &["max_rate"]);
    check(&Job { grant: "network = [\"127.0.0.1:5433\"]".into(), ..Job::at(5_432) }, &["network", "127.0.0.1:5432"]);
    check(&Job { grant: String::new(), ..Job::at(5_432) }, &["network", "127.0.0.1:5432"]);
}

/// Whatever answers at the port.
#[test]
fn what_is_no_server_is_told_to_be_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let home = Home::with(&Job::at(port));
    let answers: [&[u8]; 5] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"R\0\0\0\x08\0\0",
        b"R\x7f\xff\xff\xff\0\0\0\x0a",
        b"E\0\0\0\x05\0",
    ];
    let others = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 512];
            let read = stream.read(&mut asked).unwrap_or_default();
            // The number of the answer is what the role is called.
            let name = String::from_utf8_lossy(&asked[..read]).into_owned();
            let digit = name.split_once("user\0answer").and_then(|(_, rest)| rest.chars().next());
            let Some(answer) = digit.and_then(|digit| answers.get(digit.to_digit(10)? as usize)) else { return };
            let _ = stream.write_all(answer);
        }
    });
    for number in 0..answers.len() {
        home.set(&Job { url: format!("postgres://answer{number}@127.0.0.1:{port}/postgres"), ..Job::at(port) });
        says(&home.refused(&[]), &["server"]);
    }
    home.set(&Job { url: format!("postgres://nobody@127.0.0.1:{port}/postgres"), ..Job::at(port) });
    home.refused(&[]);
    others.join().unwrap();
    // Nobody listens any more.
    home.refused(&[]);
}
