//! What the relays count.

/// Events of the relays, over all devices.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Registrations, refreshing ones included.
    pub registered: u64,
    /// Registrations refused because `relay.max_polls` are kept.
    pub registrations_refused: u64,
    /// Observations that gave way to another of the same device and kind.
    pub replaced: u64,
    /// Observations ended by the device.
    pub cancelled: u64,
    /// Observations ended because ThingsBoard refuses the device.
    pub refused: u64,
    /// Observations ended because the certificate is no longer registered.
    pub unregistered: u64,
    /// Observations parked because the device did not answer.
    pub parked: u64,
    /// Observations taken up again because the device was heard.
    pub resumed: u64,
    /// Polls opened.
    pub polls: u64,
    /// Polls that failed, or brought what makes no sense.
    pub polls_failed: u64,
    /// Times all attributes of a device were read.
    pub reads: u64,
    /// Reads that failed, or brought what makes no sense.
    pub reads_failed: u64,
    /// Empty answers that were not believed at once.
    pub empty_answers_doubted: u64,
    /// Changed attributes that no poll had told.
    pub changes_found_by_reading: u64,
    /// Attribute notifications given to endpoints.
    pub states_told: u64,
    /// Commands taken from ThingsBoard.
    pub commands_taken: u64,
    /// Commands ThingsBoard gave again.
    pub commands_repeated: u64,
    /// Commands that reached their device.
    pub commands_delivered: u64,
    /// Commands that the gateway has replied to, for the device had not within `relay.command_answer`.
    pub commands_unanswered: u64,
    /// Commands dropped because their device was away for too long.
    pub commands_expired: u64,
    /// Commands that were refused, and observations of attributes, because of `relay.bytes`.
    pub no_room: u64,
    /// Attributes and commands that fit no datagram, or not the memory of one device.
    pub too_large: u64,
}
