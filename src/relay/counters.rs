//! What the relays count.

/// Events of the relays, over all devices.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Registrations, refreshing ones included.
    pub registrations: u64,
    /// Registrations refused because of `relay.max_polls`.
    pub registrations_refused: u64,
    /// Observations replaced by another of the same device and kind.
    pub replaced: u64,
    /// Observations ended by the device.
    pub cancelled: u64,
    /// Observations ended because ThingsBoard rejects the device's token.
    pub refused: u64,
    /// Observations ended because the certificate is no longer registered.
    pub ended_unregistered_certificate: u64,
    /// Observations parked because the device did not answer.
    pub parked: u64,
    /// Observations resumed because something was received from the device.
    pub resumed: u64,
    pub polls: u64,
    /// Polls that failed, or brought something unreadable.
    pub polls_failed: u64,
    /// Reads of all attributes of a device.
    pub reads: u64,
    /// Reads that failed, or brought something unreadable.
    pub reads_failed: u64,
    /// Empty answers to reads that a second read had to confirm.
    pub empty_reads_unconfirmed: u64,
    /// Changed attributes that no poll brought.
    pub changes_found_by_reading: u64,
    /// Notifications of attributes given to endpoints.
    pub attribute_notifications: u64,
    /// Commands received from ThingsBoard.
    pub commands_received: u64,
    /// Commands that ThingsBoard repeated.
    pub commands_repeated: u64,
    /// Commands delivered to their device.
    pub commands_delivered: u64,
    /// Commands that the device did not reply to within `relay.command_answer`, so that the gateway did.
    pub commands_unanswered: u64,
    /// Commands dropped because their device was away for too long.
    pub commands_expired: u64,
    /// Commands, and registrations for attributes, refused because of `relay.bytes`.
    pub no_room: u64,
    /// Attributes and commands larger than a notification, or than the memory for one device.
    pub too_large: u64,
}
