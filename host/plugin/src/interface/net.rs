//! `net`: connections that the host makes, holds and moves the bytes of.

use bytes::Bytes;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::dozo::plugin::net;
use crate::bindings::dozo::plugin::types::Error as Told;
use crate::handles::ContentHandle;
use crate::interface::told;
use crate::limits::READ_BYTES;
use crate::network::Connection;
use crate::state::State;

impl net::Host for State {}

impl net::HostConnection for State {
    async fn connect(&mut self, target: String) -> Result<Result<Resource<Connection>, Told>> {
        let _busy = self.life.enter();
        match Connection::connect(self.network.clone(), &target).await {
            Ok(connection) => Ok(Ok(self.hold(connection)?)),
            Err(error) => told(Err(error)),
        }
    }

    async fn start_tls(&mut self, connection: Resource<Connection>, name: String) -> Result<Result<Vec<u8>, Told>> {
        let _busy = self.life.enter();
        let connection = self.table.get(&connection)?.clone();
        told(connection.start_tls(&name).await)
    }

    async fn read(&mut self, connection: Resource<Connection>, max: u32) -> Result<Result<Vec<u8>, Told>> {
        let _busy = self.life.enter();
        let connection = self.table.get(&connection)?.clone();
        told(connection.read(max.clamp(1, READ_BYTES) as usize).await.map(Vec::from))
    }

    async fn write(&mut self, connection: Resource<Connection>, bytes: Vec<u8>) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        let connection = self.table.get(&connection)?.clone();
        told(connection.write(Bytes::from(bytes)).await)
    }

    fn receive(
        &mut self,
        connection: Resource<Connection>,
        length: u64,
    ) -> Result<Result<Resource<ContentHandle>, Told>> {
        let _busy = self.life.enter();
        match self.table.get(&connection)?.receive(length) {
            Ok(content) => Ok(Ok(self.hold_content(content)?)),
            Err(error) => told(Err(error)),
        }
    }

    fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}
