//! Hazard: ThingsBoard answers every poll by its oldest unanswered two-way command, and sends no other until that is
//! answered.

use super::{World, default_settings};
use coap::Type;
use serde_json::json;
use std::time::Duration;
use thingsboard_simulator::CommandOutcome;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const CON: Type = Type::Confirmable;

/// Runs until ThingsBoard has `count` replies. Returns how long that took.
fn until_replies(world: &mut World, count: usize) -> Duration {
    let start = world.now;
    world.run_until(60 * SECOND, |world| world.upstream.replies.len() >= count);
    world.now - start
}

#[test]
fn twenty_two_way_commands_answered_at_once_take_at_most_24_polls() {
    // With some of these times a reply overtakes the answer to an earlier poll.
    for (latency, delay) in [(1, 30), (10, 30), (20, 30), (40, 30), (5, 300), (100, 100)] {
        let mut world = World::observing(default_settings(), CON);
        world.link.conditions.latency = latency * MS;
        world.upstream.delay = delay * MS;
        let commands: Vec<_> = (0..20)
            .map(|number| world.send_command(0, &number.to_string(), false))
            .collect();
        let polls = world.upstream.platform.polls_opened;
        let took = until_replies(&mut world, 20);
        let polls = world.upstream.platform.polls_opened - polls;
        println!("{latency} ms, {delay} ms: {polls} polls, {took:?}");
        assert!(polls <= 24, "{polls} polls");
        // A poll, the round trip to the device, and the reply.
        let each = 2 * (latency + delay) + 20;
        assert!(took <= each * 20 * MS + 500 * MS, "{took:?}");
        world.run_for(SECOND);
        for command in commands {
            let outcome = &world.upstream.platform.command_outcomes[&command];
            assert!(matches!(outcome, CommandOutcome::Reply(_)), "{outcome:?}");
        }
    }
}

#[test]
fn twenty_one_way_commands_do_not_wait_for_replies() {
    let mut world = World::observing(default_settings(), CON);
    // At first the device replies.
    world.send_command(0, "0", false);
    until_replies(&mut world, 1);
    for number in 1..=20 {
        world.send_command(0, &number.to_string(), true);
    }
    let start = world.now;
    let all_arrived = |world: &World| world.devices[0].observations[1].commands.len() == 21;
    world.devices[0].replies_to_commands = false;
    assert!(world.run_until(60 * SECOND, all_arrived));
    let took = world.now - start;
    assert!(took < 2 * SECOND, "{took:?}");
}

#[test]
fn command_answer_unblocks_the_queue_behind_an_unanswered_command() {
    let mut settings = default_settings();
    settings.relay.command_answer = Some(12 * SECOND);
    for (answer, expected) in [
        (Some(12 * SECOND), vec![json!(1), json!(2)]),
        (None, vec![json!(1)]),
    ] {
        settings.relay.command_answer = answer;
        let mut world = World::observing(settings, CON);
        world.devices[0].replies_to_commands = false;
        let unanswered = world.send_command(0, "1", false);
        world.run_for(SECOND);
        world.send_command(0, "2", true);
        world.run_for(15 * SECOND);
        let commands = &world.devices[0].observations[1].commands;
        assert_eq!(*commands, expected, "{answer:?}");
        let outcome = world.upstream.platform.command_outcomes.get(&unanswered);
        let is_error = |outcome: &CommandOutcome| matches!(outcome, CommandOutcome::Reply(text) if text.contains("error"));
        assert_eq!(
            outcome.is_some_and(is_error),
            answer.is_some(),
            "{outcome:?}"
        );
        let counted = world.core.counters().relay.commands_unanswered;
        assert_eq!(counted, u64::from(answer.is_some()));
    }
}

/// A device replies in another session than the one it observes in, and that session ends during the call.
#[test]
fn a_reply_counts_although_its_session_has_ended() {
    let mut settings = default_settings();
    settings.limits.sessions_per_device = 2;
    let mut world = World::observing(settings, CON);
    world.devices[0].replies_to_commands = false;
    let second = world.add_client_with_certificate_of(0, 1);
    world.connect(second);
    world.run_for(SECOND);
    world.send_command(0, "1", false);
    world.run_for(SECOND);
    world.send_command(0, "2", true);
    world.upstream.delay = SECOND;
    world.reply(second, 0);
    world.run_for(SECOND / 10);
    world.upstream.delay = SECOND / 100;
    // The second session has been idle for longest, so a third one displaces it.
    world.post(0, CON);
    let third = world.add_client_with_certificate_of(0, 2);
    world.connect(third);
    world.run_for(SECOND / 2);
    assert!(world.devices[second].closed);
    world.run_for(SECOND);
    assert_eq!(world.devices[0].observations[1].commands.len(), 2);
}

#[test]
fn a_reply_to_a_command_from_before_a_restart_is_not_taken_for_one_to_the_new_command_of_its_id() {
    let mut world = World::observing(default_settings(), CON);
    world.send_command(0, "0", false);
    assert!(until_replies(&mut world, 1) < SECOND);
    world.run_for(SECOND);
    // The gateway has command 1, and the device does not.
    world.link.lose_next(false, 4);
    world.send_command(0, "1", false);
    world.run_for(2 * SECOND);
    assert_eq!(world.devices[0].observations[1].commands, [json!(0)]);
    // ThingsBoard restarts, has commands 0 and 1 again, and brings 0 until it has the reply.
    world.upstream.restart(world.now, SECOND);
    let new = [10, 11].map(|params: u64| world.send_command(0, &params.to_string(), false));
    let all = |world: &World| world.devices[0].observations[1].commands.len() == 4;
    assert!(world.run_until(120 * SECOND, all));
    world.run_for(SECOND);
    let commands = &world.devices[0].observations[1].commands;
    assert_eq!(*commands, [json!(0), json!(1), json!(10), json!(11)]);
    // The device's reply to the old command 1 ended at the gateway.
    let ids: Vec<_> = world
        .upstream
        .replies
        .iter()
        .map(|reply| reply.id)
        .collect();
    assert_eq!(ids, [0, 0, 1]);
    for command in new {
        let outcome = &world.upstream.platform.command_outcomes[&command];
        assert!(matches!(outcome, CommandOutcome::Reply(_)), "{outcome:?}");
    }
}
