//! Goal: what a hostile reading of the engine has proven wrong stays mended. Method: its proofs, one file each.

use super::bench;

mod bound_sleeps;
mod cancelled_link;
mod copy_leaks;
mod delete_cost;
mod delete_ns;
mod edges;
mod expired_under_way;
mod fetched_twice;
mod full_link;
mod full_next_url;
mod full_range_stalls;
mod hook;
mod left_behind;
mod mirror_bound;
mod no_room_is_told;
mod only_signed;
mod orphans;
mod park_enospc;
mod reader_waits;
mod shared_error;
mod stalled_slice;
