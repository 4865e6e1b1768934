//! What devices see of packages, sentence by sentence.

mod bars;
mod changes;
mod outages;
mod random;
mod reading;
mod seen;
mod tenants;
mod tenants_random;
mod world;
