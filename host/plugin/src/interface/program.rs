//! `program`: granted programs, run by the host. Everything that waits for one does so on threads for that, and not for
//! ever.

use std::sync::atomic::Ordering;

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::dozo::plugin::program;
use crate::bindings::dozo::plugin::types::Error as Told;
use crate::handles::ContentHandle;
use crate::interface::blocking;
use crate::program::{Child, Input, Lines, give, give_content};
use crate::state::State;
use crate::stderr::Tail;

impl program::Host for State {
    async fn start(
        &mut self,
        name: String,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Result<Result<Resource<Child>, Told>> {
        let _busy = self.life.enter();
        let (programs, children, lines) = (self.grants.programs.clone(), self.children.clone(), self.lines());
        let unfinished = self.unfinished.clone();
        let start = move || {
            let command = programs.command(&name, arguments, environment)?;
            children.start(|| Child::start(&name, command, lines, unfinished))
        };
        match blocking(start).await? {
            Ok(child) => {
                self.life.programs.fetch_add(1, Ordering::Relaxed);
                Ok(Ok(self.hold(child)?))
            }
            Err(error) => Ok(Err(self.told_without_secrets(&error))),
        }
    }
}

impl program::HostChild for State {
    async fn input(&mut self, child: Resource<Child>, from: Resource<ContentHandle>) -> Result<Result<u64, Told>> {
        let content = self.table.delete(from)?.hand_on();
        self.giving(&child, move |input| give_content(input, content)).await
    }

    async fn write(&mut self, child: Resource<Child>, bytes: Vec<u8>) -> Result<Result<(), Told>> {
        self.giving(&child, move |input| give(input, &bytes)).await
    }

    fn close_input(&mut self, child: Resource<Child>) -> Result<Result<(), Told>> {
        let _busy = self.life.enter();
        self.table.get_mut(&child)?.input = None;
        Ok(Ok(()))
    }

    fn output(&mut self, child: Resource<Child>) -> Result<Result<Resource<ContentHandle>, Told>> {
        let _busy = self.life.enter();
        match self.table.get_mut(&child)?.output() {
            Ok((output, end)) => Ok(Ok(self.hold(ContentHandle::new(output, end))?)),
            Err(error) => Ok(Err(Self::told(&error))),
        }
    }

    fn errors(&mut self, child: Resource<Child>) -> Result<String> {
        let _busy = self.life.enter();
        Ok(self.table.get(&child)?.running.errors())
    }

    async fn wait(&mut self, child: Resource<Child>) -> Result<Result<i32, Told>> {
        let _busy = self.life.enter();
        let waiting = self.table.get(&child)?.waiting();
        let ended = blocking(waiting).await?;
        Ok(ended.map_err(|error| Self::told(&error)))
    }

    fn kill(&mut self, child: Resource<Child>) -> Result<()> {
        let _busy = self.life.enter();
        self.table.get(&child)?.running.dismiss();
        Ok(())
    }

    fn drop(&mut self, child: Resource<Child>) -> Result<()> {
        self.table.delete(child)?;
        Ok(())
    }
}

impl State {
    /// Gives a program some of its input, on a thread that may block.
    async fn giving<T: Send + 'static>(
        &mut self,
        child: &Resource<Child>,
        give: impl FnOnce(Input) -> (Option<Input>, dozo_job::Result<T>) + Send + 'static,
    ) -> Result<Result<T, Told>> {
        let _busy = self.life.enter();
        let input = match self.table.get_mut(child)?.take_input() {
            Ok(input) => input,
            Err(error) => return Ok(Err(Self::told(&error))),
        };
        let (input, given) = blocking(move || give(input)).await?;
        self.table.get_mut(child)?.input = input;
        Ok(given.map_err(|error| Self::told(&error)))
    }

    /// Where one program's standard error goes.
    fn lines(&self) -> Lines {
        Lines {
            names: self.names.clone(),
            life: self.life.clone(),
            limits: self.limits.clone(),
            secrets: self.secrets.clone(),
            tail: Tail::default(),
        }
    }
}
