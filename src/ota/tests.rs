//! The package cache as devices see it, against a ThingsBoard of a few lines.

mod assignment_change;
mod contradictions;
mod costs;
mod outages;
mod random_runs;
mod random_tenants;
mod reading;
mod tenants;
mod world;
