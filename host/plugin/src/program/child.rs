//! A program as a plugin holds it in its hands.

use std::process::Command;
use std::sync::Arc;

use dozo_job::port::Content;
use dozo_job::{Error, Result};

use super::lines::Lines;
use super::pipes::{Input, Output};
use super::running::Running;
use crate::unfinished::{End, Unfinished};

/// A program that was started. Dropped, together with its output, it is ended.
#[allow(unreachable_pub, reason = "generated code re-exports this type")]
pub struct Child {
    pub(crate) running: Arc<Running>,
    /// None when it is closed, and after a write failed.
    pub(crate) input: Option<Input>,
    output: Option<Output>,
}

impl Child {
    /// Starts a program whose three streams are piped. Blocks.
    pub(crate) fn start(name: &str, command: Command, lines: Lines, unfinished: Unfinished) -> Result<Self> {
        let name = name.rsplit('/').next().unwrap_or(name);
        let (running, input, output) = Running::start(name.into(), command, lines, unfinished)?;
        let input = Some(Input::new(input, running.clone())?);
        let output = Some(Output::new(output, running.clone()));
        Ok(Child { running, input, output })
    }

    /// What it prints, once, and that its end matters.
    pub(crate) fn output(&mut self) -> Result<(Content, End)> {
        match self.output.take() {
            Some(output) => Ok((Box::new(output), self.running.end_of_output())),
            None => Err(Error::invalid(format!("the output of `{}` was taken before", self.running.name()))),
        }
    }

    /// Its input, taken out while it is written to.
    pub(crate) fn take_input(&mut self) -> Result<Input> {
        let closed = || Error::invalid(format!("the input of `{}` is closed", self.running.name()));
        self.input.take().ok_or_else(closed)
    }

    /// Waits for its end, in whatever this returns: the exit status.
    pub(crate) fn waiting(&self) -> impl FnOnce() -> Result<i32> + Send + 'static {
        let running = self.running.clone();
        let what = match (&self.input, &self.output) {
            (Some(_), _) => "did not end, and its input is open,",
            (None, Some(_)) => "did not end, and nobody read its output,",
            (None, None) => "did not end, and nothing moved,",
        };
        move || running.wait(what)
    }
}

/// Gives a program bytes, and gives its input back if that may be written on.
pub(crate) fn give(mut input: Input, bytes: &[u8]) -> (Option<Input>, Result<()>) {
    let written = input.write(bytes);
    (written.is_ok().then_some(input), written)
}

/// The same with a content.
pub(crate) fn give_content(mut input: Input, content: Content) -> (Option<Input>, Result<u64>) {
    let written = input.write_content(content);
    (written.is_ok().then_some(input), written)
}
