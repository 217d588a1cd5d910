//! The scripts, each atomic in the server; what they share stands before each.

use std::sync::Arc;

use redis::Script;

macro_rules! script {
    ($name:literal) => {
        Arc::new(Script::new(concat!(
            include_str!("lua/common.lua"),
            "\n",
            include_str!(concat!("lua/", $name, ".lua"))
        )))
    };
}

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) enqueue: Arc<Script>,
    /// The short way of plain jobs, which needs nothing of what is shared.
    pub(super) intake: Arc<Script>,
    pub(super) claim: Arc<Script>,
    pub(super) beat: Arc<Script>,
    pub(super) settle: Arc<Script>,
    pub(super) read: Arc<Script>,
    pub(super) cancel: Arc<Script>,
    pub(super) replay: Arc<Script>,
    pub(super) maintain: Arc<Script>,
    pub(super) stats: Arc<Script>,
    pub(super) list: Arc<Script>,
    pub(super) resumed: Arc<Script>,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            enqueue: script!("enqueue"),
            intake: Arc::new(Script::new(include_str!("lua/intake.lua"))),
            claim: script!("claim"),
            beat: script!("beat"),
            settle: script!("settle"),
            read: script!("read"),
            cancel: script!("cancel"),
            replay: script!("replay"),
            maintain: script!("maintain"),
            stats: script!("stats"),
            list: script!("list"),
            resumed: script!("resumed"),
        }
    }
}
