//! What devices see of packages, sentence by sentence.

mod assignment_change;
mod contradictions;
mod costs;
mod outages;
mod random_runs;
mod random_tenants;
mod reading;
mod tenants;
mod world;
