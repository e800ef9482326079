//! The rows of the table of faults; see faults.rs.

/// One way to break, and the tests against it.
pub(super) struct Row {
    pub(super) number: usize,
    pub(super) what: &'static str,
    /// Names of faults of the simulated kernel.
    pub(super) simulated: &'static str,
    pub(super) tests: &'static [&'static str],
}

const fn row(
    number: usize,
    what: &'static str,
    simulated: &'static str,
    tests: &'static [&'static str],
) -> Row {
    Row {
        number,
        what,
        simulated,
        tests,
    }
}

pub(super) const ROWS: &[Row] = &[
    row(
        1,
        "an event for a descriptor that was closed, its number reused in the same batch",
        "stale duplicated shuffled",
        &[
            "a_late_event_does_not_reach_the_next_holder_of_its_slot_and_number",
            "an_event_repeated_in_a_batch_finds_no_connection_the_second_time",
            "slots_and_numbers_are_reused_a_thousand_times",
            "a_reused_slot_is_not_found_by_its_old_key",
        ],
    ),
    row(
        2,
        "a duplicate keeps an open file in the epoll set",
        "",
        &[
            "a_fresh_socket_neither_blocks_nor_outlives_an_exec",
            "closing_the_only_descriptor_ends_its_registration",
            "a_closed_socket_is_reported_no_more",
            "every_byte_is_answered_once_whenever_its_connection_is_passed",
        ],
    ),
    row(
        3,
        "a child shares the epoll instance",
        "",
        &["a_command_gets_three_descriptors_whatever_we_were_started_with"],
    ),
    row(
        4,
        "close is tried again after EINTR and closes the descriptor of another connection",
        "",
        &[
            "any_call_may_fail_with_anything_its_page_documents",
            "a_failure_of_a_close_or_of_output_affects_one_peer_at_most",
        ],
    ),
    row(
        5,
        "a connection that is half set up leaks",
        "unregistered",
        &[
            "a_connection_that_cannot_be_watched_is_closed_and_no_other",
            "a_connection_whose_interest_cannot_be_changed_is_closed_and_no_other",
            "a_connection_that_cannot_be_watched_is_the_only_one_to_go",
            "a_failure_while_accepting_affects_one_peer_at_most",
        ],
    ),
    row(
        6,
        "out of descriptors, the listener spins",
        "starved",
        &[
            "out_of_descriptors_one_peer_is_refused_and_the_listener_pauses",
            "out_of_descriptors_the_listener_pauses_grow_and_nothing_spins",
            "a_descriptor_that_is_free_again_is_used_within_a_tenth_of_a_second",
            "without_descriptors_the_accepted_are_served_and_the_processor_rests",
        ],
    ),
    row(
        7,
        "an error of accept4 that passes is taken for the end",
        "aborted would_block",
        &[
            "a_transient_accept_error_loses_no_other_connection",
            "connections_behind_a_transient_accept_error_are_accepted_without_a_new_arrival",
            "an_accept_error_that_only_a_bug_causes_pauses_the_listener_and_loses_no_connection",
            "a_failure_while_accepting_affects_one_peer_at_most",
        ],
    ),
    row(
        8,
        "accepting without a bound starves the connections",
        "",
        &["many_connections_are_accepted_in_few_turns_and_a_single_one_costs_one_accept4"],
    ),
    row(
        9,
        "a listener is closed with connections in its queue",
        "",
        &[
            "the_queue_of_the_listener_is_served_first",
            "a_paused_listener_is_accepted_from_once_more_in_a_drain",
            "a_drain_serves_queued_connections_as_slots_become_free",
        ],
    ),
    row(
        10,
        "a herd of workers wakes for one peer, or all peers go to one worker",
        "",
        &[
            "workers_share_a_port_only_when_asked",
            "workers_share_the_peers_and_their_counts_are_added_up",
        ],
    ),
    row(
        11,
        "HUP and ERR cannot be masked, and spin where nothing is asked",
        "reset",
        &[
            "an_empty_interest_still_reports_a_hang_up",
            "a_peer_reset_while_it_waits_is_closed_and_leaves_the_queue",
            "a_peer_that_hangs_up_during_a_wait_for_memory_does_not_make_the_loop_spin",
        ],
    ),
    row(
        12,
        "RDHUP is taken for the end of both directions, or an end that came with data is missed",
        "half_close",
        &[
            "a_half_closed_peer_receives_every_reply",
            "a_fin_that_arrives_with_data_is_noticed",
            "a_half_closed_peer_still_receives_every_reply",
        ],
    ),
    row(
        13,
        "write interest stays armed, or is lost when it is registered again",
        "short_write would_block",
        &[
            "a_slow_reader_gets_every_byte_in_order_and_stops_the_reading_meanwhile",
            "an_idle_server_does_not_wake_up",
            "a_slow_reader_gets_64_mib_back_while_others_are_answered",
        ],
    ),
    row(
        14,
        "an edge is not reported again to a reader that stops early",
        "short_read interrupted",
        &[
            "an_echo_on_edges_alone_never_hangs",
            "a_peer_over_its_byte_budget_continues_in_the_next_turn",
            "a_peer_over_its_operation_budget_continues_in_the_next_turn",
        ],
    ),
    row(
        15,
        "a peer that floods starves the others",
        "",
        &[
            "a_peer_over_its_byte_budget_continues_in_the_next_turn",
            "other_peers_are_served_while_one_does_not_read",
            "all_hostile_peers_together_delay_no_other_peer_and_are_closed_in_time",
        ],
    ),
    row(
        16,
        "a time-out is cut off, rounded to nothing, or begun anew by an interruption",
        "interrupted leap",
        &[
            "milliseconds_are_rounded_up_and_clamped",
            "a_span_past_the_kernels_range_is_its_longest",
            "a_wait_never_ends_before_its_time_in_either_unit",
            "a_far_deadline_is_met_by_the_timer",
            "no_deadline_looks_at_the_wall_clock",
        ],
    ),
    row(
        17,
        "a readiness with nothing behind it",
        "spurious would_block",
        &["a_spurious_event_is_counted_and_has_no_effect"],
    ),
    row(
        18,
        "an urgent byte hides what follows",
        "",
        &["what_follows_an_urgent_byte_is_not_left_behind"],
    ),
    row(
        19,
        "a short write is resumed at the wrong place",
        "short_write",
        &[
            "a_slow_reader_gets_every_byte_in_order_and_stops_the_reading_meanwhile",
            "requests_behind_a_slow_reader_get_replies_of_another_length_in_order",
            "unsent_replies_of_a_batch_are_kept_and_sent_in_order",
        ],
    ),
    row(
        20,
        "output grows without a bound",
        "",
        &[
            "peers_that_read_nothing_do_not_lift_the_ceiling",
            "the_ceiling_is_never_above_what_was_asked_for",
        ],
    ),
    row(
        21,
        "whole frames in the buffer are forgotten when writing goes on",
        "short_write",
        &[
            "replies_owed_to_a_slow_reader_are_delivered_and_so_is_what_waits_behind_them",
            "every_sequence_of_inputs_keeps_a_framed_connection_in_order",
        ],
    ),
    row(
        22,
        "a reset destroys the replies that are owed",
        "",
        &[
            "an_invalid_frame_is_answered_by_the_replies_before_it_a_fin_and_a_bounded_linger",
            "data_after_a_closing_reply_is_discarded",
            "megabytes_that_are_owed_arrive_before_the_end_that_a_wrong_frame_is",
        ],
    ),
    row(
        23,
        "bytes are dropped when the kernel has no memory for them",
        "no_buffers no_memory",
        &[
            "bytes_that_were_refused_are_kept_and_tried_again",
            "the_connection_survives_the_allowed_number_of_refusals_and_closes_at_one_more",
            "a_reply_refused_for_lack_of_memory_is_kept_beside_the_others",
            "a_failure_of_a_read_or_write_affects_one_peer_at_most",
        ],
    ),
    row(
        24,
        "a write to a peer that has left kills the process; an unknown error panics or vanishes",
        "reset",
        &[
            "a_send_to_a_peer_that_left_is_an_error_and_not_a_signal",
            "a_call_that_fails_ends_its_own_connection_and_no_other",
            "a_peer_that_resets_is_closed_quietly",
            "a_failure_of_a_read_or_write_affects_one_peer_at_most",
        ],
    ),
    row(
        25,
        "the arithmetic of lengths wraps",
        "",
        &[
            "every_width_value_and_adjustment_is_judged_as_by_netty",
            "a_framing_without_a_limit_of_its_own_does_not_wrap_either",
            "a_length_that_counts_its_header_may_not_be_less_than_it",
        ],
    ),
    row(
        26,
        "the limit is off by the header, or comes too late",
        "",
        &[
            "the_limit_is_on_the_whole_frame_and_judged_at_its_header",
            "a_refused_frame_costs_no_byte_of_its_body",
            "a_frame_over_the_limit_ends_its_connection_after_what_was_owed",
        ],
    ),
    row(
        27,
        "a byte now and then holds a connection's memory for ever",
        "leap",
        &[
            "a_frame_has_until_the_frame_timeout_and_no_moment_longer",
            "a_byte_a_second_does_not_hold_a_workspace_for_ever",
            "each_stall_timeout_requires_the_minimum_to_be_taken",
            "a_peer_that_dribbles_its_replies_makes_room_for_waiting_connections",
        ],
    ),
    row(
        28,
        "a shutdown races with new connections and owed replies",
        "",
        &[
            "what_has_arrived_is_answered_before_the_end",
            "a_peer_that_does_not_take_its_replies_is_cut_at_the_drain_time_out",
            "the_end_waits_until_every_reply_is_delivered",
            "sigterm_ends_well_and_soon_whatever_peers_do",
            "takeovers_in_a_row_under_load_reset_and_refuse_no_connection",
            "a_new_process_that_dies_at_any_step_leaves_the_old_one_serving",
            "a_new_process_that_dies_at_any_step_takes_only_what_was_passed_with_it",
        ],
    ),
    row(
        29,
        "no event tells that a peer is dead",
        "",
        &[
            "accepted_sockets_inherit_what_the_listener_was_given",
            "a_peer_that_takes_nothing_is_closed_at_the_stall_time_out_and_not_before",
            "unreachable_peers_are_closed_within_their_time_outs",
        ],
    ),
    row(
        30,
        "the limit of descriptors is met at work and not at the start",
        "starved",
        &[
            "a_low_descriptor_limit_shrinks_the_connections_with_a_warning",
            "the_default_of_connections_shrinks_to_the_descriptor_limit_without_a_word",
            "a_low_soft_limit_is_raised_without_a_word",
        ],
    ),
    row(
        31,
        "a local path that a dead server left is in the way, or a living one's is taken",
        "",
        &[
            "a_path_that_a_dead_server_left_is_taken_over",
            "a_path_whose_server_answers_is_left_alone",
            "a_path_that_is_no_stream_socket_is_never_removed",
        ],
    ),
    row(
        32,
        "a datagram that was cut off, or refused earlier, is taken for something else",
        "truncated refused lost reordered",
        &[
            "v6_a_truncated_datagram_is_counted_and_dropped",
            "an_error_of_a_receive_does_not_end_the_socket",
            "an_error_of_a_send_belongs_to_one_datagram",
            "what_arrives_is_answered_or_counted_whatever_fails",
            "a_reply_of_another_size_is_wrong",
            "a_port_without_a_listener_ends_the_run_with_one_line",
        ],
    ),
    row(
        33,
        "a submission ring takes a part, cancels, overflows, comes back out of order, or fails",
        "unentered untaken cancelled overflowed disordered ring_lost",
        &[
            "whatever_a_ring_does_each_call_is_made_once_and_has_its_result",
            "results_in_any_order_reach_their_calls_in_one_enter",
            "a_call_whose_result_is_lost_is_not_made_twice",
            "a_call_that_was_not_submitted_is_never_made",
            "messages_of_every_size_come_back_whole_and_in_order_through_a_ring",
            "a_server_without_a_ring_says_so_once_and_serves",
        ],
    ),
];
