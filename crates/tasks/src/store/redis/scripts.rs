//! The scripts, each atomic in the server; what they share stands before each.

use redis::Script;

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(include_str!("lua/common.lua"), "\n", include_str!(concat!("lua/", $name, ".lua"))))
    };
}

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) enqueue: Script,
    pub(super) claim: Script,
    pub(super) beat: Script,
    pub(super) settle: Script,
    pub(super) read: Script,
    pub(super) cancel: Script,
    pub(super) replay: Script,
    pub(super) maintain: Script,
    pub(super) stats: Script,
    pub(super) list: Script,
    pub(super) resumed: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            enqueue: script!("enqueue"),
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
