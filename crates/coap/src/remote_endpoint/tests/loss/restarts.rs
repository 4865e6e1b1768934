//! The same client, while the endpoint is replaced by what its export has, now and then.

use super::*;
use crate::export::Extent;

/// Restarts are at least this far apart, in seconds: each that was not orderly takes an eighth of all Message IDs.
const APART: f64 = 60.0;

/// A world whose endpoint restarts.
struct Restarting {
    world: Observing,
    /// What would be found after a crash, and when it was exported.
    stored: (Instant, Vec<u8>),
    restarted: Instant,
    orderly: usize,
    crashes: usize,
}

impl Restarting {
    fn new(seed: u64) -> Restarting {
        let world = Observing::new(seed);
        Restarting {
            stored: (
                world.link.now,
                world.endpoint.export(world.link.now, Extent::Running),
            ),
            restarted: world.link.now,
            world,
            orderly: 0,
            crashes: 0,
        }
    }

    fn store(&mut self) {
        let now = self.world.link.now;
        let extent = match self.world.link.random.bool() {
            true => Extent::WithMessages,
            false => Extent::Running,
        };
        self.stored = (now, self.world.endpoint.export(now, extent));
    }

    fn restart(&mut self) {
        let world = &mut self.world;
        if world.link.now < self.restarted + Duration::from_secs_f64(APART) {
            return;
        }
        let stopped = world.link.now;
        let export = match world.link.random.bool() {
            true => {
                self.orderly += 1;
                (stopped, world.endpoint.export(stopped, Extent::Final))
            }
            false => {
                self.crashes += 1;
                self.stored.clone()
            }
        };
        // Datagrams for the process are lost while there is none, and so are its calls.
        let down = Duration::from_secs_f64(world.link.random.f64().powi(3) * 20.0);
        world.link.now += down;
        let now = world.link.now;
        world.link.drop_flights(|flight| match flight {
            Flight::ToEndpoint(_) => false,
            Flight::Answer(..) => false,
            Flight::ToClient(_) | Flight::Retransmit(_) => true,
        });
        let since = now.saturating_duration_since(export.0);
        world.endpoint = RemoteEndpoint::restore(now, since, &export.1).unwrap();
        let relations = world.endpoint.relations();
        world.relations = relations
            .map(|(id, token)| (id, token.as_bytes()[0]))
            .collect();
        world.delivered.clear();
        self.restarted = now;
        self.store();
        for id in Vec::from_iter(self.world.relations.keys().copied()) {
            self.world.notify(id);
        }
    }
}

#[test]
fn over_a_lossy_link_a_client_ends_with_the_last_notification_whenever_the_endpoint_restarts() {
    let (mut relations, mut orderly, mut crashes) = (0, 0, 0);
    for seed in 0..1000 {
        let mut one = Restarting::new(seed);
        for _ in 0..ACTIONS {
            one.world.pause();
            match one.world.link.random.u8(0..100) {
                0..10 => one.restart(),
                10..30 => one.store(),
                _ => one.world.act(),
            }
        }
        one.world.link.loss = 0.0;
        one.world.run(None);
        one.world.assert_consistent_and_at_rest(seed);
        relations += one.world.relations.len();
        orderly += one.orderly;
        crashes += one.crashes;
    }
    for count in [relations, orderly, crashes] {
        assert!(count > 100, "{relations} {orderly} {crashes}");
    }
}
