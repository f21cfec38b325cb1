//! Goal: what a hostile reading of the engine has proven wrong stays mended. Method: its proofs, one file each.

use super::bench;

mod bound_sleeps;
mod cancelled_link;
mod confusion;
mod copy_leaks;
mod delete_cost;
mod delete_hosted_blob;
mod delete_ns;
mod disabled_sync;
mod drip_passed_on;
mod edges;
mod expired_under_way;
mod failed_commit_leaks;
mod fetched_twice;
mod full_link;
mod full_next_url;
mod full_range_stalls;
mod fuzz;
mod hook;
mod lane_deadlock;
mod left_behind;
mod mirror_bound;
mod mirror_manners;
mod no_room_is_told;
mod only_signed;
mod orphaned_content;
mod orphans;
mod park_enospc;
mod power;
mod reader_waits;
mod shared_error;
mod stalled_slice;
mod two_repositories_at_once;
mod unsized_full;
mod verify_on_read;
