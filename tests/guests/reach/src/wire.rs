//! What goes over the wire is what is asked for; and more connections than there may be at once.

use std::io::Write;

use dozo_sdk::http::{Request, query, segment};
use dozo_sdk::net::Connection;
use dozo_sdk::prelude::*;
use futures::future::try_join_all;

/// A request that others would repair; what the server says of it, then the bytes of its headers `x-back`, each in brackets.
pub(crate) fn exact(url: &str, backup: &Backup) -> Result<()> {
    let url = format!("{url}/{}/../%2e%2e//{}\\?q={}", segment("a/b c"), segment(".."), query("ü&"));
    let response =
        Request::get(url).header("X-Raw", b"\x80\xff  \t!").header("x-raw", "").send()?.error_for_status()?;
    let mut writer = backup.file("said").create();
    writer.write_all(&response.bytes(4096)?)?;
    for value in response.headers("x-back") {
        writer.write_all(&[b"[", value, b"]"].concat())?;
    }
    writer.finish().map(|_| ())
}

/// So many connections, held all at once.
pub(crate) fn hold(to: &str, count: u64) -> Result<()> {
    let held: Vec<_> = (0..count).map(|_| Connection::connect(to)).collect::<Result<_>>()?;
    drop(held);
    Ok(())
}

/// So many connections, each closed when the server has ended.
pub(crate) async fn many(to: &str, count: u64, backup: &Backup) -> Result<()> {
    let one = async || {
        let connection = Connection::connect_async(to).await?;
        let mut total = 0;
        loop {
            match connection.read_some(1 << 10).await?.len() {
                0 => return Ok::<_, Error>(total),
                read => total += read,
            }
        }
    };
    let total: usize = try_join_all((0..count).map(|_| one())).await?.into_iter().sum();
    backup.file("said").write(total.to_string().as_bytes()).map(|_| ())
}
