//! What devices see of packages, sentence by sentence.

mod changes;
mod outages;
mod random;
mod reading;
mod world;
