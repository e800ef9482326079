//! The rows of the table of faults, see above.

/// One way to break, and what holds it.
pub(super) struct Row {
    pub(super) number: usize,
    pub(super) what: &'static str,
    /// Faults of the simulated kernel, by their names.
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
            "an_event_that_comes_twice_in_a_batch_finds_nobody_the_second_time",
            "slots_and_numbers_are_reused_a_thousand_times",
            "a_reused_slot_does_not_answer_to_its_old_name",
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
        "close is tried again after EINTR and closes somebody else's descriptor",
        "",
        &[
            "any_call_may_fail_with_anything_its_page_documents",
            "whatever_fails_at_the_end_of_a_connection_or_in_print_hurts_one_peer_at_most",
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
            "whatever_fails_at_the_door_hurts_one_peer_at_most",
        ],
    ),
    row(
        6,
        "out of descriptors, the listener spins",
        "starved",
        &[
            "out_of_descriptors_one_peer_is_told_and_the_listener_rests",
            "out_of_descriptors_the_rests_grow_and_nothing_spins",
            "a_descriptor_that_is_free_again_is_used_within_a_tenth_of_a_second",
            "without_descriptors_the_accepted_are_served_and_the_processor_rests",
        ],
    ),
    row(
        7,
        "an error of accept4 that passes is taken for the end",
        "aborted would_block",
        &[
            "an_accept_that_fails_in_passing_loses_nobody_else",
            "a_crowd_behind_a_passing_error_is_let_in_without_another_newcomer",
            "an_accept_that_cannot_fail_so_rests_and_loses_nobody",
            "whatever_fails_at_the_door_hurts_one_peer_at_most",
        ],
    ),
    row(
        8,
        "accepting without a bound starves the connections",
        "",
        &["a_crowd_is_let_in_in_few_turns_and_one_peer_costs_one_accept4"],
    ),
    row(
        9,
        "a listener is closed with connections in its queue",
        "",
        &[
            "the_queue_of_the_listener_is_served_first",
            "a_listener_that_rests_is_asked_once_more",
            "who_has_no_slot_when_it_ends_is_served_as_others_leave",
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
            "nothing_asked_still_reports_a_hang_up",
            "a_peer_that_is_reset_while_it_waits_is_closed_and_gives_up_its_turn",
            "whoever_waits_for_memory_and_hangs_up_does_not_make_it_spin",
        ],
    ),
    row(
        12,
        "RDHUP is taken for the end of both directions, or an end that came with data is missed",
        "half_close",
        &[
            "a_half_closed_peer_reads_everything_back",
            "an_end_that_comes_together_with_data_is_heard_of",
            "who_has_ended_its_own_stream_still_reads_everything_back",
        ],
    ),
    row(
        13,
        "write interest stays armed, or is lost when it is registered again",
        "short_write would_block",
        &[
            "a_slow_reader_gets_every_byte_in_order_and_stops_the_reading_meanwhile",
            "a_sleeping_server_wakes_up_for_nobody",
            "a_slow_reader_gets_64_mib_back_while_others_are_answered",
        ],
    ),
    row(
        14,
        "on edges, whoever stops early is never told again",
        "short_read interrupted",
        &[
            "an_echo_on_edges_alone_never_hangs",
            "a_peer_out_of_its_budget_of_bytes_goes_on_in_the_next_turn",
            "a_peer_out_of_its_budget_of_operations_goes_on_in_the_next_turn",
        ],
    ),
    row(
        15,
        "one who floods starves the others",
        "",
        &[
            "a_peer_out_of_its_budget_of_bytes_goes_on_in_the_next_turn",
            "other_peers_are_served_while_one_does_not_read",
            "all_of_them_together_hurt_nobody_and_are_gone_within_their_bounds",
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
            "a_far_deadline_is_met_by_the_alarm",
            "no_deadline_looks_at_the_wall_clock",
        ],
    ),
    row(
        17,
        "a readiness with nothing behind it",
        "spurious would_block",
        &["a_readiness_with_nothing_behind_it_is_counted_and_forgotten"],
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
            "what_waits_for_a_slow_reader_is_answered_by_another_length_in_order_too",
            "what_the_kernel_does_not_take_is_kept_for_each_of_a_batch_and_comes_in_order",
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
            "a_wrong_frame_is_answered_by_all_before_it_a_fin_and_a_bounded_patience",
            "after_a_goodbye_the_peer_may_talk_on_and_is_not_heard",
            "megabytes_that_are_owed_arrive_before_the_end_that_a_wrong_frame_is",
        ],
    ),
    row(
        23,
        "bytes are dropped when the kernel has no memory for them",
        "no_buffers no_memory",
        &[
            "bytes_that_were_refused_are_kept_and_tried_again",
            "as_many_refusals_as_allowed_are_survived_and_one_more_is_the_end",
            "an_answer_that_is_refused_for_want_of_memory_is_kept_beside_the_others",
            "whatever_fails_while_bytes_are_moved_hurts_one_peer_at_most",
        ],
    ),
    row(
        24,
        "a write to who has left kills the process; an unknown error panics or vanishes",
        "reset",
        &[
            "a_send_to_a_peer_that_left_is_an_error_and_not_a_signal",
            "a_call_that_fails_ends_its_own_connection_and_no_other",
            "a_peer_that_resets_is_closed_quietly",
            "whatever_fails_while_bytes_are_moved_hurts_one_peer_at_most",
        ],
    ),
    row(
        25,
        "the arithmetic of lengths wraps",
        "",
        &[
            "every_width_value_and_adjustment_gets_the_verdict_of_netty",
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
            "within_each_stall_timeout_as_much_as_the_least_must_be_taken",
            "a_peer_that_dribbles_its_replies_makes_room_for_those_who_wait",
        ],
    ),
    row(
        28,
        "shutting down races with those who come and those who are owed",
        "",
        &[
            "what_has_arrived_is_answered_before_the_end",
            "a_peer_that_does_not_take_its_replies_is_cut_at_the_drain_time_out",
            "the_end_waits_until_every_reply_is_delivered",
            "sigterm_ends_well_and_soon_whatever_peers_do",
        ],
    ),
    row(
        29,
        "nobody tells that a peer is dead",
        "",
        &[
            "accepted_sockets_inherit_what_the_listener_was_given",
            "a_peer_that_takes_nothing_is_closed_at_the_stall_time_out_and_not_before",
            "whoever_a_wall_of_silence_has_taken_is_given_up_in_time",
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
            "a_path_on_which_somebody_answers_is_left_alone",
            "a_path_that_is_no_stream_socket_is_never_removed",
        ],
    ),
    // There is no server of datagrams yet: this is the load generator.
    row(
        32,
        "a datagram that was cut off, or refused earlier, is taken for something else",
        "",
        &[
            "a_reply_of_another_size_is_wrong",
            "where_nobody_listens_the_run_ends_with_a_line",
        ],
    ),
];
