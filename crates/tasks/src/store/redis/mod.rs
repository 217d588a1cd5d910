//! Jobs in Redis, in the form of BullMQ.

mod builder;
mod control;
mod failure;
mod intake;
mod io;
mod listen;
mod reply;
mod scripts;
mod store;
mod wire;

pub use builder::RedisStoreBuilder;
pub use store::RedisStore;
