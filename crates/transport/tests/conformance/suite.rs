//! The list of the cases, by topic. Each is a function of a [`Rig`](crate::driver::Rig);
//! [`conformance!`] makes tests of all of them.

/// A module of tests: every case on one rig.
macro_rules! conformance {
    ($name:ident, $rig:ty) => {
        mod $name {
            crate::suite::conformance!(@cases $rig:
                opening::accepted_tells_the_peers_address,
                opening::sockets_are_counted_by_shard,
                opening::full_table_is_told_and_recovers,
                opening::outbound_connection_carries_both_ways,
                opening::outbound_connection_is_refused,
                opening::outbound_connection_needs_a_slot,
                opening::adopted_connection_carries_both_ways,
                opening::adopted_connections_need_slots,
                opening::connections_that_wait_for_adoption_are_bounded,
                opening::nothing_is_adopted_after_the_end,
                opening::stop_accepting_closes_listeners_only,
                receiving::park_tells_bytes_and_receive_brings_them,
                receiving::receive_waits_for_bytes_and_appends,
                receiving::park_after_an_exact_receive_waits,
                receiving::park_with_bytes_left_tells_them,
                receiving::a_flood_keeps_nobody_waiting,
                receiving::many_parks_wake_at_once,
                receiving::end_of_stream_follows_the_last_bytes,
                receiving::reset_is_told_as_a_fault,
                receiving::reset_ends_a_park,
                receiving::full_buffer_is_exhausted,
                sending::pieces_are_sent_in_order,
                sending::empty_payload_comes_back_at_once,
                sending::slow_reader_gets_every_byte_in_short_sends,
                sending::receive_and_send_run_side_by_side,
                sending::receive_beside_a_send_takes_what_came_before_and_what_comes_after,
                sending::shutdown_ends_one_direction_only,
                ending::cancelled_park_is_told_once,
                ending::cancel_and_bytes_may_cross,
                ending::cancelled_receive_gives_the_buffer_back,
                ending::cancelled_send_gives_the_payload_back,
                ending::cancel_without_ops_does_nothing,
                ending::close_ends_a_park_silently,
                ending::close_gives_buffer_and_payload_back_first,
                ending::close_twice_is_told_once,
                ending::commands_after_close_are_refused,
                ending::stale_token_is_refused_and_harms_nobody,
                turning::wakes_coalesce,
                turning::wait_ends_at_its_deadline,
                turning::past_deadline_does_not_wait,
                turning::pool_is_bounded,
                soak::every_buffer_and_payload_comes_back_once
            );
        }
    };
    (@cases $rig:ty: $($file:ident::$case:ident),+) => {
        $(#[test]
        fn $case() {
            crate::$file::$case::<$rig>();
        })+
    };
}
pub(crate) use conformance;
