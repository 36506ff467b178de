//! The way to a server: its Unix socket, and who the role is there.

use super::job::{Home, Job, says};
use super::plan::PASSWORD;
use super::server::Pg;

fn job(pg: &Pg) -> Job {
    let (socket, port) = (pg.socket().display(), pg.port());
    Job {
        url: format!("postgres://dozo@/postgres?host={socket}&port={port}"),
        config: "password = { env = \"DB_PASSWORD\" }".into(),
        grant: format!("network = [\"unix://{socket}/.s.PGSQL.{port}\"]"),
        more: String::new(),
    }
}

#[test]
fn over_the_unix_socket_with_a_password_and_without() {
    let Some(pg) = Pg::start(17) else { return };
    let home = Home::with(&job(&pg));
    let run = |password: &str| {
        let mut run = home.command(&["run", "db", "--json"]);
        super::tools::within(std::time::Duration::from_secs(120), run.env("DB_PASSWORD", password))
    };
    let refused = run("wrong").expect(1);
    says(&refused.err, &["password"]);
    let report = run(PASSWORD).expect(0).json();
    assert_eq!(report["outcome"], "complete");
    says(&pg.log(), &["connection authenticated", "method=scram-sha-256"]);

    // Who the system says it is, is enough where the server says so.
    pg.write("pg_hba.conf", "local all,replication all trust\nhost all,replication postgres 127.0.0.1/32 trust\n");
    pg.reload();
    home.set(&Job { config: "slot = \"dozo\"".into(), ..job(&pg) });
    home.run();
    pg.equals(&home.copy(&pg, "db", "back", &[]));

    // Another socket than the one that is granted.
    let url = job(&pg).url.replace(&format!("port={}", pg.port()), "port=1");
    home.set(&Job { url, config: "slot = \"dozo\"".into(), ..job(&pg) });
    says(&home.refused(&[]), &["unix://", ".s.PGSQL.1"]);
}
